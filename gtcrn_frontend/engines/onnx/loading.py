"""Loads models into ONNX Runtime, the engine that is always installed and supports CUDA, TensorRT or CoreML.

GTCRN checkpoints run in the packaged graph, with their folded weights bound at load. Published streaming graphs of any
network run unchanged, and so do waveform-to-waveform graphs, in segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine
from gtcrn_frontend.engines.onnx.gtcrn import BoundGraphEngine, SelfContainedGraphEngine
from gtcrn_frontend.engines.onnx.gtcrn_layout import onnx_layout, with_slopes
from gtcrn_frontend.engines.onnx.lite_rtse_layout import lite_rtse_onnx_layout
from gtcrn_frontend.engines.onnx.session import open_session
from gtcrn_frontend.engines.onnx.streaming import StreamingGraphEngine, streaming_graph_spec
from gtcrn_frontend.engines.onnx.ulunas_layout import ulunas_onnx_layout
from gtcrn_frontend.engines.onnx.waveform import INPUT, waveform_graph_engine
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import Model, installed_model_file

STREAMING_LAYOUTS: dict[str, Callable[[Mapping[str, F32]], dict[str, F32]]] = {
    "lite_rtse": lite_rtse_onnx_layout,
    "ulunas": ulunas_onnx_layout,
}
"""Networks with a packaged graph `models/NETWORK.onnx` without weights, and the function that converts parameters to
them."""


def load_onnx(model: Model, num_threads: int = 1, providers: Sequence[str] = ()) -> Engine[Any]:
    """Returns an engine that runs the model in ONNX Runtime.

    Args:
        model: a checkpoint or a ready graph.
        num_threads: threads within an operator; more than one rarely helps with networks this small.
        providers: ONNX Runtime execution providers in order of preference; the CPU is appended.

    Raises:
        ModelError: a provider is not in the installed ONNX Runtime, or the graph cannot be loaded.
    """
    if model.graph is not None:
        try:
            session = open_session(model.graph, num_threads, providers, {})
        except ModelError as error:
            raise ModelError(f"{model.source}: {error}") from error
        inputs = {node.name for node in session.get_inputs()}
        if inputs == {INPUT}:
            return waveform_graph_engine(session, model.source)
        if inputs == set(SelfContainedGraphEngine.INPUTS):
            return SelfContainedGraphEngine(GTCRN_SPEC, session)
        return StreamingGraphEngine(streaming_graph_spec(session, model.source), session)
    spec, parameters = model.weights_for("onnx")
    if spec.name == "gtcrn":
        folded = fold_gtcrn(parameters)
        graph = with_slopes(installed_model_file("gtcrn.onnx").read_bytes(), folded)
        return BoundGraphEngine(spec, open_session(graph, num_threads, providers, onnx_layout(folded)))
    graph = installed_model_file(f"{spec.name}.onnx").read_bytes()
    weights = STREAMING_LAYOUTS[spec.name](parameters)
    return StreamingGraphEngine(spec, open_session(graph, num_threads, providers, weights))
