"""Whether a recogniser hears at all: one that does not has error rates too, and they look like a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.result_cache import Recognition

ADVICE = (
    "try the recogniser on one recording by hand. A function is given float32 samples in [-1, 1] and their rate, a "
    "command the path of a 16-bit wave file, and it prints the text on stdout"
)


def why_implausible(heard: Iterable[Mapping[Item, Recognition]], normalisation: Normalisation) -> str | None:
    """Returns what is suspicious, in words, if what was heard does not depend on what was said; else None.

    Args:
        heard: results by item, behind each of some settings.
        normalisation: of both texts.
    """
    results = [pair for found in heard for pair in found.items()]
    said = {normalisation(item.utterance.text) for item, _ in results}
    texts = {normalisation(result.text) for _, result in results}
    if texts == {""} and said != {""}:
        return f"the recogniser heard nothing, in any of {len(results)} recordings"
    if len(texts) == 1 and len(said) > 1:
        (text,) = texts
        return f"the recogniser heard {text!r} in all of {len(results)} recordings, where {len(said)} texts are said"
    return None
