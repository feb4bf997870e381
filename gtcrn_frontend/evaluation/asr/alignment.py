"""Where what was heard differs from what was said: the edits, in the order of the text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A stretch of text: `equal`, `substitute`, `delete` or `insert`; what was said and what was heard there."""

    kind: str
    said: str
    heard: str


def edits(said: str, heard: str, unit: str = "word") -> list[Edit]:
    """Returns the fewest edits from what was said to what was heard, with what is equal between them.

    Args:
        said: the reference, normalised.
        heard: the recogniser's text, normalised.
        unit: `word` or `character`.

    Raises:
        ImportError: the package jiwer is not installed.
    """
    import jiwer  # an extra; `count_errors`, which comes first, says so

    if not said or not heard:  # jiwer aligns nothing with it
        kind = "equal" if said == heard else "insert" if heard else "delete"
        return [Edit(kind, said, heard)] if said or heard else []
    joint = " " if unit == "word" else ""
    output = (jiwer.process_words if unit == "word" else jiwer.process_characters)(said, heard)
    reference, hypothesis = output.references[0], output.hypotheses[0]
    return [
        Edit(
            chunk.type,
            joint.join(reference[chunk.ref_start_idx : chunk.ref_end_idx]),
            joint.join(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in output.alignments[0]
    ]
