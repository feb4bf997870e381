"""Hush, a DeepFilterNet 3 trained against other voices, as in livekit-plugins-hush."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gtcrn_frontend.adapters.denoisers.packages import import_part
from gtcrn_frontend.adapters.denoisers.product import InstalledDenoiser
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import SeparateStreams


def _load(folder: Path) -> SeparateStreams:
    # The module with the network, which sets ONNX Runtime to one thread; the package itself imports LiveKit's agents
    # and registers with them.
    package = import_part(folder, "_hush_model")
    model = package.HushModel()

    def new_stream() -> Callable[[F32], F32]:
        process: Callable[[F32], F32] = package.HushSession(model).process_frame
        return process

    return SeparateStreams(new_stream)


HUSH = InstalledDenoiser(
    name="Hush",
    package="livekit.plugins.hush",
    distribution="livekit-plugins-hush",
    engine="ONNX Runtime",
    part="the model",
    without=", without its resampling and mix",
    load=_load,
    sample_rate=16_000,
    hop_length=160,
)
