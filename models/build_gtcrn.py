"""Builds `gtcrn.onnx`, GTCRN's streaming graph without weights: run `python models/build_gtcrn.py` after a change here.

The graph declares its weights as external data in a nonexistent file; `engines/onnx/loading.py` binds arrays to the
names when it loads a model, so any checkpoint runs in it and the package `onnx` is needed only here.

    spec  (N, T, 257, 2)   spectrum, real and imaginary part          mask (N, T, 257, 2)
    conv  (N, 16, 32, 33)  rows of time: en2, en3, en4, de0, de1, de2  new_conv
    tra   (6, N, 16)       layers in the same order                    new_tra
    inter (2, 33 N, 16)    dp1, dp2                                    new_inter

Few nodes matter more than few multiplications: one frame has only half a million. The channel shuffle after each
    temporal block is therefore omitted: blocks output the convolved half before the passed-through half ("split
    order"), and the weights that read them are permuted instead (`onnx_layout` in `engines/onnx/gtcrn_layout.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.engines.onnx.gtcrn_layout import (
    INTERLEAVED_TO_SPLIT,
    PASSED_OF_SPLIT,
    onnx_shapes,
    slope_placeholder,
)
from gtcrn_frontend.export.graph import absent_weights

OPSET = 18
Shape = list[str | int | None]
TARGET = Path(__file__).with_name("gtcrn.onnx")
ENCODER, DECODER = ("en2", "en3", "en4"), ("de0", "de1", "de2")
DILATIONS = {"en2": 1, "en3": 2, "en4": 5, "de0": 5, "de1": 2, "de2": 1}
ROWS = {"en2": 2, "en3": 4, "en4": 10, "de0": 10, "de1": 4, "de2": 2}  # 2 * dilation frames of past


class Graph:
    """Collects nodes and constants; `add` returns the name of the new tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self.add_many(op, inputs, 1, **attributes)[0]

    def add_many(self, op: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        names = [f"{op.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names

    def ints(self, *values: int) -> str:
        name = "ints_" + "_".join(str(value).replace("-", "m") for value in values)
        self.constants[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def number(self, value: float) -> str:
        name = f"number_{value:g}"
        self.constants[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return name


def features(g: Graph, spec: str) -> str:
    """`(N, T, 257, 2)` to `(N, 9, T, 129)`: magnitude, real, imaginary part in bands, each with its neighbours."""
    parts = g.add("Transpose", [spec], perm=[0, 3, 1, 2])
    power = g.add("ReduceSumSquare", [parts, g.ints(1)], keepdims=1)
    magnitude = g.add("Sqrt", [g.add("Add", [power, g.number(1e-12)])])
    planes = g.add("Concat", [magnitude, parts], axis=1)
    bands = g.add("MatMul", [planes, "erb.merge"])
    return g.add("Conv", [bands, "erb.neighbours"], pads=[0, 1, 0, 1], group=3)


def conv_block(g: Graph, x: str, name: str, **attributes: Any) -> str:
    op = "ConvTranspose" if name.startswith("de") else "Conv"
    y = g.add(op, [x, f"{name}.weight", f"{name}.bias"], strides=[1, 2], pads=[0, 2, 0, 2], **attributes)
    return g.add("Tanh", [y]) if name == "de4" else prelu(g, y, name)


def prelu(g: Graph, x: str, name: str) -> str:
    """Adds a PReLU with one slope as LeakyRelu, which ONNX Runtime fuses into the preceding convolution."""
    return g.add("LeakyRelu", [x], alpha=slope_placeholder(name))


def temporal_block(g: Graph, x: str, name: str, past: str, hidden: str) -> tuple[str, str, str]:
    """`(N, 16, T, 33)` in split order to the same, with the block's new caches."""
    passed = g.add("Gather", [x, g.ints(*PASSED_OF_SPLIT)], axis=1)
    h = g.add("Conv", [x, f"{name}.point1.weight", f"{name}.point1.bias"], pads=[0, 1, 0, 1])
    h = g.add("Concat", [past, prelu(g, h, f"{name}.point1")], axis=2)
    past = g.add("Slice", [h, g.ints(-ROWS[name]), g.ints(2**31), g.ints(2)])
    h = g.add(
        "Conv",
        [h, f"{name}.depth.weight", f"{name}.depth.bias"],
        pads=[0, 1, 0, 1],
        dilations=[DILATIONS[name], 1],
        group=16,
    )
    h = prelu(g, h, f"{name}.depth")
    h = g.add("Conv", [h, f"{name}.point2.weight", f"{name}.point2.bias"])

    energy = g.add("ReduceSumSquare", [h, g.ints(3)], keepdims=0)  # the mean's 1/33 is in the GRU's weights
    steps = g.add("Transpose", [energy], perm=[2, 0, 1])
    y, hidden = gru(g, steps, f"{name}.gru", hidden, size=16)
    y = g.add("MatMul", [g.add("Squeeze", [y, g.ints(1)]), f"{name}.fc.weight"])
    y = g.add("Sigmoid", [g.add("Add", [y, f"{name}.fc.bias"])])
    attention = g.add("Unsqueeze", [g.add("Transpose", [y], perm=[1, 2, 0]), g.ints(3)])
    return g.add("Concat", [g.add("Mul", [h, attention]), passed], axis=1), past, hidden


def gru(g: Graph, steps: str, name: str, hidden: str, size: int, direction: str = "forward") -> list[str]:
    inputs = [steps, f"{name}.w", f"{name}.r", f"{name}.b", "", hidden]
    return g.add_many("GRU", inputs, 2, hidden_size=size, linear_before_reset=1, direction=direction)


def dual_path(g: Graph, x: str, name: str, hidden: str, frames_shape: str) -> tuple[str, str]:
    """x `(N, T, 33, 16)` to the same, with the new hidden state."""
    bands = g.add("Reshape", [g.add("Transpose", [x], perm=[2, 0, 1, 3]), g.ints(33, -1, 16)])
    y, _ = gru(g, bands, f"{name}.intra.gru", "", size=8, direction="bidirectional")  # (33, 2, NT, 8)
    y = g.add("Reshape", [g.add("Transpose", [y], perm=[2, 0, 1, 3]), frames_shape])
    x = g.add("Add", [x, linear_norm(g, y, f"{name}.intra")])
    steps = g.add("Reshape", [g.add("Transpose", [x], perm=[1, 0, 2, 3]), g.ints(0, -1, 16)])
    y, hidden = gru(g, steps, f"{name}.inter.gru", hidden, size=16)  # (T, 1, 33 N, 16)
    y = g.add("Transpose", [g.add("Reshape", [y, g.ints(0, -1, 33, 16)])], perm=[1, 0, 2, 3])
    return g.add("Add", [x, linear_norm(g, y, f"{name}.inter")]), hidden


def linear_norm(g: Graph, x: str, name: str) -> str:
    y = g.add("Add", [g.add("MatMul", [x, f"{name}.fc.weight"]), f"{name}.fc.bias"])
    return g.add("LayerNormalization", [y, f"{name}.ln.weight", f"{name}.ln.bias"], axis=-2, epsilon=1e-8)


def build() -> onnx.ModelProto:
    """Returns the graph, with names, types and shapes of the weights but no data."""
    g = Graph()
    pasts = dict(zip(ENCODER + DECODER, g.add_many("Split", ["conv", g.ints(*ROWS.values())], 6, axis=2), strict=True))
    hiddens = dict(zip(ENCODER + DECODER, g.add_many("Split", ["tra"], 6, axis=0, num_outputs=6), strict=True))
    inters = g.add_many("Split", ["inter"], 2, axis=0, num_outputs=2)
    batch_and_time = g.add("Shape", ["spec"], end=2)
    frames_shape = g.add("Concat", [batch_and_time, g.ints(33, 16)], axis=0)

    first = conv_block(g, features(g, "spec"), "en0")
    x = conv_block(g, first, "en1", group=2)
    x = g.add("Gather", [x, g.ints(*INTERLEAVED_TO_SPLIT)], axis=1)
    skips = [first, x]
    for name in ENCODER:
        x, pasts[name], hiddens[name] = temporal_block(g, x, name, pasts[name], hiddens[name])
        skips.append(x)

    x = g.add("Transpose", [x], perm=[0, 2, 3, 1])
    for i, name in enumerate(("dp1", "dp2")):
        x, inters[i] = dual_path(g, x, name, inters[i], frames_shape)
    x = g.add("Transpose", [x], perm=[0, 3, 1, 2])

    for name in DECODER:
        x = g.add("Add", [x, skips.pop()])
        x, pasts[name], hiddens[name] = temporal_block(g, x, name, pasts[name], hiddens[name])
    split_to_interleaved = [int(i) for i in np.argsort(INTERLEAVED_TO_SPLIT)]
    x = g.add("Gather", [g.add("Add", [x, skips.pop()]), g.ints(*split_to_interleaved)], axis=1)
    x = conv_block(g, x, "de3", group=2)
    x = conv_block(g, g.add("Add", [x, skips.pop()]), "de4")

    spread = g.add("MatMul", [x, "erb.spread"])
    outputs = {
        "mask": g.add("Transpose", [spread], perm=[0, 2, 3, 1]),
        "new_conv": g.add("Concat", list(pasts.values()), axis=2),
        "new_tra": g.add("Concat", list(hiddens.values()), axis=0),
        "new_inter": g.add("Concat", inters, axis=0),
    }
    for node in g.nodes:
        for result, tensor in outputs.items():
            node.output[:] = [result if name == tensor else name for name in node.output]
    return _model(g)


def _model(g: Graph) -> onnx.ModelProto:
    frames: Shape = ["N", "T", 257, 2]
    conv: Shape = ["N", 16, 32, 33]
    tra: Shape = [6, "N", 16]
    inter: Shape = [2, "bands", 16]
    caches = {"conv": conv, "tra": tra, "inter": inter}
    inputs = {"spec": frames, **caches}
    outputs = {"mask": frames, **{f"new_{name}": shape for name, shape in caches.items()}}
    graph = helper.make_graph(
        g.nodes,
        "gtcrn",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [*g.constants.values(), *absent_weights(onnx_shapes())],
    )
    # IR version 10 and opset 18 are read by ONNX Runtime 1.18 and later.
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="gtcrn_frontend"
    )


if __name__ == "__main__":
    write_bytes(TARGET, build().SerializeToString(deterministic=True))
