"""Converts folded GTCRN weights to the layout of the graph `models/gtcrn.onnx`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError

_CHANNELS = 16
_HALF = _CHANNELS // 2
_BANDS = 33
# A temporal block of the network ends in a channel shuffle: convolved and passed-through channels alternate. In the
# graph the convolved ones come first: "split order". Channel i of split order is channel INTERLEAVED_TO_SPLIT[i] of the
# network.
INTERLEAVED_TO_SPLIT = tuple(range(0, _CHANNELS, 2)) + tuple(range(1, _CHANNELS, 2))
# Positions in split order of the network's channels 8..15, which the next block passes through.
PASSED_OF_SPLIT = tuple(INTERLEAVED_TO_SPLIT.index(channel) for channel in range(_HALF, _CHANNELS))
TEMPORAL_BLOCKS = ("en2", "en3", "en4", "de0", "de1", "de2")
SLOPES = (
    "en0",
    "en1",
    "de3",
    *(f"{block}.{layer}" for block in TEMPORAL_BLOCKS for layer in ("point1", "depth")),
)


def onnx_layout(folded: Mapping[str, F32]) -> dict[str, F32]:
    """Returns the arrays to bind to the graph's weights, float32, C-contiguous, by name of the initializer.

    `folded` is what `weights.fold.fold_gtcrn` returns.
    """
    arrays = {
        "erb.merge": _with_low_bins(folded["erb.merge"]).T,
        "erb.spread": _with_low_bins(folded["erb.spread"]).T,
        "erb.neighbours": np.tile(np.eye(3), (3, 1)).reshape(9, 1, 1, 3),
    }
    for name in ("en0", "en1", "de3", "de4"):
        arrays |= {key: folded[key] for key in folded if key.startswith(f"{name}.")}
    for name in TEMPORAL_BLOCKS:
        arrays |= _temporal_block(folded, name)
    for name in ("dp1", "dp2"):
        arrays |= _dual_path(folded, name)
    return {
        name: np.ascontiguousarray(array, dtype=np.float32)
        for name, array in arrays.items()
        if not name.endswith(".slope")
    }


def with_slopes(graph: bytes, folded: Mapping[str, F32]) -> bytes:
    """Returns the graph's bytes with the PReLU slopes of a checkpoint in place of their placeholders.

    Slopes are attributes of LeakyRelu, which cannot be bound by name: ONNX Runtime fuses LeakyRelu into the preceding
        convolution, but not PRelu, which would take a sixth of the run time.

    Raises:
        ModelError: the graph is not the one of this version of the package.
    """
    for name in SLOPES:
        placeholder = np.float32(slope_placeholder(name)).tobytes()
        if graph.count(placeholder) != 1:
            raise ModelError(f"expected the graph gtcrn.onnx of this version, got one without the slope {name}")
        graph = graph.replace(placeholder, folded[f"{name}.slope"].tobytes())
    return graph


def slope_placeholder(name: str) -> float:
    """Returns the placeholder in the graph for the slope `name`: unique, and not a value that training produces."""
    return 1e30 + SLOPES.index(name) * 1e24


def onnx_shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shape of each weight of the graph, by name."""
    shapes = {
        "erb.merge": (257, 129),
        "erb.spread": (129, 257),
        "erb.neighbours": (9, 1, 1, 3),
        "en0.weight": (16, 9, 1, 5),
        "en1.weight": (16, 8, 1, 5),
        "de3.weight": (16, 8, 1, 5),
        "de4.weight": (16, 2, 1, 5),
    }
    for name, outputs in {"en0": 16, "en1": 16, "de3": 16, "de4": 2}.items():
        shapes[f"{name}.bias"] = (outputs,)
    for name in TEMPORAL_BLOCKS:
        for layer, weight in {"point1": (16, 16, 1, 3), "depth": (16, 1, 3, 3), "point2": (8, 16, 1, 1)}.items():
            shapes[f"{name}.{layer}.weight"] = weight
            shapes[f"{name}.{layer}.bias"] = weight[:1]
        shapes |= _gru_shapes(f"{name}.gru", 1, 8, 16)
        shapes |= {f"{name}.fc.weight": (16, 8), f"{name}.fc.bias": (8,)}
    for name in ("dp1", "dp2"):
        shapes |= _gru_shapes(f"{name}.intra.gru", 2, 16, 8) | _gru_shapes(f"{name}.inter.gru", 1, 16, 16)
        for stage in ("intra", "inter"):
            shapes |= {f"{name}.{stage}.fc.weight": (16, 16), f"{name}.{stage}.fc.bias": (16,)}
            shapes |= {f"{name}.{stage}.ln.{kind}": (_BANDS, _CHANNELS) for kind in ("weight", "bias")}
    return shapes


