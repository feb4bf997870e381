"""Folds a GTCRN state dict into fewer, simpler weights with the same output; input of every engine.

Four exact identities:
- batch norm in evaluation is a scale and a shift per channel, folded into the preceding convolution;
- unfolding three neighbours and a 1x1 convolution is one convolution of width 3;
- a depthwise transposed convolution of stride 1 is a convolution with the kernel flipped in both axes;
- two GRUs on two halves of the features are one GRU whose matrices are block-diagonal per gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.weights.validate import check_parameters

_BATCH_NORM_EPS = 1e-5  # torch's default, used by the released networks
_GATES = 3


def fold_gtcrn(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, F32]:
    """Returns the folded arrays of a GTCRN checkpoint, float32, by name.

    Layers are `en0`..`en4`, `dp1`, `dp2`, `de0`..`de4`; convolution weights are `(out, in/groups, time, bands)`,
    those of `de3` and `de4` stay transposed, `(in, out/groups, 1, bands)`; GRU gates are in torch's order r, z, n:

    - `erb.merge (64, 192)`, `erb.spread (192, 64)`
    - `en0|en1|de3|de4`: `.weight`, `.bias`, and but for `de4` `.slope (1,)` of the PReLU
    - `en2..4|de0..2`: `.point1.weight (16, 8, 1, 3)`, `.depth.weight (16, 1, 3, 3)`, `.point2.weight (8, 16, 1, 1)`,
      each with `.bias`, the first two with `.slope (1,)`; `.gru.*` (8 to 16), `.fc.weight (8, 16)`, `.fc.bias (8,)`
    - `dp1|dp2`: `.intra.gru.*` with a leading axis of two directions (16 to 8), `.inter.gru.*` (16 to 16), and for each
      of both `.fc.weight (16, 16)`, `.fc.bias (16,)`, `.ln.weight (33, 16)`, `.ln.bias (33, 16)`
    - `.gru.*` is `weight_ih (3H, I)`, `weight_hh (3H, H)`, `bias_ih (3H,)`, `bias_hh (3H,)`

    Raises:
        ModelError: the arrays are not those of a GTCRN, see `check_parameters`.
    """
    p = check_parameters(arrays)
    folded = {"erb.merge": p["erb.erb_fc.weight"], "erb.spread": p["erb.ierb_fc.weight"]}
    folded |= _conv_block(p, "encoder.en_convs.0", "en0")
    folded |= _conv_block(p, "encoder.en_convs.1", "en1")
    for i in (2, 3, 4):
        folded |= _gt_conv_block(p, f"encoder.en_convs.{i}", f"en{i}", transposed=False)
    for i in (0, 1, 2):
        folded |= _gt_conv_block(p, f"decoder.de_convs.{i}", f"de{i}", transposed=True)
    folded |= _conv_block(p, "decoder.de_convs.3", "de3", transposed_groups=2)
    folded |= _conv_block(p, "decoder.de_convs.4", "de4", transposed_groups=1)
    for name in ("dp1", "dp2"):
        folded |= fold_dual_path(p, name.replace("dp", "dpgrnn"), name)
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in folded.items()}


def batch_norm(p: Mapping[str, F32], path: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns scale and shift per channel, in double precision."""
    variance = p[f"{path}.running_var"].astype(np.float64)
    scale = p[f"{path}.weight"] / np.sqrt(variance + _BATCH_NORM_EPS)
    return scale, p[f"{path}.bias"] - p[f"{path}.running_mean"] * scale


