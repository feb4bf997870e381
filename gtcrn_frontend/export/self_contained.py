"""Self-contained GTCRN graph: weights included, for any ONNX runtime and any number of streams and frames per run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.onnx.gtcrn_layout import onnx_layout, with_slopes
from gtcrn_frontend.export.graph import Graph, embed_weights
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.weights.model import installed_model_file

DOCUMENTATION = """GTCRN, streaming speech enhancement: spectra and caches in, enhanced spectra and caches out.

    spec  (N, T, {n_bins}, 2)   T frames of N streams, real and imaginary part    enh
    conv  (N, 16, 32, 33)  past of the convolutions                          new_conv
    tra   (6, N, 16)       states of the attention's GRUs                    new_tra
    inter (2, 33 N, 16)    states of the GRUs over time, stream by stream    new_inter

Everything is float32. Initial caches are zeros; pass the returned caches to the next run.

Audio: {sample_rate} Hz, full scale 1. A frame is the Fourier transform of {win_length} samples times the window
sqrt(0.5 - 0.5 cos(2 pi n / {win_length})), n_fft {n_fft}; the next begins {hop_length} samples later, and the signal is
preceded by zeros. Synthesis: inverse transform, the same window, overlap-add.
"""
_QUARTER_TURN = np.array([[0, 1], [-1, 0]], np.float32)  # (re, im) to (-im, re)


def self_contained_graph(folded: Mapping[str, F32], spec: ModelSpec, origin: Origin, strength: float) -> bytes:
    """Returns an ONNX file; `DOCUMENTATION` describes it, and is in it.

    Args:
        folded: what `weights.fold.fold_gtcrn` returns.
        spec: of the network.
        origin: of the weights.
        strength: 0 (input unchanged) to 1 (full enhancement).
    """
    model = onnx.ModelProto.FromString(with_slopes(installed_model_file("gtcrn.onnx").read_bytes(), folded))
    embed_weights(model, onnx_layout(folded))

    apply_mask = Graph(prefix="enh_")
    _product(apply_mask, strength)
    model.graph.node.extend(apply_mask.nodes)
    model.graph.initializer.extend(apply_mask.constants())
    (mask,) = (output for output in model.graph.output if output.name == "mask")
    mask.name = "enh"

    facts = {
        "sample_rate": spec.sample_rate,
        "n_fft": spec.n_fft,
        "n_bins": spec.n_bins,
        "win_length": spec.win_length,
        "hop_length": spec.hop_length,
    }
    model.doc_string = DOCUMENTATION.format(**facts)
    metadata = {"model": origin.name, "network": spec.name, "window": spec.window, "strength": f"{strength:g}"}
    metadata |= {name: str(value) for name, value in facts.items()} | origin.to_metadata()
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString(deterministic=True))


def _product(g: Graph, strength: float) -> None:
    """Adds `enh`, the complex product of (s mask + (1 - s)) and `spec`; real and imaginary part on the last axis."""
    real, imaginary = g.split("mask", [1, 1], axis=-1)
    if strength != 1:
        real = g.add("Add", [g.add("Mul", [real, np.float32(strength)]), np.float32(1 - strength)])
        imaginary = g.add("Mul", [imaginary, np.float32(strength)])
    turned = g.add("MatMul", ["spec", _QUARTER_TURN])
    g.add("Add", [g.add("Mul", [real, "spec"]), g.add("Mul", [imaginary, turned])], "enh")
