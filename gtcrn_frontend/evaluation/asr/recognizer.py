"""`Recognizer`, the protocol by which the evaluation calls a speech recogniser, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gtcrn_frontend.audio.types import F32


@dataclass(frozen=True)
class Transcript:
    """Output of a recogniser for one utterance.

    Attributes:
        text: words with single spaces between them, in the recogniser's own spelling.
        tokens: the units that make up the text, in order; empty if the recogniser does not give them.
        confidence: of the whole transcript, from 0 to 1; None if the recogniser does not give one.
    """

    text: str
    tokens: tuple[str, ...] = ()
    confidence: float | None = None


class Recognizer(Protocol):
    """A recogniser of whole utterances; adapters implement it, and so does a plain function."""

    def __call__(self, samples: F32, sample_rate: int) -> Transcript:
        """Returns the transcript of samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        ...


@dataclass(frozen=True)
class Recognition:
    """A recogniser's result for one signal, as the result cache holds it.

    Attributes:
        text: as the recogniser wrote it.
        recognising_s: time of the recogniser in seconds.
        enhancing_s: time of the network before it in seconds, at full strength.
    """

    text: str
    recognising_s: float
    enhancing_s: float
