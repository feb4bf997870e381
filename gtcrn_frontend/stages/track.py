"""Strengths that were decided hop by hop, spread over the samples of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.weights.parameters import F32


@dataclass(frozen=True)
class HopGrid:
    """Where the hops of the engine's output lie among the samples of the stream's output.

    Hop h holds the moments from `(h * hop_length - delay) / rate` on. A sample of the output belongs to the hop that
    holds its moment, whenever it is delivered; so resamplers and chunks have no part in it.

    Attributes:
        hop_length: samples of a hop at the model's rate.
        delay: how far the engine's output trails its input, in samples at the model's rate.
        rate: the model's rate in Hz.
        output_rate: the output's rate in Hz.
    """

    hop_length: int
    delay: int
    rate: int
    output_rate: int

    @cached_property
    def hop_samples(self) -> int:
        """Samples of the output in a hop, or 0 if not all hops have equally many."""
        whole, rest = divmod(self.hop_length * self.output_rate, self.rate)
        return 0 if rest or self.delay % self.hop_length else whole

    def start(self, hop: int) -> int:
        """Returns the number of the first sample of a hop in the output; negative before the stream's first."""
        return -((self.delay - hop * self.hop_length) * self.output_rate // self.rate)


class StrengthTrack:
    """Holds decided strengths until their samples come; within a hop it goes linearly from the last one to its own.

    Args:
        grid: where the hops lie.
        strength: that holds before the first hop that is decided.
        hop: number of that hop.
    """

    def __init__(self, grid: HopGrid, strength: float, hop: int) -> None:
        self._grid = grid
        self._hop = hop  # the first that is not mixed to its end
        self._before = strength
        self._ends: list[float] = []

    def extend(self, ends: Sequence[float]) -> None:
        """Adds the strengths at the ends of the hops that follow."""
        self._ends += ends

    def at(self, sample: int) -> float:
        """Returns the strength of the last sample before `sample`, which is the next to be mixed."""
        start, stop = self._grid.start(self._hop), self._grid.start(self._hop + 1)
        if not self._ends or sample <= start:
            return self._before
        return self._before + (self._ends[0] - self._before) * (sample - start) / (stop - start)

    def mix(self, dry: F32, enhanced: F32, sample: int) -> F32:
        """Returns dry + strength * (enhanced - dry); the samples `(n,)` are the next ones, from number `sample` on."""
        mixed = enhanced - dry
        count = len(mixed)
        done = self._scale_whole_hops(mixed, sample)
        while done < count:
            if not self._ends:
                mixed[done:] *= self._before
                break
            start, stop = self._grid.start(self._hop), self._grid.start(self._hop + 1)
            first = sample + done - start
            if first < 0:  # the guard was switched on within a hop
                waiting = min(count - done, -first)
                mixed[done : done + waiting] *= self._before
                done += waiting
                continue
            if first >= stop - start:  # of a hop that lies before the stream's first sample
                self._before = self._ends.pop(0)
                self._hop += 1
                continue
            last = min(stop - start, first + count - done)
            strength = _way(stop - start)[first:last] * (self._ends[0] - self._before)
            strength += self._before
            mixed[done : done + last - first] *= strength
            done += last - first
            if last == stop - start:
                self._before = self._ends.pop(0)
                self._hop += 1
        mixed += dry
        return mixed

    def _scale_whole_hops(self, samples: F32, sample: int) -> int:
        """Returns how many samples it has multiplied: all whole hops at once, if the samples begin with some.

        For rates at which all hops have equally many samples; equal to the last bit to one hop after the other.
        """
        length = self._grid.hop_samples
        if not length or sample != self._grid.start(self._hop):
            return 0
        count = min(len(samples) // length, len(self._ends))
        if count < 1:
            return 0
        ends = self._ends[:count]
        if count == 1:
            strength = _way(length) * (ends[0] - self._before)
            strength += self._before
            samples[:length] *= strength
        else:
            befores = np.array([self._before, *ends[:-1]])
            strength = _way(length) * (np.array(ends) - befores).astype(np.float32)[:, np.newaxis]
            strength += befores.astype(np.float32)[:, np.newaxis]
            samples[: count * length] *= strength.reshape(-1)
        self._before = ends[-1]
        self._hop += count
        del self._ends[:count]
        return count * length

    @property
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The strength before the first hop that is not mixed to its end, and those decided; that hop's number."""
        return {
            "strengths": np.array([self._before, *self._ends], np.float64),
            "hop": np.array([self._hop], np.int64),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Goes on from a state; raises `StateError` if it is none of this object."""
        strengths, hop = state.get("strengths"), state.get("hop")
        if strengths is None or strengths.ndim != 1 or strengths.dtype != np.float64 or len(strengths) == 0:
            raise StateError(f"track: expected float64 strengths of shape (n,), got {strengths!r}")
        if not ((strengths >= 0) & (strengths <= 1)).all():
            raise StateError(f"track: expected strengths in [0, 1], got {strengths}")
        if hop is None or hop.shape != (1,) or hop.dtype != np.int64 or hop[0] < 0:
            raise StateError(f"track: expected the number of a hop, got {hop!r}")
        self._before, *self._ends = strengths.tolist()
        self._hop = int(hop[0])


@lru_cache(maxsize=64)
def _way(length: int) -> F32:
    """How far sample k, from 1, has gone from one strength to the next: k / length."""
    way = np.arange(1, length + 1, dtype=np.float32) / np.float32(length)
    way.flags.writeable = False
    return way
