"""`StrengthRamp`: interpolates per-hop strengths over the samples of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.native import auto_strength as in_c

_MOST_HOPS = 2**40  # centuries: larger values are not from a stream


@dataclass(frozen=True)
class HopGrid:
    """Position of the engine's output hops in the stream's output.

    Hop h starts at time `(h * hop_length - delay) / rate`. An output sample belongs to the hop that covers its time,
    independent of resampling and chunking.

    Attributes:
        hop_length: samples per hop at the model's rate.
        delay: how far the engine's output trails its input, in samples at the model's rate.
        rate: the model's rate in Hz.
        output_rate: the output's rate in Hz.
    """

    hop_length: int
    delay: int
    rate: int
    output_rate: int

    def start(self, hop: int) -> int:
        """Returns the index of the first output sample of a hop; negative before the start of the stream."""
        return -((self.delay - hop * self.hop_length) * self.output_rate // self.rate)


class StrengthRamp:
    """Queues per-hop strengths until their samples arrive; interpolates linearly within a hop.

    Args:
        grid: position of the hops.
        strength: strength before the first queued hop.
        hop: index of the first queued hop.
    """

    def __init__(self, grid: HopGrid, strength: float, hop: int) -> None:
        self._grid = grid
        self._hop = hop  # first hop that is not completely mixed
        self._before = strength
        self._ends: list[float] = []
        self._native_grid = in_c.new_grid(vars(grid)) if in_c.is_built() else None

    def extend(self, ends: Sequence[float]) -> None:
        """Appends the strengths at the ends of the next hops."""
        self._ends += ends

    def at(self, sample: int) -> float:
        """Returns the strength of the last sample before `sample`, the next one to mix."""
        start, stop = self._grid.start(self._hop), self._grid.start(self._hop + 1)
        if not self._ends or sample <= start:
            return self._before
        return self._before + (self._ends[0] - self._before) * (sample - start) / (stop - start)

    def mix(self, dry: F32, enhanced: F32, sample: int) -> F32:
        """Returns dry + strength * (enhanced - dry); the samples `(n,)` start at index `sample`."""
        if self._native_grid is None:
            mixed, over = self._mixed_in_python(dry, enhanced, sample)
        else:
            strengths = [self._before, *self._ends]
            mixed, over = in_c.mix(self._native_grid, self._hop, strengths, sample, dry, enhanced)
        if over:
            self._before = self._ends[over - 1]
            self._hop += over
            del self._ends[:over]
        return mixed

    def _mixed_in_python(self, dry: F32, enhanced: F32, sample: int) -> tuple[F32, int]:
        """Reference implementation of `gtcrn_mix`: returns the samples and the number of completely mixed hops."""
        strengths = [self._before, *self._ends]
        mixed = enhanced - dry
        count, done, over = len(mixed), 0, 0
        while True:
            start, stop = self._grid.start(self._hop + over), self._grid.start(self._hop + over + 1)
            first = sample + done - start
            if over < len(self._ends) and stop - start <= first:
                over += 1
                continue
            if done == count:
                return mixed + dry, over
            if over == len(self._ends) or first < 0:  # none queued, or automatic strength was enabled within a hop
                until = count if over == len(self._ends) else min(count, done - first)
                mixed[done:until] *= strengths[over]
            else:
                until = min(count, done + stop - start - first)
                way = np.arange(first + 1, first + 1 + until - done, dtype=np.float32) / np.float32(stop - start)
                mixed[done:until] *= strengths[over] + way * (strengths[over + 1] - strengths[over])
            done = until

    @property
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The strength before the first incompletely mixed hop, the queued ones, and that hop's index."""
        return {
            "strengths": np.array([self._before, *self._ends], np.float64),
            "hop": np.array([self._hop], np.int64),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores a state; raises `StateError` if it does not fit."""
        strengths, hop = state.get("strengths"), state.get("hop")
        if strengths is None or strengths.ndim != 1 or strengths.dtype != np.float64 or len(strengths) == 0:
            raise StateError(f"strength_ramp: expected float64 strengths of shape (n,), got {strengths!r}")
        if not ((strengths >= 0) & (strengths <= 1)).all():
            raise StateError(f"strength_ramp: expected strengths in [0, 1], got {strengths}")
        if hop is None or hop.shape != (1,) or hop.dtype != np.int64 or not 0 <= hop[0] < _MOST_HOPS:
            raise StateError(f"strength_ramp: expected the number of a hop, got {hop!r}")
        self._before, *self._ends = strengths.tolist()
        self._hop = int(hop[0])

    def check_place(self, hops: int, samples_out: int) -> None:
        """Raises `StateError` if it is not where its stream is.

        Args:
            hops: that the stream has had: the strengths of all of them are decided.
            samples_out: that it has delivered: the hops before them are mixed to their end, and no others.
        """
        waiting = len(self._ends)
        if self._hop + waiting != hops or (waiting and self._grid.start(self._hop + 1) <= samples_out):
            raise StateError(
                f"strength_ramp: expected the strengths of {hops} hops but for those mixed in {samples_out} samples, "
                f"got {waiting} from hop {self._hop} on"
            )
