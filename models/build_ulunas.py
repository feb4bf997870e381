"""Builds `ulunas.onnx`, UL-UNAS's streaming graph without weights: run `python models/build_ulunas.py`.

As in `gtcrn.onnx`, weights are declared as external data in a nonexistent file and bound when a checkpoint is loaded.
It has the form and the caches of the file that UL-UNAS's author published, with any number T of frames per run:

    mix         (1, 257, T, 2)   spectrum, real and imaginary part                    enh
    conv_cache  (1, 5358)        past of the convolutions in order of execution       conv_cache_out
    tfa_cache   (1, 402)         states of the attentions over time, in the same order tfa_cache_out
    inter_cache (1, 1056)        states of the two dual-path blocks over time         inter_cache_out

Between the caches, tensors are (1, channels, T, bands); in the dual-path blocks (T, bands, channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.engines.onnx.ulunas_layout import ulunas_onnx_layout
from gtcrn_frontend.export.graph import Graph, absent_weights
from gtcrn_frontend.export.recurrent import gru_attributes
from gtcrn_frontend.model_spec import ULUNAS_SPEC
from gtcrn_frontend.weights.fold_ulunas import NAMES
from gtcrn_frontend.weights.ulunas import BLOCKS, CHANNELS, ENCODER, GROUP_BANDS, WIDTH, Block, ulunas_parameters

OPSET, IR_VERSION = 17, 8  # read by ONNX Runtime 1.15 and later
TARGET = Path(__file__).with_name("ulunas.onnx")
CACHES = {f"{name}_cache": ULUNAS_SPEC.cache_shapes[name] for name in ("conv", "tfa", "inter")}
BINS, BANDS, LOW = ULUNAS_SPEC.n_bins, 129, 65
FLOOR = np.float32(1e-24)  # of the power, as in `nets/ulunas.py`
LOG10_OF_ROOT = np.float32(0.5 / math.log(10))
END = np.iinfo(np.int64).max


def pieces(g: Graph, cache: str, shapes: Sequence[tuple[int, ...]]) -> list[str]:
    """Cuts a cache `(1, n)` into pieces of these shapes, each with a leading axis of one; empty ones stay away."""
    shapes = [shape for shape in shapes if math.prod(shape)]
    parts = g.split(cache, [math.prod(shape) for shape in shapes], axis=1)
    return [g.add("Reshape", [part, [1, *shape]]) for part, shape in zip(parts, shapes, strict=True)]


def joined(g: Graph, parts: Sequence[str], output: str) -> None:
    g.add("Concat", [g.add("Reshape", [part, [1, -1]]) for part in parts], output, axis=1)


def convolution(g: Graph, x: str, name: str, block: Block, past: str) -> tuple[str, str]:
    """Adds the convolution over time and bands; returns its result, and its past for the next run ("" if none)."""
    frames, sides = block.past[1], block.kernel[1] // 2
    if frames:
        x = g.add("Concat", [past, x], axis=2)
        past = g.add("Slice", [x, [-frames], [END], [2]])
    inputs = [x, f"{name}.conv.weight", f"{name}.conv.bias"]
    group = 1 if block.kind == "conv" else block.outputs
    strides = [1, block.stride]
    if not block.transposed or block.stride == 1:
        return g.add("Conv", inputs, group=group, strides=strides, pads=[0, sides, 0, sides]), past
    return g.add("ConvTranspose", inputs, group=group, strides=strides, pads=[frames, sides, frames, sides]), past


def activation(g: Graph, x: str, name: str) -> str:
    affine = g.add("Add", [g.add("Mul", [x, f"{name}.a"]), f"{name}.b"])
    return g.add("Add", [affine, g.add("PRelu", [x, f"{name}.slope"])])


def pointwise(g: Graph, x: str, name: str) -> str:
    return g.add("Conv", [x, f"{name}.weight", f"{name}.bias"])


def gru(g: Graph, x: str, name: str, hidden: str, size: int, direction: str = "forward") -> list[str]:
    inputs = [x, f"{name}.w", f"{name}.r", f"{name}.b", "", hidden]
    names = [f"{name}.steps", f"{name}.last"]
    return g.add_many("GRU", inputs, names, direction=direction, **gru_attributes(size))


def linear(g: Graph, x: str, name: str) -> str:
    return g.add("Gemm", [x, f"{name}.weight", f"{name}.bias"], transB=1)


def attention(g: Graph, x: str, name: str, block: Block, hidden: str) -> tuple[str, str]:
    """Adds the gates over time and bands; returns the result and the new state of the GRU over time."""
    energy = g.add("Mul", [x, x])
    steps = g.add("Transpose", [g.add("ReduceMean", [energy], axes=[3], keepdims=0)], perm=[2, 0, 1])
    steps, hidden = gru(g, steps, f"{name}.time.gru", hidden, 2 * block.outputs)
    gates = linear(g, g.add("Squeeze", [steps, [1, 2]]), f"{name}.time.fc")
    gates = g.add("Transpose", [g.add("Sigmoid", [gates])], perm=[1, 0])
    x = g.add("Mul", [x, g.add("Unsqueeze", [gates, [0, 3]])])

    bands = block.bands_out
    per_frame = g.add("Squeeze", [g.add("ReduceMean", [energy], axes=[1], keepdims=0), [0]])  # (T, bands)
    padded = g.add("Pad", [per_frame, [0, 0, 0, -bands % GROUP_BANDS], np.float32(0)])
    groups = -(-bands // GROUP_BANDS)
    steps = g.add("Transpose", [g.add("Reshape", [padded, [-1, groups, GROUP_BANDS]])], perm=[1, 0, 2])
    steps, _ = gru(g, steps, f"{name}.bands.gru", "", GROUP_BANDS, "bidirectional")  # (groups, 2, T, 4)
    both = g.add("Reshape", [g.add("Transpose", [steps], perm=[2, 0, 1, 3]), [-1, 2 * GROUP_BANDS]])
    gates = g.add("Reshape", [linear(g, both, f"{name}.bands.fc"), [-1, groups * GROUP_BANDS]])
    gates = g.add("Sigmoid", [g.add("Slice", [gates, [0], [bands], [1]])])
    return g.add("Mul", [x, g.add("Unsqueeze", [gates, [0, 1]])]), hidden


def dual_path(g: Graph, x: str, name: str, hidden: str) -> tuple[str, str]:
    """x `(T, 33, 16)` to the same, with the new state `(1, 33, 16)`."""
    steps, _ = gru(g, g.add("Transpose", [x], perm=[1, 0, 2]), f"{name}.intra.gru", "", CHANNELS // 2, "bidirectional")
    y = g.add("Reshape", [g.add("Transpose", [steps], perm=[2, 0, 1, 3]), [-1, CHANNELS]])
    x = g.add("Add", [x, normalised(g, y, f"{name}.intra")])
    steps, hidden = gru(g, x, f"{name}.inter.gru", hidden, CHANNELS)  # (T, 1, 33, 16)
    y = g.add("Reshape", [steps, [-1, CHANNELS]])
    return g.add("Add", [x, normalised(g, y, f"{name}.inter")]), hidden


def normalised(g: Graph, x: str, name: str) -> str:
    y = g.add("Reshape", [linear(g, x, f"{name}.fc"), [-1, WIDTH, CHANNELS]])
    return g.add("LayerNormalization", [y, f"{name}.ln.weight", f"{name}.ln.bias"], axis=-2, epsilon=1e-8)


def features(g: Graph) -> str:
    """Adds log10 of the magnitude in bands, `(1, 1, T, 129)`."""
    power = g.add("ReduceSum", [g.add("Mul", ["mix", "mix"]), [3]], keepdims=0)  # (1, 257, T)
    level = g.add("Mul", [g.add("Log", [g.add("Max", [power, FLOOR])]), LOG10_OF_ROOT])
    low, high = g.split(g.add("Transpose", [level], perm=[0, 2, 1]), [LOW, BINS - LOW], axis=2)
    bands = g.add("Concat", [low, g.add("MatMul", [high, "erb.merge"])], axis=2)
    return g.add("Unsqueeze", [bands, [1]])


def build() -> onnx.ModelProto:
    """Returns the graph, with names, types and shapes of the weights but no data."""
    g = Graph()
    pasts = iter(pieces(g, "conv_cache", [block.past for block in BLOCKS]))
    hiddens = pieces(g, "tfa_cache", [(1, 2 * block.outputs) for block in BLOCKS])
    inters = pieces(g, "inter_cache", [(WIDTH, CHANNELS)] * 2)
    new_pasts: list[str] = []
    skips: list[str] = []
    x = features(g)
    for i, (name, block) in enumerate(zip(NAMES, BLOCKS, strict=True)):
        if i == len(ENCODER):
            x = g.add("Squeeze", [g.add("Transpose", [x], perm=[0, 2, 3, 1]), [0]])
            for j in range(2):
                x, inters[j] = dual_path(g, x, f"dp{j + 1}", inters[j])
            x = g.add("Transpose", [g.add("Unsqueeze", [x, [0]])], perm=[0, 3, 1, 2])
        if block.transposed:
            x = g.add("Add", [x, skips.pop()])
        if block.kind != "conv":
            x = activation(g, pointwise(g, x, f"{name}.point1"), f"{name}.point1")
        x, past = convolution(g, x, name, block, next(pasts) if block.past[1] else "")
        new_pasts += [past] if past else []
        x = x if block.is_last else activation(g, x, f"{name}.conv")
        if block.kind == "inverted":
            x = pointwise(g, x, f"{name}.point2")
        x, hiddens[i] = attention(g, x, name, block, hiddens[i])
        if not block.transposed:
            skips.append(x)

    low, high = g.split(g.add("Sigmoid", [x]), [LOW, BANDS - LOW], axis=3)
    mask = g.add("Concat", [low, g.add("MatMul", [high, "erb.spread"])], axis=3)  # (1, 1, T, 257)
    g.add("Mul", ["mix", g.add("Transpose", [mask], perm=[0, 3, 2, 1])], "enh")
    for name, parts in zip(CACHES, (new_pasts, hiddens, inters), strict=True):
        joined(g, parts, f"{name}_out")

    spectrum = (1, BINS, "T", 2)
    caches = {name: (1, *shape) for name, shape in CACHES.items()}
    outputs = {"enh": spectrum, **{f"{name}_out": shape for name, shape in caches.items()}}
    model = onnx.ModelProto()
    model.ParseFromString(g.to_bytes({"mix": spectrum, **caches}, outputs, {}, OPSET, IR_VERSION, name="ulunas"))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in ulunas_parameters().items()}
    shapes = {name: array.shape for name, array in ulunas_onnx_layout(zeros).items()}
    model.graph.initializer.extend(absent_weights(shapes))
    return model


if __name__ == "__main__":
    write_bytes(TARGET, build().SerializeToString(deterministic=True))
