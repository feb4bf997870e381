"""Alignment of a hypothesis with its reference: equal, substituted, deleted and inserted stretches, in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A stretch of the alignment: `equal`, `substitute`, `delete` or `insert`, with the text on both sides."""

    kind: str
    reference: str
    hypothesis: str


def edits(reference: str, hypothesis: str, unit: str = "word") -> list[Edit]:
    """Returns the minimum edits from the reference to the hypothesis, with the equal stretches between them.

    Args:
        reference: normalised text.
        hypothesis: the recogniser's text, normalised.
        unit: `word` or `character`.

    Raises:
        ImportError: the package jiwer is not installed.
    """
    import jiwer  # an extra; `count_errors`, which is called before, names it

    if not reference or not hypothesis:  # jiwer does not align empty texts
        kind = "equal" if reference == hypothesis else "insert" if hypothesis else "delete"
        return [Edit(kind, reference, hypothesis)] if reference or hypothesis else []
    joint = " " if unit == "word" else ""
    output = (jiwer.process_words if unit == "word" else jiwer.process_characters)(reference, hypothesis)
    reference_units, hypothesis_units = output.references[0], output.hypotheses[0]
    return [
        Edit(
            chunk.type,
            joint.join(reference_units[chunk.ref_start_idx : chunk.ref_end_idx]),
            joint.join(hypothesis_units[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in output.alignments[0]
    ]