def _conv_block(p: Mapping[str, F32], path: str, name: str, transposed_groups: int = 0) -> dict[str, Any]:
    scale, shift = batch_norm(p, f"{path}.bn")
    weight = p[f"{path}.conv.weight"]
    if transposed_groups:
        # (in, out/groups, 1, k): the inputs of group g make outputs g * out/groups onwards
        per_output = np.repeat(scale.reshape(transposed_groups, -1), weight.shape[0] // transposed_groups, axis=0)
        scaled = weight * per_output[:, :, None, None]
    else:
        scaled = weight * scale[:, None, None, None]
    folded: dict[str, Any] = {f"{name}.weight": scaled, f"{name}.bias": p[f"{path}.conv.bias"] * scale + shift}
    if f"{path}.act.weight" in p:
        folded[f"{name}.slope"] = p[f"{path}.act.weight"]
    return folded


def _gt_conv_block(p: Mapping[str, F32], path: str, name: str, *, transposed: bool) -> dict[str, Any]:
    point1 = p[f"{path}.point_conv1.weight"][:, :, 0, 0]
    depth = p[f"{path}.depth_conv.weight"]
    point2 = p[f"{path}.point_conv2.weight"]
    if transposed:
        point1, point2, depth = point1.T, point2.transpose(1, 0, 2, 3), depth[:, :, ::-1, ::-1]
    weights = {"point1": point1.reshape(len(point1), -1, 1, 3), "depth": depth, "point2": point2}

    folded: dict[str, Any] = {}
    for layer, source in (("point1", "point_{}1"), ("depth", "depth_{}"), ("point2", "point_{}2")):
        scale, shift = batch_norm(p, f"{path}.{source.format('bn')}")
        folded[f"{name}.{layer}.weight"] = weights[layer] * scale[:, None, None, None]
        folded[f"{name}.{layer}.bias"] = p[f"{path}.{source.format('conv')}.bias"] * scale + shift
    folded[f"{name}.point1.slope"] = p[f"{path}.point_act.weight"]
    folded[f"{name}.depth.slope"] = p[f"{path}.depth_act.weight"]
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        folded[f"{name}.gru.{kind}"] = p[f"{path}.tra.att_gru.{kind}_l0"]
    folded[f"{name}.fc.weight"] = p[f"{path}.tra.att_fc.weight"]
    folded[f"{name}.fc.bias"] = p[f"{path}.tra.att_fc.bias"]
    return folded


def fold_dual_path(p: Mapping[str, F32], path: str, name: str) -> dict[str, Any]:
    """Returns the folded arrays of a dual-path block at `path` as `name`, see `fold_gtcrn`."""
    folded: dict[str, Any] = {}
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        directions = [_merge_groups(p, f"{path}.intra_rnn", f"{kind}_l0{way}") for way in ("", "_reverse")]
        folded[f"{name}.intra.gru.{kind}"] = np.stack(directions)
        folded[f"{name}.inter.gru.{kind}"] = _merge_groups(p, f"{path}.inter_rnn", f"{kind}_l0")
    for stage in ("intra", "inter"):
        folded[f"{name}.{stage}.fc.weight"] = p[f"{path}.{stage}_fc.weight"]
        folded[f"{name}.{stage}.fc.bias"] = p[f"{path}.{stage}_fc.bias"]
        folded[f"{name}.{stage}.ln.weight"] = p[f"{path}.{stage}_ln.weight"]
        folded[f"{name}.{stage}.ln.bias"] = p[f"{path}.{stage}_ln.bias"]
    # Two bidirectional GRUs output f1 b1 f2 b2, the merged one f1 f2 b1 b2.
    weight = folded[f"{name}.intra.fc.weight"]
    folded[f"{name}.intra.fc.weight"] = weight.reshape(-1, 2, 2, 4).transpose(0, 2, 1, 3).reshape(weight.shape)
    return folded


def _merge_groups(p: Mapping[str, F32], path: str, kind: str) -> F32:
    """Merges the parameter `kind` of rnn1 and rnn2; returns `(3, 2 * hidden, ...)` flattened over gates."""
    first, second = (p[f"{path}.rnn{group}.{kind}"] for group in (1, 2))
    gates = []
    for a, b in zip(np.split(first, _GATES), np.split(second, _GATES), strict=True):
        if a.ndim == 1:
            gates.append(np.concatenate([a, b]))
        else:
            gates.append(np.block([[a, np.zeros_like(b)], [np.zeros_like(a), b]]))
    return np.concatenate(gates)
