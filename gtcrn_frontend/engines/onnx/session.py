"""ONNX Runtime sessions with this package's errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Before the import: otherwise ONNX Runtime writes a device id to the user's home and starts a telemetry thread, without
# which a forked child hangs at exit.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.stft_engine import SpectralEngine
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import ModelSpec

_CPU = "CPUExecutionProvider"


def open_session(
    graph: bytes, num_threads: int, providers: Sequence[str], weights: Mapping[str, F32]
) -> onnxruntime.InferenceSession:
    """Returns a session for a graph.

    Args:
        graph: an ONNX file.
        num_threads: threads within an operator.
        providers: in order of preference; the CPU is appended.
        weights: arrays to bind to the graph's initializers, by name.

    Raises:
        ModelError: a provider is not in the installed ONNX Runtime, or the graph cannot be loaded.
    """
    available = onnxruntime.get_available_providers()
    missing = [name for name in providers if name not in available]
    if missing:
        raise ModelError(
            f"expected providers out of {available}, got {missing}: install the matching onnxruntime build"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Spinning threads would take CPU time from the recogniser.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
    chosen = [name for name in providers if name != _CPU] + [_CPU]
    try:
        return onnxruntime.InferenceSession(graph, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise ModelError(f"ONNX Runtime cannot load the model: {error}") from error


def description(session: onnxruntime.InferenceSession) -> str:
    """Returns the ONNX Runtime version and the provider, see `Engine.description`."""
    return f"ONNX Runtime {onnxruntime.__version__}, {session.get_providers()[0]}"


def run_session(
    run: Callable[[Sequence[str], dict[str, Any]], Any], outputs: Sequence[str], feeds: dict[str, Any]
) -> list[Any]:
    """Returns the outputs of a session's `run` or `run_with_ort_values`, in order; `ModelError` if it fails."""
    try:
        return list(run(outputs, feeds))
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise ModelError(f"ONNX Runtime failed: {error}") from error


class OnnxEngine(SpectralEngine):
    """Base of the ONNX engines: a session and the engine's name."""

    name = "onnx"

    def __init__(self, spec: ModelSpec, session: onnxruntime.InferenceSession) -> None:
        self.spec = spec
        self.description = description(session)
        self._session = session

    def _call(self, outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
        return run_session(self._session.run, outputs, feeds)
