"""Folds a UL-UNAS state dict into fewer, simpler weights with the same output, as `fold.py` does for GTCRN.

- Batch norm in evaluation is a scale and a shift per channel, folded into the convolution before it.
- A channel shuffle is folded into the pointwise convolution before it: its rows, and what reads or scales their
  results, are in the shuffled order. Row j then belongs to group j % groups.
- A transposed convolution of stride 1 is a convolution with the kernel flipped.
- Two GRUs on two halves of the features are one, see `fold.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.weights.fold import batch_norm, fold_dual_path
from gtcrn_frontend.weights.ulunas import BLOCKS, ENCODER, Block, ulunas_parameters
from gtcrn_frontend.weights.validate import check_parameters

NAMES = tuple(f"{'de' if block.transposed else 'en'}{i % len(ENCODER)}" for i, block in enumerate(BLOCKS))
"""Of the blocks in order of execution: en0 to en4, de0 to de4."""


def fold_ulunas(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, F32]:
    """Returns the folded arrays of a UL-UNAS checkpoint, float32, by name.

    C are the outputs and F the bands behind a layer; GRU gates are in torch's order r, z, n:

    - `erb.merge (64, 192)`, `erb.spread (192, 64)`
    - of each block in `NAMES`: `.point1.weight (C, inputs / groups)` and `.point2.weight (C, C / groups)` of what it
      has; `.conv.weight` as `(outputs, inputs / groups, time, bands)`, transposed with stride 2 as torch has it; each
      with `.bias (C,)` and, before an activation, `.a`, `.b (C, F)` and `.slope (C,)`
    - of each block: `.time.gru.*` (C to 2 C), `.time.fc.weight (C, 2 C)`, `.time.fc.bias`, `.bands.gru.*` with
      a leading axis of two directions (4 to 4), `.bands.fc.weight (4, 8)`, `.bands.fc.bias`
    - `dp1`, `dp2` and `.gru.*` as in `fold_gtcrn`

    Raises:
        ModelError: the arrays are not those of a UL-UNAS, see `check_parameters`.
    """
    p = check_parameters(arrays, ulunas_parameters(), "ulunas")
    folded: dict[str, Any] = {"erb.merge": p["erb.erb_fc.weight"], "erb.spread": p["erb.ierb_fc.weight"]}
    for name, block in zip(NAMES, BLOCKS, strict=True):
        folded |= {f"{name}.{key}": array for key, array in _block(p, block).items()}
    for i in range(2):
        folded |= fold_dual_path(p, f"dpgrnn.{i}", f"dp{i + 1}")
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in folded.items()}


def _block(p: Mapping[str, F32], block: Block) -> dict[str, Any]:
    path = block.path
    if block.kind == "conv":
        return _convolution(p, f"{path}.ops", block) | _attention(p, f"{path}.ops.4", np.arange(block.outputs))
    order = _shuffled(block)
    if block.kind == "separable":
        folded = _pointwise(p, f"{path}.pconv", "point1", order) | _convolution(p, f"{path}.dconv", block)
        return folded | _attention(p, f"{path}.dconv.4", np.arange(block.outputs))
    folded = _pointwise(p, f"{path}.pconv1", "point1", order) | _convolution(p, f"{path}.dconv", block)
    return folded | _pointwise(p, f"{path}.pconv2", "point2", order) | _attention(p, f"{path}.pconv2.2", order)


def _shuffled(block: Block) -> npt.NDArray[np.intp]:
    """Returns for each channel behind a channel shuffle the one that it was before."""
    return np.arange(block.outputs).reshape(block.groups, -1).T.reshape(-1)


def _pointwise(p: Mapping[str, F32], path: str, name: str, order: npt.NDArray[np.intp]) -> dict[str, Any]:
    scale, shift = batch_norm(p, f"{path}.1")
    weight = p[f"{path}.0.weight"][:, :, 0, 0] * scale[:, None]
    folded = {f"{name}.weight": weight[order], f"{name}.bias": (p[f"{path}.0.bias"] * scale + shift)[order]}
    return folded | {key: array[order] for key, array in _activation(p, f"{path}.2", name).items()}


def _convolution(p: Mapping[str, F32], path: str, block: Block) -> dict[str, Any]:
    scale, shift = batch_norm(p, f"{path}.2")
    weight: Any = p[f"{path}.1.weight"]
    if block.transposed and block.kind == "conv":
        weight = weight * scale[None, :, None, None]
    else:
        weight = weight * scale[:, None, None, None]
    if block.transposed and block.stride == 1:
        weight = weight[:, :, ::-1, ::-1]
    folded = {"conv.weight": weight, "conv.bias": p[f"{path}.1.bias"] * scale + shift}
    return folded | _activation(p, f"{path}.3", "conv")


def _activation(p: Mapping[str, F32], path: str, name: str) -> dict[str, Any]:
    keys = {"a": "affine_weight", "b": "affine_bias", "slope": "slope_weight"}
    return {f"{name}.{key}": p[f"{path}.{full}"] for key, full in keys.items() if f"{path}.{full}" in p}


def _attention(p: Mapping[str, F32], path: str, order: npt.NDArray[np.intp]) -> dict[str, Any]:
    folded: dict[str, Any] = {
        "time.fc.weight": p[f"{path}.ta_fc.weight"][order],
        "time.fc.bias": p[f"{path}.ta_fc.bias"][order],
        "bands.fc.weight": p[f"{path}.fa.fc.weight"],
        "bands.fc.bias": p[f"{path}.fa.fc.bias"],
    }
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        weight = p[f"{path}.ta_gru.{kind}_l0"]
        folded[f"time.gru.{kind}"] = weight[:, order] if kind == "weight_ih" else weight
        folded[f"bands.gru.{kind}"] = np.stack([p[f"{path}.fa.gru.{kind}_l0{way}"] for way in ("", "_reverse")])
    return folded
