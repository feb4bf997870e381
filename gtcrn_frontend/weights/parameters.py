"""Names and shapes of GTCRN's parameters, as in the released checkpoints, known without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ModelError

F32 = npt.NDArray[np.float32]
Shape = tuple[int, ...]

_NAMED_IN_MESSAGE = 3


def gtcrn_parameters() -> dict[str, Shape]:
    """Returns the shape of each tensor of a GTCRN state dict, by name."""
    return dict(_gtcrn())


def check_parameters(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, F32]:
    """Returns the float32 parameters of a GTCRN checkpoint, checked against the network.

    Batch counters are left out: evaluation has no use for them.

    Raises:
        ModelError: names are missing or unknown, a shape or type differs, or a value cannot be.
    """
    expected = gtcrn_parameters()
    missing = [name for name in expected if name not in arrays]
    unknown = [name for name in arrays if name not in expected and not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ModelError(
            f"expected the {len(expected)} tensors of GTCRN; "
            f"missing: {_some(missing)}; unknown: {_some(unknown)}. Is it a checkpoint of another network?"
        )
    checked = {}
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise ModelError(f"{name}: expected {shape} floats, got {array.shape} {array.dtype}")
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused
            checked[name] = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(checked[name]).all():
            raise ModelError(f"{name}: expected finite values, got NaN or infinity; the checkpoint is unusable")
        if name.endswith("running_var") and (checked[name] < 0).any():
            raise ModelError(f"{name}: expected variances, got negative values; the checkpoint is unusable")
    return checked


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_IN_MESSAGE]) or "none"
    return shown if len(names) <= _NAMED_IN_MESSAGE else f"{shown} and {len(names) - _NAMED_IN_MESSAGE} more"


def _gtcrn() -> Iterator[tuple[str, Shape]]:
    yield "erb.erb_fc.weight", (64, 192)
    yield "erb.ierb_fc.weight", (192, 64)
    yield from _conv_block("encoder.en_convs.0", (16, 9, 1, 5), outputs=16)
    yield from _conv_block("encoder.en_convs.1", (16, 8, 1, 5), outputs=16)
    for i in (2, 3, 4):
        yield from _gt_conv_block(f"encoder.en_convs.{i}", transposed=False)
    for path in ("dpgrnn1", "dpgrnn2"):
        yield from _dpgrnn(path)
    for i in (0, 1, 2):
        yield from _gt_conv_block(f"decoder.de_convs.{i}", transposed=True)
    yield from _conv_block("decoder.de_convs.3", (16, 8, 1, 5), outputs=16)
    yield from _conv_block("decoder.de_convs.4", (16, 2, 1, 5), outputs=2, activated=False)


def _conv_block(path: str, weight: Shape, *, outputs: int, activated: bool = True) -> Iterator[tuple[str, Shape]]:
    yield from _conv(f"{path}.conv", weight, outputs)
    yield from _norm(f"{path}.bn", outputs)
    if activated:
        yield f"{path}.act.weight", (1,)


def _gt_conv_block(path: str, *, transposed: bool) -> Iterator[tuple[str, Shape]]:
    point1, point2 = ((24, 16), (16, 8)) if transposed else ((16, 24), (8, 16))
    yield from _conv(f"{path}.point_conv1", (*point1, 1, 1), 16)
    yield from _norm(f"{path}.point_bn1", 16)
    yield f"{path}.point_act.weight", (1,)
    yield from _conv(f"{path}.depth_conv", (16, 1, 3, 3), 16)
    yield from _norm(f"{path}.depth_bn", 16)
    yield f"{path}.depth_act.weight", (1,)
    yield from _conv(f"{path}.point_conv2", (*point2, 1, 1), 8)
    yield from _norm(f"{path}.point_bn2", 8)
    yield from _gru(f"{path}.tra.att_gru", 8, 16)
    yield from _linear(f"{path}.tra.att_fc", 16, 8)


def _dpgrnn(path: str) -> Iterator[tuple[str, Shape]]:
    for group in ("rnn1", "rnn2"):
        yield from _gru(f"{path}.intra_rnn.{group}", 8, 4)
        yield from _gru(f"{path}.intra_rnn.{group}", 8, 4, "_reverse")
        yield from _gru(f"{path}.inter_rnn.{group}", 8, 8)
    for stage in ("intra", "inter"):
        yield from _linear(f"{path}.{stage}_fc", 16, 16)
        yield f"{path}.{stage}_ln.weight", (33, 16)
        yield f"{path}.{stage}_ln.bias", (33, 16)


def _conv(path: str, weight: Shape, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{path}.weight", weight
    yield f"{path}.bias", (outputs,)


def _norm(path: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{path}.{name}", (channels,)


def _linear(path: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{path}.weight", (outputs, inputs)
    yield f"{path}.bias", (outputs,)


def _gru(path: str, inputs: int, hidden: int, suffix: str = "") -> Iterator[tuple[str, Shape]]:
    yield f"{path}.weight_ih_l0{suffix}", (3 * hidden, inputs)
    yield f"{path}.weight_hh_l0{suffix}", (3 * hidden, hidden)
    yield f"{path}.bias_ih_l0{suffix}", (3 * hidden,)
    yield f"{path}.bias_hh_l0{suffix}", (3 * hidden,)
