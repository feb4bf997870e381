"""RNNoise, the recurrent network of Valin (2018) in xiph's C library, as in pyrnnoise."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from gtcrn_frontend.adapters.denoisers.packages import import_part, package_folder
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import BenchEngine
from gtcrn_frontend.evaluation.environment import installed_version

SAMPLE_RATE = 48_000
HOP_LENGTH = 480
_FULL_SCALE = 32768  # the library takes floats in the range of int16
_MAX_STREAMS = 200


class RNNoiseStreams:
    """Streams with one `DenoiseState` each; see `evaluation.bench.streams.Streams`.

    Args:
        folder: of the package pyrnnoise.
    """

    def __init__(self, folder: Path) -> None:
        # Its module of bindings; the package itself imports FFmpeg.
        self._bindings = import_part(folder, "rnnoise")
        self._states: list[int] = []

    def open(self) -> None:
        """Opens one more stream."""
        self._states.append(self._bindings.create())

    def process(self, chunk: F32) -> F32:
        """Processes one hop in every stream; returns the output of the first one."""
        outputs = [self._process(state, chunk) for state in self._states]
        return outputs[0]

    def state_bytes(self) -> int | None:
        """Returns None: the size is not accessible."""
        return None

    def __del__(self) -> None:
        for state in getattr(self, "_states", ()):
            self._bindings.destroy(state)

    def _process(self, state: int, chunk: F32) -> F32:
        frame = chunk * _FULL_SCALE
        samples = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._bindings.lib.rnnoise_process_frame(state, samples, samples)
        frame /= _FULL_SCALE
        return frame


class RNNoise:
    """Prepares RNNoise for a benchmark; see `evaluation.bench.streams.OtherEngineFactory`."""

    name = "RNNoise"
    is_required = False

    def prepare(self, folder: Path) -> BenchEngine:
        """Returns the denoiser.

        Raises:
            ImportError: pyrnnoise is not installed.
        """
        make = functools.partial(RNNoiseStreams, package_folder("pyrnnoise", "pyrnnoise"))
        runs = f"the library in pyrnnoise {installed_version('pyrnnoise')}"
        return BenchEngine(self.name, self.name, "C library", runs, make, SAMPLE_RATE, HOP_LENGTH, _MAX_STREAMS)
