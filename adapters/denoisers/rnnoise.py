"""RNNoise, the recurrent network of Valin (2018) in xiph's C library, as in pyrnnoise."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.denoisers.packages import import_part
from gtcrn_frontend.adapters.denoisers.product import InstalledDenoiser
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import SeparateStreams

_FULL_SCALE = 32768  # the library takes floats in the range of int16


class _Stream:
    """One `DenoiseState` of the library."""

    def __init__(self, bindings: Any) -> None:
        self._bindings = bindings
        self._state = bindings.create()

    def __call__(self, chunk: F32) -> F32:
        frame = chunk * _FULL_SCALE
        samples = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._bindings.lib.rnnoise_process_frame(self._state, samples, samples)
        frame /= _FULL_SCALE
        return frame

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._bindings.destroy(self._state)


def _load(folder: Path) -> SeparateStreams:
    # The module of bindings; the package itself imports FFmpeg.
    return SeparateStreams(functools.partial(_Stream, import_part(folder, "rnnoise")))


RNNOISE = InstalledDenoiser(
    name="RNNoise",
    package="pyrnnoise",
    distribution="pyrnnoise",
    engine="C library",
    part="the library",
    without="",
    load=_load,
    sample_rate=48_000,
    hop_length=480,
)
