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
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.weights.model import installed_model_file

DOCUMENTATION = """{name}, streaming speech enhancement: spectra and caches in, enhanced spectra and caches out.

    mix         (1, {n_bins}, T, 2)   T frames, real and imaginary part    enh
    NAME_cache  see the inputs    what the network remembers           NAME_cache_out

Everything is float32. Initial caches are zeros; pass the returned caches to the next run.

Audio: {sample_rate} Hz, full scale 1. A frame is the Fourier transform of {win_length} samples times the window
sqrt(0.5 - 0.5 cos(2 pi n / {win_length})), n_fft {n_fft}; the next begins {hop_length} samples later, and the signal is
preceded by zeros. Synthesis: inverse transform, the same window, overlap-add.
"""


def streaming_graph(weights: Mapping[str, F32], spec: ModelSpec, origin: Origin, strength: float) -> bytes:
    """Returns an ONNX file; `DOCUMENTATION` describes it, and is in it.

    Args:
        weights: the arrays to bind to the graph of this network, by name.
        spec: of the network.
        origin: of the weights.
        strength: 0 (input unchanged) to 1 (full enhancement).
    """
    model = onnx.ModelProto.FromString(installed_model_file(f"{spec.name}.onnx").read_bytes())
    embed_weights(model, weights)
    if strength != 1:
        _mix_in_the_input(model, strength)
    facts = {name: getattr(spec, name) for name in ("sample_rate", "n_fft", "n_bins", "win_length", "hop_length")}
    model.doc_string = DOCUMENTATION.format(name=spec.name, **facts)
    metadata = {"model": origin.name, "network": spec.name, "strength": f"{strength:g}", **origin.to_metadata()}
    metadata |= {"sample_rate": str(spec.sample_rate), "n_fft": str(spec.n_fft), "window_type": spec.window}
    metadata |= {"hop_length": str(spec.hop_length), "window_length": str(spec.win_length)}
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString(deterministic=True))


def _mix_in_the_input(model: onnx.ModelProto, strength: float) -> None:
    """Applies the strength: `enh` becomes strength * enh + (1 - strength) * mix."""
    for node in model.graph.node:
        node.output[:] = ["enhanced" if name == "enh" else name for name in node.output]
    g = Graph(prefix="enh_")
    parts = [g.add("Mul", [x, np.float32(s)]) for x, s in (("enhanced", strength), ("mix", 1 - strength))]
    g.add("Add", parts, "enh")
    model.graph.node.extend(g.nodes)
    model.graph.initializer.extend(g.constants())
