"""The dual-path block of GTCRN for one frame, in the form that is fastest in ONNX Runtime.

- Over the bands: both directions are one GRU of twice the width, whose input is band b concatenated with band 32 - b.
  That is half as many steps, at the same cost per step.
- Over time: a single step, written out for all bands at once. A `Gemm` with its activation is one node, and all ten of
  them take a third of the time of `GRU`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.export.graph import Graph

_BANDS, _CHANNELS = 33, 16
_HALF = _CHANNELS // 2
_BOTH_WAYS = np.stack([np.arange(_BANDS), np.arange(_BANDS)[::-1]], axis=1)  # band b beside band 32 - b


def dual_path(g: Graph, x: str, hidden: str, name: str, weights: Mapping[str, F32]) -> tuple[str, str]:
    """Returns the names of the output and the new state; x and hidden are `(33, 16)`, one row per band.

    `weights` are those of `engines.onnx_weights.onnx_layout`.
    """
    w = {key.removeprefix(f"{name}."): array for key, array in weights.items() if key.startswith(f"{name}.")}
    x = g.add("Add", [x, _norm(g, _intra(g, x, w), "intra", w)])
    hidden = _inter(g, x, hidden, w)
    y = g.add("Gemm", [hidden, w["inter.fc.weight"], w["inter.fc.bias"]])
    return g.add("Add", [x, _norm(g, y, "inter", w)]), hidden


def gru_attributes(hidden_size: int) -> dict[str, Any]:
    """Returns the attributes that make ONNX's GRU equal to torch's."""
    return {"hidden_size": hidden_size, "linear_before_reset": 1}


def _intra(g: Graph, x: str, w: Mapping[str, F32]) -> str:
    both = g.add("Reshape", [g.add("Gather", [x, _BOTH_WAYS]), [_BANDS, 1, 2 * _CHANNELS]])
    merged = [_merge_directions(w[f"intra.gru.{kind}"]) for kind in "wrb"]
    steps = g.add("GRU", [both, *merged], **gru_attributes(_CHANNELS))
    # The forward state of band b is next to the backward one of band 32 - b: reorder them.
    y = g.add("Reshape", [g.add("Gather", [steps, _BOTH_WAYS]), [_BANDS, 2 * _CHANNELS]])
    fc = np.zeros((2 * _CHANNELS, _CHANNELS), np.float32)
    fc[:_HALF], fc[-_HALF:] = w["intra.fc.weight"][:_HALF], w["intra.fc.weight"][_HALF:]
    return g.add("Gemm", [y, fc, w["intra.fc.bias"]])


def _merge_directions(weight: F32) -> F32:
    """Merges a weight of ONNX's bidirectional GRU, `(2, gates * 8, ...)`, into one of a GRU on both inputs."""
    forward, backward = (each.reshape(-1, _HALF, *each.shape[1:]) for each in weight)
    if weight.ndim == 2:
        return np.concatenate([forward, backward], axis=1).reshape(1, -1)
    nothing = np.zeros_like(forward)
    gates = [np.block([[f, none], [none, b]]) for f, b, none in zip(forward, backward, nothing, strict=True)]
    return np.concatenate(gates)[None]


def _inter(g: Graph, x: str, hidden: str, w: Mapping[str, F32]) -> str:
    """Adds one GRU step: z = s(W_z x + R_z h + b_z), r likewise, n = tanh(W_n x + b_n + r (R_n h + c_n)).

    The new state is h' = n + z (h - n).
    """
    # ONNX's order is z, r, n
    w_z, w_r, w_n = np.split(w["inter.gru.w"][0].T, 3, axis=1)
    r_z, r_r, r_n = np.split(w["inter.gru.r"][0].T, 3, axis=1)
    b_z, b_r, b_n, c_z, c_r, c_n = np.split(w["inter.gru.b"], 6, axis=1)
    # A column of ones carries the biases, because Gemm's third argument is used for another term in n.
    inputs = g.add("Concat", [x, hidden, np.ones((_BANDS, 1))], axis=1)
    z = g.add("Sigmoid", [g.add("Gemm", [inputs, np.concatenate([w_z, r_z, b_z + c_z])])])
    r = g.add("Sigmoid", [g.add("Gemm", [inputs, np.concatenate([w_r, r_r, b_r + c_r])])])
    reset = g.add("Mul", [r, g.add("Gemm", [hidden, r_n, c_n[0]])])
    n = g.add("Tanh", [g.add("Gemm", [inputs, np.concatenate([w_n, np.zeros_like(r_n), b_n]), reset])])
    return g.add("Add", [n, g.add("Mul", [z, g.add("Sub", [hidden, n])])])


def _norm(g: Graph, x: str, stage: str, w: Mapping[str, F32]) -> str:
    inputs = [x, w[f"{stage}.ln.weight"], w[f"{stage}.ln.bias"]]
    return g.add("LayerNormalization", inputs, axis=-2, epsilon=1e-8)
