"""Direct paths: engines that process a mono stream at the model's rate completely, without the stages.

Such a stream needs only framing, the network, alignment with the input and mixing. An engine that does all of it in one
call saves the overhead of `streaming/` for each chunk.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from gtcrn_frontend.audio.types import F32


class Position(NamedTuple):
    """Position of a stream on a direct path.

    Attributes:
        samples_in: input samples so far.
        recent: input samples not delivered yet: up to one hop, and the incomplete next one.
        held: number of samples of the incomplete hop.
        strength: above 0, at most 1; unused with automatic strength.
        auto_strength: level tracker of the automatic strength (`LevelTracker.native`), updated by the path.
    """

    samples_in: int
    recent: F32
    held: int
    strength: float = 1.0
    auto_strength: Any = None


class DirectPath(Protocol):
    """Direct path of one stream; updates the engine state it was created with."""

    @property
    def position(self) -> Position:
        """Position of the stream, from which the stages can resume."""
        ...

    @property
    def samples_in(self) -> int:
        """Input samples so far."""
        ...

    @property
    def samples_out(self) -> int:
        """Output samples so far."""
        ...

    def advance(self, samples: F32) -> F32:
        """Returns the complete mixed samples, in new memory; samples are `(n,)`."""
        ...


class DirectPaths(Protocol):
    """Direct paths of several streams, advanced together."""

    def advance(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """Returns the complete mixed samples of all streams, concatenated, and their counts.

        Args:
            samples: the next samples of all streams, concatenated, `(sum of counts,)`.
            counts: number of samples of each stream.
        """
        ...


class OneByOne:
    """A `DirectPaths` that advances paths sequentially."""

    def __init__(self, paths: Sequence[DirectPath]) -> None:
        self._paths = paths

    def advance(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """See `DirectPaths`."""
        ends = itertools.accumulate(counts)
        parts = (samples[end - count : end] for end, count in zip(ends, counts, strict=True))
        mixed = [path.advance(part) for path, part in zip(self._paths, parts, strict=True)]
        return np.concatenate(mixed) if len(mixed) > 1 else mixed[0], list(map(len, mixed))
