"""Validates a checkpoint's arrays against the parameters of its network, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.param_shapes import Shape, gtcrn_parameters

_NAMED_IN_MESSAGE = 3


def check_parameters(
    arrays: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, Shape] | None = None, network: str = "gtcrn"
) -> dict[str, F32]:
    """Returns the float32 parameters of a checkpoint after validation against the network.

    Batch counters are dropped: evaluation does not use them.

    Args:
        arrays: by parameter name.
        expected: shape of each parameter, see `param_shapes`; None are those of GTCRN.
        network: its name, for messages.

    Raises:
        ModelError: names are missing or unknown, a shape or type differs, or a value is impossible.
    """
    expected = gtcrn_parameters() if expected is None else expected
    missing = [name for name in expected if name not in arrays]
    unknown = [name for name in arrays if name not in expected and not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ModelError(
            f"expected the {len(expected)} tensors of {network}; "
            f"missing: {_some(missing)}; unknown: {_some(unknown)}. Is it a checkpoint of another network?"
        )
    checked = {}
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise ModelError(f"{name}: expected {shape} floats, got {array.shape} {array.dtype}")
        with np.errstate(over="ignore"):  # doubles beyond float32's range become infinite and are refused below
            checked[name] = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(checked[name]).all():
            raise ModelError(f"{name}: expected finite values, got NaN or infinity; the checkpoint is unusable")
        if name.endswith("running_var") and (checked[name] < 0).any():
            raise ModelError(f"{name}: expected variances, got negative values; the checkpoint is unusable")
    return checked


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_IN_MESSAGE]) or "none"
    return shown if len(names) <= _NAMED_IN_MESSAGE else f"{shown} and {len(names) - _NAMED_IN_MESSAGE} more"
