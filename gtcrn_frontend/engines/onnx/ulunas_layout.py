"""Converts UL-UNAS parameters to the layout of the graph `models/ulunas.onnx`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.onnx.gtcrn_layout import onnx_gru
from gtcrn_frontend.weights.fold_ulunas import NAMES, fold_ulunas
from gtcrn_frontend.weights.ulunas import BLOCKS

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def ulunas_onnx_layout(parameters: Mapping[str, F32]) -> dict[str, F32]:
    """Returns the arrays to bind to the graph's weights, float32, C-contiguous, by name of the initializer.

    Pointwise convolutions in groups become dense with zeros: that costs less than nodes that shuffle channels.
    """
    folded = fold_ulunas(parameters)
    arrays: dict[str, F32] = {"erb.merge": folded["erb.merge"].T, "erb.spread": folded["erb.spread"].T}
    for name, block in zip(NAMES, BLOCKS, strict=True):
        for layer in ("point1", "conv", "point2"):
            arrays |= _layer(folded, f"{name}.{layer}", 1 if layer == "conv" else block.groups)
        for gates in ("time", "bands"):
            arrays |= _gru(folded, f"{name}.{gates}.gru", both=gates == "bands")
            arrays |= {f"{name}.{gates}.fc.{kind}": folded[f"{name}.{gates}.fc.{kind}"] for kind in ("weight", "bias")}
    for name in ("dp1", "dp2"):
        for stage in ("intra", "inter"):
            path = f"{name}.{stage}"
            arrays |= _gru(folded, f"{path}.gru", both=stage == "intra")
            arrays |= {key: folded[key] for key in folded if key.startswith((f"{path}.fc.", f"{path}.ln."))}
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def _layer(folded: Mapping[str, F32], name: str, groups: int) -> dict[str, F32]:
    """Returns the arrays of a convolution and its activation; none if the block has no such layer."""
    if f"{name}.weight" not in folded:
        return {}
    weight = folded[f"{name}.weight"]
    arrays = {f"{name}.weight": weight if weight.ndim == 4 else _dense(weight, groups)}
    arrays[f"{name}.bias"] = folded[f"{name}.bias"]
    if f"{name}.a" in folded:
        arrays |= {f"{name}.{key}": folded[f"{name}.{key}"][:, None] for key in "ab"}
        arrays[f"{name}.slope"] = folded[f"{name}.slope"][:, None, None]
    return arrays


def _dense(weight: F32, groups: int) -> F32:
    """Returns `(outputs, inputs, 1, 1)` of `(outputs, inputs / groups)`, where row j belongs to group j % groups."""
    outputs, inputs = weight.shape
    whole = np.zeros((outputs, groups * inputs, 1, 1), np.float32)
    for group in range(groups):
        whole[group::groups, group * inputs : (group + 1) * inputs, 0, 0] = weight[group::groups]
    return whole


def _gru(folded: Mapping[str, F32], name: str, *, both: bool) -> dict[str, F32]:
    parts = {kind: folded[f"{name}.{kind}"] if both else folded[f"{name}.{kind}"][None] for kind in _KINDS}
    return {f"{name}.{key}": array for key, array in onnx_gru(parts).items()}
