"""The seam for engines that can do more than run a network: the whole way of a signal that needs nothing else.

At the model's rate and in one channel, a signal needs framing, the network, to be aligned with what came in, and to be
mixed with it. An engine that does all of that in one call spares each chunk the way through `streaming/`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from gtcrn_frontend.audio.types import F32


class Position(NamedTuple):
    """Where such a signal is.

    Attributes:
        samples_in: samples taken since it began.
        recent: as many of the last ones as are not delivered yet: up to one whole hop, and what of the next is there.
        held: how many of these belong to the hop that is not complete.
        strength: above 0, at most 1, if there is no guard.
        auto_strength: what the guard knows, as `level_tracker.LevelTracker.native` gives it: the path moves it on.
    """

    samples_in: int
    recent: F32
    held: int
    strength: float = 1.0
    auto_strength: Any = None


class DirectPath(Protocol):
    """The way of one signal; moves the engine state that it was made with."""

    @property
    def position(self) -> Position:
        """Where the signal is: all that `streaming/` need to go on with it."""
        ...

    @property
    def samples_in(self) -> int:
        """Samples taken since the signal began."""
        ...

    @property
    def samples_out(self) -> int:
        """Samples delivered since the signal began."""
        ...

    def advance(self, samples: F32) -> F32:
        """Returns the mixed samples that are complete, in memory of their own; samples are `(n,)`."""
        ...


class DirectPaths(Protocol):
    """The ways of several signals, which advance together."""

    def advance(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """Returns the mixed samples that are complete, of one signal behind those of the other, and how many each.

        Args:
            samples: the next samples of all signals in the same way, `(sum of counts,)`.
            counts: how many of these each signal has.
        """
        ...


class OneByOne:
    """A `DirectPaths` of any paths, one after the other."""

    def __init__(self, paths: Sequence[DirectPath]) -> None:
        self._paths = paths

    def advance(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """See `DirectPaths`."""
        ends = itertools.accumulate(counts)
        parts = (samples[end - count : end] for end, count in zip(ends, counts, strict=True))
        mixed = [path.advance(part) for path, part in zip(self._paths, parts, strict=True)]
        return np.concatenate(mixed) if len(mixed) > 1 else mixed[0], list(map(len, mixed))
