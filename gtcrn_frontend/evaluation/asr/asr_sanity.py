"""Sanity check of a recogniser: one whose text does not depend on the audio has error rates, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.noisy_set import Item

ADVICE = (
    "try the recogniser on one recording by hand. A function receives float32 samples in [-1, 1] and their rate; a "
    "command receives the path of a 16-bit wave file and prints the text on stdout"
)


def why_implausible(
    items: Sequence[Item], recognitions: Iterable[Mapping[str, Recognition]], normalisation: Normalisation
) -> str | None:
    """Returns what is suspicious if the recogniser's text does not depend on the audio; else None.

    Args:
        items: that were recognised.
        recognitions: results by the items' keys, one mapping per setting.
        normalisation: of both texts.
    """
    results = [(item, results[item.key]) for results in recognitions for item in items if item.key in results]
    references = {normalisation(item.utterance.text) for item, _ in results}
    hypotheses = {normalisation(result.text) for _, result in results}
    if hypotheses == {""} and references != {""}:
        return f"the recogniser returned no text for any of {len(results)} recordings"
    if len(hypotheses) == 1 and len(references) > 1:
        (text,) = hypotheses
        return f"the recogniser returned {text!r} for all of {len(results)} recordings of {len(references)} texts"
    return None
