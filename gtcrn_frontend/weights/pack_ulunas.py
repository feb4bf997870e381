"""Packs the folded arrays of a UL-UNAS into the weight blob of the native engine: see `native/unas.h`.

Channels of a layer with more than 16 outputs are in two groups in the blob: of the shuffled channel j = 2 c + g, which
`fold_ulunas` has, group g holds channel c; each group begins a row of 16 floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.weights.fold_ulunas import NAMES
from gtcrn_frontend.weights.pack import HIDDEN_GATES, INPUT_GATES, blob_of, pack_dual_path
from gtcrn_frontend.weights.ulunas import BLOCKS, Block

MAGIC = b"ULUNAS01"
_LANES = 16

_Array = npt.NDArray[Any]


def pack_ulunas(folded: Mapping[str, F32]) -> bytes:
    """Returns the weight blob of a UL-UNAS, in the byte order of this machine.

    Args:
        folded: what `fold_ulunas` returns.
    """
    return blob_of(MAGIC, folded, _arrays(folded))


def _arrays(folded: Mapping[str, F32]) -> Iterator[_Array]:
    """All arrays behind the filter bank, each to a multiple of 16 floats."""
    for name in ("dp1", "dp2"):
        yield from pack_dual_path(_below(folded, name))
    for name, block in zip(NAMES, BLOCKS, strict=True):
        for array in _block(_below(folded, name), block):
            flat = array.reshape(-1)
            yield np.pad(flat, (0, -len(flat) % _LANES))


def _below(folded: Mapping[str, F32], name: str) -> dict[str, F32]:
    return {key.removeprefix(f"{name}."): array for key, array in folded.items() if key.startswith(f"{name}.")}


def _order(channels: int) -> _Array:
    """Returns the channels in the order of the blob, without the zeros between groups."""
    return np.arange(channels).reshape(-1, 2).T.reshape(-1) if channels > _LANES else np.arange(channels)


def _lanes(channels: int) -> _Array:
    """Returns for each channel its place in a row."""
    split = np.arange(channels) % 2 * _LANES + np.arange(channels) // 2
    return split if channels > _LANES else np.arange(channels)


def _row(array: _Array, axis: int = -1) -> _Array:
    """Returns an array whose axis of channels is a row: 16 or 32 long, with zeros."""
    moved = np.moveaxis(array, axis, -1)
    channels = moved.shape[-1]
    row = np.zeros((*moved.shape[:-1], 2 * _LANES if channels > _LANES else _LANES))
    row[..., _lanes(channels)] = moved
    return row


def _block(p: Mapping[str, F32], block: Block) -> Iterator[_Array]:
    if block.kind != "conv":
        yield from _pointwise(p["point1.weight"], block.inputs, block.groups)
        yield _row(p["point1.bias"])
        yield from _activation(p, "point1")
    yield _convolution(p["conv.weight"], block)
    yield _row(p["conv.bias"])
    if not block.is_last:
        yield from _activation(p, "conv")
    if block.kind == "inverted":
        yield from _pointwise(p["point2.weight"], block.outputs, block.groups)
        yield _row(p["point2.bias"])
    yield from _attention(p, block)


def _pointwise(weight: F32, inputs: int, groups: int) -> Iterator[_Array]:
    """Yields the weights `(inputs of the part, 16)` of each 16 floats of a row."""
    outputs = len(weight)
    dense = np.zeros((outputs, inputs))
    for group in range(groups):
        columns = slice(group * inputs // groups, (group + 1) * inputs // groups)
        dense[group::groups, columns] = weight[group::groups]
    rows = _row(dense, axis=0)  # (inputs, 16 or 32)
    order, parts = _order(inputs), rows.shape[1] // _LANES
    for part in range(parts):
        if inputs > _LANES:  # of either group of the inputs a half, or all
            half = inputs // 2
            chosen = np.concatenate([np.split(order[start : start + half], parts)[part] for start in (0, half)])
        else:
            chosen = np.split(order, parts)[part]
        yield rows[chosen, part * _LANES : (part + 1) * _LANES]


def _activation(p: Mapping[str, F32], name: str) -> Iterator[_Array]:
    """a v + b + PReLU(v) as p v + q |v| + b: p and b of each band, then q."""
    slope = p[f"{name}.slope"].astype(np.float64)
    scale, bias = _row(p[f"{name}.a"] + (1 + slope[:, None]) / 2, axis=0), _row(p[f"{name}.b"], axis=0)
    parts = [array.reshape(len(array), -1, _LANES) for array in (scale, bias)]  # band, part, lane
    yield np.stack(parts, axis=2)
    yield _row((1 - slope) / 2)


def _convolution(weight: F32, block: Block) -> _Array:
    """Returns the weights `(time, taps, row)`, time from the oldest frame on, in the order of the bands they meet.

    Transposed with stride 2 they stay as they are but for time: its first tap meets the youngest frame.
    """
    if block.kind == "conv" and block.transposed:
        return _row(weight[:, 0, ::-1], axis=0)
    if block.transposed and block.stride == 2:
        return _row(weight[:, 0, ::-1], axis=0)
    return _row(weight[:, 0], axis=0)


def _attention(p: Mapping[str, F32], block: Block) -> Iterator[_Array]:
    order, hidden = _order(block.outputs), 2 * block.outputs
    per_gate = np.repeat(INPUT_GATES, hidden), np.repeat(HIDDEN_GATES, hidden)
    inputs = p["time.gru.weight_ih"][:, order] * per_gate[0][:, None] / block.bands_out
    biases = p["time.gru.bias_ih"] * per_gate[0], p["time.gru.bias_hh"] * per_gate[1]
    yield from (_padded(inputs.T), _padded((p["time.gru.weight_hh"] * per_gate[1][:, None]).T))
    yield from (_padded(biases[0]), _padded(biases[1]))
    yield from (_row(p["time.fc.weight"].T / 2), _row(p["time.fc.bias"] / 2))

    # (direction, gate, hidden, input) to (input, gate, (direction, hidden))
    w_ih = p["bands.gru.weight_ih"].reshape(2, 3, 4, 4) * INPUT_GATES[:, None, None] / block.outputs
    w_hh = p["bands.gru.weight_hh"].reshape(2, 3, 4, 4) * HIDDEN_GATES[:, None, None]
    b_ih = p["bands.gru.bias_ih"].reshape(2, 3, 4) * INPUT_GATES[:, None]
    b_hh = p["bands.gru.bias_hh"].reshape(2, 3, 4) * HIDDEN_GATES[:, None]
    yield w_ih.transpose(3, 1, 0, 2)
    yield (b_ih + b_hh * np.array([1, 1, 0])[:, None]).transpose(1, 0, 2)
    yield w_hh.transpose(3, 1, 0, 2)
    yield b_hh[:, 2]
    yield from (p["bands.fc.weight"].T / 2, p["bands.fc.bias"] / 2)


def _padded(array: _Array) -> _Array:
    """Returns an array whose last axis is a multiple of 16."""
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % _LANES)])
