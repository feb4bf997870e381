"""Self-contained streaming graphs of networks with a packaged graph: `mix` and caches in, `enh` and caches out.

The form of published streaming models (`engines/onnx/streaming.py`), so any program that runs those can run it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.export.graph import Graph, embed_weights
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.export.single_frame import sherpa_metadata
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.weights.model import installed_model_file

DOCUMENTATION = """{name}, streaming speech enhancement: spectra and caches in, enhanced spectra and caches out.

    mix         (1, {n_bins}, T, 2)   T frames, real and imaginary part    enh
    NAME_cache  see the inputs    what the network remembers           NAME_cache_out

Everything is float32. Initial caches are zeros; pass the returned caches to the next run.

Audio: {sample_rate} Hz, full scale 1. A frame is the Fourier transform of {win_length} samples times the window
{window}, n_fft {n_fft}; the next begins {hop_length} samples later, and the signal is
preceded by zeros. Synthesis: inverse transform, {synthesis}.
"""
_WINDOWS = {
    "hann_sqrt": ("sqrt(0.5 - 0.5 cos(2 pi n / {}))", "the same window, overlap-add"),
    "hann": (
        "0.5 - 0.5 cos(2 pi n / {})",
        "the same window, overlap-add, division by the sum of the squared windows that overlap",
    ),
}


def streaming_graph(weights: Mapping[str, F32], spec: ModelSpec, origin: Origin, strength: float) -> bytes:
    """Returns an ONNX file; `DOCUMENTATION` describes it, and is in it.

    Args:
        weights: the arrays to bind to the graph of this network, by name.
        spec: of the network.
        origin: of the weights.
        strength: 0 (input unchanged) to 1 (full enhancement).
    """
    model = _with_weights(weights, spec, strength)
    facts = {name: getattr(spec, name) for name in ("sample_rate", "n_fft", "n_bins", "win_length", "hop_length")}
    window, synthesis = _WINDOWS[spec.window]
    model.doc_string = DOCUMENTATION.format(
        name=spec.name, window=window.format(spec.win_length), synthesis=synthesis, **facts
    )
    metadata = {"model": origin.name, "network": spec.name, "strength": f"{strength:g}", **origin.to_metadata()}
    metadata |= {"sample_rate": str(spec.sample_rate), "n_fft": str(spec.n_fft), "window_type": spec.window}
    metadata |= {"hop_length": str(spec.hop_length), "window_length": str(spec.win_length)}
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString(deterministic=True))


def single_frame_streaming_graph(weights: Mapping[str, F32], spec: ModelSpec, origin: Origin, strength: float) -> bytes:
    """Returns an ONNX file for one frame per run with the metadata of sherpa-onnx's denoisers, see `streaming_graph`.

    Their GTCRN takes any network with three caches, whose shapes the metadata name. `OfflineSpeechDenoiser` inverts any
    window; `OnlineSpeechDenoiser` overlaps and adds without division, which is right for `hann_sqrt` only.
    """
    model = _with_weights(weights, spec, strength)
    for tensor in (*model.graph.input, *model.graph.output):
        for size in tensor.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = 1  # replaces the name
    shapes = [tensor.type.tensor_type.shape for tensor in model.graph.input[1:]]
    caches = [tuple(size.dim_value for size in shape.dim) for shape in shapes]
    helper.set_model_props(model, sherpa_metadata(spec, origin, strength, caches))
    return bytes(model.SerializeToString(deterministic=True))


def _with_weights(weights: Mapping[str, F32], spec: ModelSpec, strength: float) -> onnx.ModelProto:
    model: onnx.ModelProto = onnx.ModelProto.FromString(installed_model_file(f"{spec.name}.onnx").read_bytes())
    embed_weights(model, weights)
    if strength != 1:
        _mix_in_the_input(model, strength)
    return model


def _mix_in_the_input(model: onnx.ModelProto, strength: float) -> None:
    """Applies the strength: `enh` becomes strength * enh + (1 - strength) * mix."""
    for node in model.graph.node:
        node.output[:] = ["enhanced" if name == "enh" else name for name in node.output]
    g = Graph(prefix="enh_")
    parts = [g.add("Mul", [x, np.float32(s)]) for x, s in (("enhanced", strength), ("mix", 1 - strength))]
    g.add("Add", parts, "enh")
    model.graph.node.extend(g.nodes)
    model.graph.initializer.extend(g.constants())
