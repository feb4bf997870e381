"""The automatic strength in C, as `streaming/auto_strength/level_tracker.py` and `strength_ramp.py` use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.native.binding import DOUBLES, FLOATS, ffi, for_c, lib


def is_built() -> bool:
    """Whether the C extension is there."""
    return lib is not None


def new_levels(fields: Mapping[str, float]) -> Any:
    """Returns a `gtcrn_auto_strength` with these fields."""
    return ffi.new("gtcrn_auto_strength *", fields)


def new_grid(fields: Mapping[str, int]) -> Any:
    """Returns a `gtcrn_grid` with these fields."""
    return ffi.new("gtcrn_grid *", fields)


def decide(levels: Any, energies: npt.NDArray[np.float64]) -> list[float]:
    """See `level_tracker.decide`."""
    energies = np.ascontiguousarray(energies, np.float64)
    strengths = np.empty(len(energies))
    lib.gtcrn_auto_strength_decide(
        levels, ffi.from_buffer(DOUBLES, energies), len(energies), ffi.from_buffer(DOUBLES, strengths)
    )
    return strengths.tolist()


def update(levels: Any, dry: F32, enhanced: F32) -> list[float]:
    """See `level_tracker.update`."""
    if dry.size != enhanced.size:  # C relies on it
        raise ValueError(f"expected as many samples on both sides of the network, got {dry.size} and {enhanced.size}")
    enhanced = np.ascontiguousarray(enhanced)
    strengths = np.empty(len(enhanced))
    lib.gtcrn_auto_strength_update(
        levels,
        ffi.from_buffer(FLOATS, dry),
        ffi.from_buffer(FLOATS, enhanced),
        *enhanced.shape,
        ffi.from_buffer(DOUBLES, strengths),
    )
    return strengths.tolist()


def mix(grid: Any, hop: int, strengths: Sequence[float], sample: int, dry: F32, enhanced: F32) -> tuple[F32, int]:
    """Returns the samples `(n,)`, and the number of hops that are mixed to their end.

    Args:
        grid: result of `new_grid`.
        hop: the first one that is not completely mixed.
        strengths: before it, and at the ends of it and of those behind it.
        sample: index of the first sample.
        dry, enhanced: `(n,)`.
    """
    if len(dry) != len(enhanced):  # C relies on it
        raise ValueError(f"expected as many dry samples as enhanced ones, got {len(dry)} and {len(enhanced)}")
    mixed = np.empty(len(dry), np.float32)
    dry = for_c(dry)  # the caller's array; enhanced comes from an engine
    over = lib.gtcrn_mix(
        grid,
        hop,
        list(strengths),
        len(strengths) - 1,
        sample,
        ffi.from_buffer(FLOATS, dry),
        ffi.from_buffer(FLOATS, enhanced),
        len(dry),
        ffi.from_buffer(FLOATS, mixed),
    )
    return mixed, int(over)
