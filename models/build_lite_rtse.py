"""Builds `lite_rtse.onnx`, Lite-RTSE's streaming graph without weights: run `python models/build_lite_rtse.py`.

As in `gtcrn.onnx`, weights are declared as external data in a nonexistent file and bound when a checkpoint is loaded.
It has the form of published streaming graphs (`engines/onnx/streaming.py`), with any number T of frames per run:

    mix            (1, 257, T, 2)    spectrum, real and imaginary part                     enh
    lstm_cache     (2, 2, 257)       first and second stage; hidden and cell state         lstm_cache_out
    scale.N_cache  (1, 32, 2, 257)   past of the two multi-scale convolutions              scale.N_cache_out
    order.N_cache  (1, C, 6, 257)    past of the multi-order convolution's depthwise ones  order.N_cache_out

Each convolution has a cache of its own, of 2.8 MB in all: to cut one out of a common cache would copy it. Between the
caches, tensors are (T, 257), in the convolution branch (1, channels, T, 257).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.engines.onnx.lite_rtse_layout import lite_rtse_onnx_layout
from gtcrn_frontend.export.graph import Graph, absent_weights
from gtcrn_frontend.model_spec import LITE_RTSE_SPEC
from gtcrn_frontend.weights.param_shapes import lite_rtse_parameters

OPSET, IR_VERSION = 18, 10  # read by ONNX Runtime 1.18 and later
TARGET = Path(__file__).with_name("lite_rtse.onnx")
BINS = LITE_RTSE_SPEC.n_bins
WIDTHS = (4, 8, 16, 32)  # channels of the pointwise path of the multi-order convolution
CONV_CACHES = {f"scale.{i}_cache": (1, *LITE_RTSE_SPEC.cache_shapes["scale"][1:]) for i in range(2)}
CONV_CACHES |= {
    f"order.{i}_cache": (1, 4 * WIDTHS[-1] - width, *LITE_RTSE_SPEC.cache_shapes["order"][1:])
    for i, width in enumerate(WIDTHS)
}
CACHES = {"lstm_cache": LITE_RTSE_SPEC.cache_shapes["lstm"], **CONV_CACHES}
FLOOR = np.float32(1e-12)  # the network's, inside roots


def linear(g: Graph, x: str, name: str) -> str:
    return g.add("Gemm", [x, f"{name}.weight", f"{name}.bias"], transB=1)


def conv(g: Graph, x: str, name: str, group: int = 1, sides: int = 0) -> str:
    """Adds a convolution, padded by `sides` zeros on both sides of the frequency axis and by the past in time."""
    return g.add("Conv", [x, f"{name}.weight", f"{name}.bias"], group=group, pads=[0, sides, 0, sides])


def lstm(g: Graph, x: str, name: str, hidden: str, cell: str) -> list[str]:
    """Adds an LSTM; returns the states of all frames, and hidden and cell state after the last one."""
    steps = g.add("Unsqueeze", [x, [1]])
    inputs = [steps, f"{name}.w", f"{name}.r", f"{name}.b", "", hidden, cell]
    y, *state = g.add_many("LSTM", inputs, [f"{name}_{i}" for i in ("y", "h", "c")], hidden_size=BINS)
    return [g.add("Squeeze", [y, [1, 2]]), *state]


def with_past(g: Graph, cache: str, x: str) -> str:
    """Concatenates the past in a cache and `x`; returns that, and adds the past for the next run to the outputs."""
    x = g.add("Concat", [cache, x], axis=2)
    g.add("Slice", [x, [-CONV_CACHES[cache][2]], [np.iinfo(np.int64).max], [2]], f"{cache}_out")
    return x


def multi_scale(g: Graph, x: str, name: str, cache: str) -> str:
    h = with_past(g, cache, conv(g, x, f"{name}.conv.0"))
    h = conv(g, conv(g, h, f"{name}.conv.2", group=CONV_CACHES[cache][1], sides=1), f"{name}.conv.3")
    return g.add("Mul", [h, conv(g, x, f"{name}.skip")])


def multi_order(g: Graph, x: str, name: str) -> str:
    channels = 4 * WIDTHS[-1]
    depth, point = g.split(conv(g, x, f"{name}.pwconv1"), [channels - WIDTHS[0], WIDTHS[0]], axis=1)
    for i, width in enumerate(WIDTHS):
        depth = with_past(g, f"order.{i}_cache", depth)
        depth = conv(g, depth, f"{name}.dwconvs.{i}.1", group=channels - width, sides=3)
        depth, factor = g.split(depth, [channels - 2 * width, width], axis=1)
        point = conv(g, g.add("Mul", [point, factor]), f"{name}.pwconvs.{i}")
    return conv(g, g.add("Mul", [point, depth]), f"{name}.pwconvN")


def magnitude(g: Graph, x: str, y: str) -> str:
    power = g.add("Add", [g.add("Mul", [x, x]), g.add("Mul", [y, y])])
    return g.add("Sqrt", [g.add("Add", [power, FLOOR])])


def build() -> onnx.ModelProto:
    """Returns the graph, with names, types and shapes of the weights but no data."""
    g = Graph()
    states = g.split(g.add("Reshape", ["lstm_cache", [4, 1, BINS]]), [1, 1, 1, 1], axis=0)

    mix_re, mix_im = g.split("mix", [1, 1], axis=3)
    power_root = g.add("Squeeze", [magnitude(g, mix_re, mix_im), [0, 3]])
    whole = g.add("Transpose", [power_root], perm=[1, 0])
    h, *states[:2] = lstm(g, whole, "lstm1", *states[:2])
    mask = g.add("Sigmoid", [linear(g, h, "fc1")])
    first = g.add("Mul", [whole, mask])

    x = g.add("Unsqueeze", [whole, [0, 1]])
    for i in range(2):
        x = multi_scale(g, x, f"msmo_conv.{i}", f"scale.{i}_cache")
    x = multi_order(g, x, "msmo_conv.2")

    h = g.add("Concat", [whole, first, g.add("Squeeze", [x, [0, 1]])], axis=1)
    h, *states[2:] = lstm(g, linear(g, h, "fc2"), "lstm2", *states[2:])
    kept = g.add("Sub", [np.float32(1), mask])
    gain = g.add("Add", [g.add("Mul", [linear(g, h, "to_mag"), kept]), mask])
    re, im = linear(g, h, "to_real"), linear(g, h, "to_imag")
    gain = g.add("Div", [gain, magnitude(g, re, im)])
    re, im = (
        g.add("Unsqueeze", [g.add("Transpose", [g.add("Mul", [gain, part])], perm=[1, 0]), [0, 3]]) for part in (re, im)
    )
    enhanced = [
        g.add("Sub", [g.add("Mul", [mix_re, re]), g.add("Mul", [mix_im, im])]),
        g.add("Add", [g.add("Mul", [mix_re, im]), g.add("Mul", [mix_im, re])]),
    ]
    g.add("Concat", enhanced, "enh", axis=3)
    g.add("Reshape", [g.add("Concat", states, axis=0), CACHES["lstm_cache"]], "lstm_cache_out")

    spectrum = (1, BINS, "T", 2)
    inputs = {"mix": spectrum, **CACHES}
    outputs = {"enh": spectrum, **{f"{name}_out": shape for name, shape in CACHES.items()}}
    model = onnx.ModelProto()
    model.ParseFromString(g.to_bytes(inputs, outputs, {}, OPSET, IR_VERSION))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in lite_rtse_parameters().items()}
    shapes = {name: array.shape for name, array in lite_rtse_onnx_layout(zeros).items()}
    model.graph.initializer.extend(absent_weights(shapes))
    return model


if __name__ == "__main__":
    write_bytes(TARGET, build().SerializeToString(deterministic=True))
