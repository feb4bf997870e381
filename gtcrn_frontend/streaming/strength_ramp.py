"""Strengths that were decided hop by hop, spread over the samples of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.native.binding import FLOATS, ffi, for_c, lib

_MOST_HOPS = 2**40  # centuries: a larger number is none of a stream


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

    def native(self) -> Any:
        """Returns a copy in C, with attributes of the same names."""
        return ffi.new("gtcrn_grid *", vars(self))

    def start(self, hop: int) -> int:
        """Returns the number of the first sample of a hop in the output; negative before the stream's first."""
        return -((self.delay - hop * self.hop_length) * self.output_rate // self.rate)


class StrengthRamp:
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
        self._native_grid = None if lib is None else grid.native()

    def extend(self, ends: Sequence[float]) -> None:
        """Adds the strengths at the ends of the hops that follow."""
        self._ends += ends

    def is_at(self, hop: int, strength: float) -> bool:
        """Returns whether all before this hop is mixed, up to this strength, and nothing is decided for later."""
        return self._hop == hop and self._before == strength and not self._ends

    def resume(self, hop: int, strength: float) -> None:
        """Goes on where the hops before this one were decided and mixed elsewhere."""
        self._hop, self._before, self._ends = hop, strength, []

    def at(self, sample: int) -> float:
        """Returns the strength of the last sample before `sample`, which is the next to be mixed."""
        start, stop = self._grid.start(self._hop), self._grid.start(self._hop + 1)
        if not self._ends or sample <= start:
            return self._before
        return self._before + (self._ends[0] - self._before) * (sample - start) / (stop - start)

    def mix(self, dry: F32, enhanced: F32, sample: int) -> F32:
        """Returns dry + strength * (enhanced - dry); the samples `(n,)` are the next ones, from number `sample` on."""
        if self._native_grid is None:
            mixed, over = self._mixed_in_python(dry, enhanced, sample)
        else:
            if len(dry) != len(enhanced):  # C relies on it
                raise ValueError(f"expected as many dry samples as enhanced ones, got {len(dry)} and {len(enhanced)}")
            mixed = np.empty(len(dry), np.float32)
            dry = for_c(dry)  # the caller's own; enhanced comes from an engine
            strengths = [self._before, *self._ends]
            over = lib.gtcrn_mix(
                self._native_grid,
                self._hop,
                strengths,
                len(strengths) - 1,
                sample,
                ffi.from_buffer(FLOATS, dry),
                ffi.from_buffer(FLOATS, enhanced),
                len(dry),
                ffi.from_buffer(FLOATS, mixed),
            )
        if over:
            self._before = self._ends[over - 1]
            self._hop += over
            del self._ends[:over]
        return mixed

    def _mixed_in_python(self, dry: F32, enhanced: F32, sample: int) -> tuple[F32, int]:
        """What `gtcrn_mix` does: the samples, and how many hops are mixed to their end."""
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
            if over == len(self._ends) or first < 0:  # none decided; or the guard was switched on within a hop
                until = count if over == len(self._ends) else min(count, done - first)
                mixed[done:until] *= strengths[over]
            else:
                until = min(count, done + stop - start - first)
                way = np.arange(first + 1, first + 1 + until - done, dtype=np.float32) / np.float32(stop - start)
                mixed[done:until] *= strengths[over] + way * (strengths[over + 1] - strengths[over])
            done = until

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
        if hop is None or hop.shape != (1,) or hop.dtype != np.int64 or not 0 <= hop[0] < _MOST_HOPS:
            raise StateError(f"track: expected the number of a hop, got {hop!r}")
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
                f"track: expected the strengths of {hops} hops but for those mixed in {samples_out} samples, got "
                f"{waiting} from hop {self._hop} on"
            )