def _gru_shapes(name: str, directions: int, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.w": (directions, 3 * hidden, inputs),
        f"{name}.r": (directions, 3 * hidden, hidden),
        f"{name}.b": (directions, 6 * hidden),
    }


def _with_low_bins(erb: F32) -> F32:
    """Returns the full matrix between 257 bins and 129 bands, with the identity for the low bins."""
    low = 257 - max(erb.shape)
    whole = np.zeros((low + erb.shape[0], low + erb.shape[1]), np.float32)
    whole[:low, :low] = np.eye(low)
    whole[low:, low:] = erb
    return whole


def _temporal_block(folded: Mapping[str, F32], name: str) -> dict[str, F32]:
    arrays = {key: folded[key] for key in folded if key.startswith((f"{name}.point", f"{name}.depth"))}
    # The block convolves the network's channels 0..7. A convolution over all 16, in split order and with zeros for
    # the others, costs less than a node that selects them.
    whole = np.zeros((_CHANNELS, _CHANNELS, 1, 3), np.float32)
    whole[:, :_HALF] = folded[f"{name}.point1.weight"]
    arrays[f"{name}.point1.weight"] = whole[:, INTERLEAVED_TO_SPLIT]
    arrays |= _gru(folded, f"{name}.gru")
    arrays[f"{name}.gru.w"] /= _BANDS  # the graph sums energies, the network averages them
    arrays[f"{name}.fc.weight"] = folded[f"{name}.fc.weight"].T
    arrays[f"{name}.fc.bias"] = folded[f"{name}.fc.bias"]
    return arrays


def _dual_path(folded: Mapping[str, F32], name: str) -> dict[str, F32]:
    arrays = _gru(folded, f"{name}.intra.gru") | _gru(folded, f"{name}.inter.gru")
    order = list(INTERLEAVED_TO_SPLIT)
    for stage in ("intra", "inter"):
        arrays[f"{name}.{stage}.gru.w"] = arrays[f"{name}.{stage}.gru.w"][:, :, order]
        arrays[f"{name}.{stage}.fc.weight"] = folded[f"{name}.{stage}.fc.weight"][order].T
        arrays[f"{name}.{stage}.fc.bias"] = folded[f"{name}.{stage}.fc.bias"][order]
        arrays[f"{name}.{stage}.ln.weight"] = folded[f"{name}.{stage}.ln.weight"][:, order]
        arrays[f"{name}.{stage}.ln.bias"] = folded[f"{name}.{stage}.ln.bias"][:, order]
    return arrays


def _gru(folded: Mapping[str, F32], name: str) -> dict[str, F32]:
    """Converts torch's GRU (gates r, z, n) to ONNX's: a leading axis of directions, gates z, r, h."""
    parts = {kind: folded[f"{name}.{kind}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    both = name.endswith(".intra.gru")
    return {f"{name}.{key}": array for key, array in onnx_gru(parts if both else _in_one_direction(parts)).items()}


def onnx_gru(parts: Mapping[str, F32]) -> dict[str, F32]:
    """Returns the weights w, r and b of ONNX's GRU from torch's, each with a leading axis of directions."""

    def reordered(kind: str) -> F32:
        reset, update, new = np.split(parts[kind], 3, axis=1)
        return np.concatenate([update, reset, new], axis=1)

    biases = np.concatenate([reordered("bias_ih"), reordered("bias_hh")], axis=1)
    return {"w": reordered("weight_ih"), "r": reordered("weight_hh"), "b": biases}


def _in_one_direction(parts: Mapping[str, F32]) -> dict[str, F32]:
    return {kind: array[None] for kind, array in parts.items()}
