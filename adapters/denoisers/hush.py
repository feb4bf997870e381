"""Hush, a DeepFilterNet 3 trained against other voices, as in livekit-plugins-hush."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.denoisers.packages import import_part, package_folder
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import BenchEngine
from gtcrn_frontend.evaluation.environment import installed_version

DISTRIBUTION = "livekit-plugins-hush"
SAMPLE_RATE = 16_000
HOP_LENGTH = 160
_MAX_STREAMS = 200


class HushStreams:
    """Streams with one `HushSession` each and a shared `HushModel`; see `evaluation.bench.streams.Streams`.

    Args:
        folder: of the package livekit.plugins.hush.
    """

    def __init__(self, folder: Path) -> None:
        # Its module with the network, which sets ONNX Runtime to one thread; the package itself imports LiveKit's
        # agents and registers with them.
        self._package = import_part(folder, "_hush_model")
        self._model = self._package.HushModel()
        self._sessions: list[Any] = []

    def open(self) -> None:
        """Opens one more stream."""
        self._sessions.append(self._package.HushSession(self._model))

    def process(self, chunk: F32) -> F32:
        """Processes one hop in every stream; returns the output of the first one."""
        outputs: list[F32] = [session.process_frame(chunk) for session in self._sessions]
        return outputs[0]

    def state_bytes(self) -> int | None:
        """Returns None: the state is not accessible."""
        return None


class Hush:
    """Prepares Hush for a benchmark; see `evaluation.bench.streams.OtherEngineFactory`."""

    name = "Hush"
    is_required = False

    def prepare(self, folder: Path) -> BenchEngine:
        """Returns the denoiser.

        Raises:
            ImportError: livekit-plugins-hush is not installed.
        """
        package = package_folder("livekit.plugins.hush", DISTRIBUTION)
        runs = f"the model in {DISTRIBUTION} {installed_version(DISTRIBUTION)}, without its resampling and mix"
        make = functools.partial(HushStreams, package)
        return BenchEngine(self.name, self.name, "ONNX Runtime", runs, make, SAMPLE_RATE, HOP_LENGTH, _MAX_STREAMS)
