"""What the evaluation knows of a recogniser: it turns samples into a transcript."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Transcript:
    """What a recogniser heard.

    Attributes:
        text: words with single spaces between them, in the recogniser's own spelling.
        tokens: the units that the text was put together from, in order; empty where the recogniser has none.
        confidence: how sure the recogniser is of the whole, from 0 to 1; None where it does not say.
    """

    text: str
    tokens: tuple[str, ...] = ()
    confidence: float | None = None


class Recognizer(Protocol):
    """Any recogniser of whole utterances; adapters implement it, and so does a plain function."""

    def __call__(self, samples: npt.NDArray[np.float32], sample_rate: int) -> Transcript:
        """Returns the transcript of samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        ...
