"""Whisper as the two ONNX graphs that sherpa-onnx runs: an encoder, and a decoder of one step with caches.

Names, shapes and the meaning of the caches are those that `sherpa_onnx.OfflineRecognizer.from_whisper` binds. Weights
are named as CTranslate2 names them, with queries, keys and values in one matrix. Architecture: Radford et al., "Robust
speech recognition via large-scale weak supervision", 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.export.graph import Graph

OPSET = 17
IR_VERSION = 8
HEAD_SIZE = 64
MASKED = -1e9

Weights = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a Whisper model: bands, states, positions and blocks of both halves, and tokens."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_layer: int

    @classmethod
    def of(cls, weights: Weights) -> Dimensions:
        """Returns the sizes of weights.

        Raises:
            ModelError: these are not the weights of Whisper.
        """
        try:
            n_audio_ctx, n_audio_state = weights["encoder/position_encodings/encodings"].shape
            n_text_ctx, n_text_state = weights["decoder/position_encodings/encodings"].shape
            return cls(
                n_mels=weights["encoder/conv1/weight"].shape[1],
                n_audio_ctx=n_audio_ctx,
                n_audio_state=n_audio_state,
                n_audio_layer=_layers(weights, "encoder"),
                n_vocab=weights["decoder/embeddings/weight"].shape[0],
                n_text_ctx=n_text_ctx,
                n_text_state=n_text_state,
                n_text_layer=_layers(weights, "decoder"),
            )
        except (KeyError, IndexError, ValueError) as error:
            raise ModelError(f"expected the weights of Whisper, found none named {error}") from error


def encoder(weights: Weights, dimensions: Dimensions, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Returns the graph from log-mel features `mel (N, n_mels, T)` to what the decoder attends to.

    T is any number of frames of 10 ms up to 3000. Outputs: `n_layer_cross_k` and `n_layer_cross_v`, both
    `(n_text_layer, N, (T + 1) // 2, n_text_state)`.
    """
    net = _Network(weights)
    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        kernel = [weights[f"encoder/{name}/{part}"] for part in ("weight", "bias")]
        x = net.gelu(net.graph.add("Conv", [x, *kernel], kernel_shape=[3], strides=[stride], pads=[1, 1]))
    x = net.graph.add("Transpose", [x], perm=[0, 2, 1])
    frames = net.size(x, 1)
    positions = weights["encoder/position_encodings/encodings"]
    x = net.graph.add("Add", [x, net.graph.add("Slice", [positions, [0], frames, [0]])])
    for i in range(dimensions.n_audio_layer):
        block = f"encoder/layer_{i}"
        normed = net.layer_norm(x, f"{block}/self_attention/layer_norm")
        q, k, v = net.projections(normed, f"{block}/self_attention/linear_0", 3)
        x = net.graph.add("Add", [x, net.attention(q, k, v, f"{block}/self_attention/linear_1")])
        x = net.feed_forward(x, f"{block}/ffn")
    x = net.layer_norm(x, "encoder/layer_norm")
    keys, values = [], []
    for i in range(dimensions.n_text_layer):
        k, v = net.projections(x, f"decoder/layer_{i}/attention/linear_1", 2)
        keys.append(net.graph.add("Unsqueeze", [k, [0]]))
        values.append(net.graph.add("Unsqueeze", [v, [0]]))
    outputs = _cross_caches(dimensions)
    for name, layers in zip(outputs, (keys, values), strict=True):
        net.graph.add("Concat", layers, name, axis=0)
    return _model(net.graph, {"mel": ("N", dimensions.n_mels, "T")}, outputs, metadata)


def decoder(weights: Weights, dimensions: Dimensions) -> onnx.ModelProto:
    """Returns the graph that reads tokens and scores what may follow each of them.

    Inputs: `tokens (N, n)` int64, the self-attention's caches `in_n_layer_self_{k,v}_cache (n_text_layer, N,
    n_text_ctx, n_text_state)`, the encoder's outputs, and `offset (1,)` int64, how many tokens were read before.
    Outputs: `logits (N, n, n_vocab)` and the caches with the new tokens' keys and values in them.
    """
    net = _Network(weights)
    graph = net.graph
    count = net.size("tokens", 1)
    end = graph.add("Add", ["offset", count])
    embeddings = weights["decoder/embeddings/weight"]
    positions = graph.add("Slice", [weights["decoder/position_encodings/encodings"], "offset", end, [0]])
    x = graph.add("Add", [graph.add("Gather", [embeddings, "tokens"]), positions])
    mask = net.causal_mask(end, count)
    new: dict[str, list[str]] = {"k": [], "v": []}
    for i in range(dimensions.n_text_layer):
        block = f"decoder/layer_{i}"
        normed = net.layer_norm(x, f"{block}/self_attention/layer_norm")
        q, *kv = net.projections(normed, f"{block}/self_attention/linear_0", 3)
        joined = []
        for name, part in zip(new, kv, strict=True):
            new[name].append(graph.add("Unsqueeze", [part, [0]]))
            before = net.layer(f"in_n_layer_self_{name}_cache", i)
            before = graph.add("Slice", [before, [0], "offset", [1]])
            joined.append(graph.add("Concat", [before, part], axis=1))
        x = graph.add("Add", [x, net.attention(q, *joined, f"{block}/self_attention/linear_1", mask)])
        normed = net.layer_norm(x, f"{block}/attention/layer_norm")
        (q,) = net.projections(normed, f"{block}/attention/linear_0", 1)
        cross = [net.layer(f"n_layer_cross_{name}", i) for name in new]
        x = graph.add("Add", [x, net.attention(q, *cross, f"{block}/attention/linear_2")])
        x = net.feed_forward(x, f"{block}/ffn")
    x = net.layer_norm(x, "decoder/layer_norm")
    rows = graph.add("Reshape", [x, [-1, dimensions.n_text_state]])
    scores = graph.add("Gemm", [rows, embeddings], transB=1)  # the embeddings, in the file once
    shape = graph.add("Concat", [graph.add("Shape", ["tokens"]), [dimensions.n_vocab]], axis=0)
    graph.add("Reshape", [scores, shape], "logits")
    for name, layers in new.items():
        before, after = (
            graph.add("Slice", [f"in_n_layer_self_{name}_cache", start, stop, [2]])
            for start, stop in (([0], "offset"), (end, [dimensions.n_text_ctx]))
        )
        graph.add("Concat", [before, graph.add("Concat", layers, axis=0), after],
                  f"out_n_layer_self_{name}_cache", axis=2)  # fmt: skip
    cache = (dimensions.n_text_layer, "N", dimensions.n_text_ctx, dimensions.n_text_state)
    inputs = {
        "tokens": ("N", "n"),
        "in_n_layer_self_k_cache": cache,
        "in_n_layer_self_v_cache": cache,
        **_cross_caches(dimensions),
        "offset": (1,),
    }
    outputs = {
        "logits": ("N", "n", dimensions.n_vocab),
        "out_n_layer_self_k_cache": cache,
        "out_n_layer_self_v_cache": cache,
    }
    return _model(graph, inputs, outputs, {})


class _Network:
    """What the encoder and the decoder are made of; methods take and return names of tensors."""

    def __init__(self, weights: Weights) -> None:
        self.graph = Graph()
        self._weights = weights

    def projections(self, x: str, name: str, count: int) -> list[str]:
        """Adds a linear layer; returns its outputs in equal parts."""
        weight, bias = (self._weights[f"{name}/{part}"] for part in ("weight", "bias"))
        y = self.graph.add("Add", [self.graph.add("MatMul", [x, np.ascontiguousarray(weight.T)]), bias])
        return [y] if count == 1 else self.graph.split(y, [len(weight) // count] * count, axis=2)

    def layer_norm(self, x: str, name: str) -> str:
        parts = [self._weights[f"{name}/{part}"] for part in ("gamma", "beta")]
        return self.graph.add("LayerNormalization", [x, *parts], axis=-1, epsilon=1e-5)

    def gelu(self, x: str) -> str:
        add = self.graph.add
        half = np.float32(0.5)
        erf = add("Erf", [add("Mul", [x, np.float32(np.sqrt(0.5))])])
        return add("Mul", [add("Mul", [x, half]), add("Add", [erf, np.float32(1)])])

    def feed_forward(self, x: str, name: str) -> str:
        (y,) = self.projections(self.layer_norm(x, f"{name}/layer_norm"), f"{name}/linear_0", 1)
        (y,) = self.projections(self.gelu(y), f"{name}/linear_1", 1)
        return self.graph.add("Add", [x, y])

    def attention(self, q: str, k: str, v: str, output: str, mask: str = "") -> str:
        """Adds attention of many heads and the linear layer after it; all tensors are `(N, positions, state)`."""
        add = self.graph.add
        state = len(self._weights[f"{output}/weight"])
        heads = [0, 0, state // HEAD_SIZE, HEAD_SIZE]
        q, k, v = (
            add("Transpose", [add("Reshape", [x, heads])], perm=perm)
            for x, perm in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3]))
        )
        scores = add("MatMul", [add("Mul", [q, np.float32(HEAD_SIZE**-0.5)]), k])
        if mask:
            scores = add("Add", [scores, mask])
        mixed = add("MatMul", [add("Softmax", [scores], axis=-1), v])
        joined = add("Reshape", [add("Transpose", [mixed], perm=[0, 2, 1, 3]), [0, 0, state]])
        return self.projections(joined, output, 1)[0]

    def causal_mask(self, end: str, count: str) -> str:
        """Adds the mask `(n, offset + n)`, by which a token attends to itself and those before it."""
        add = self.graph.add
        first, stop, step = (add("Squeeze", [value]) for value in ([0], end, [1]))
        keys = add("Range", [first, stop, step])
        queries = add("Slice", [keys, "offset", end, [0]])
        later = add("Greater", [keys, add("Unsqueeze", [queries, [1]])])
        return add("Where", [later, np.float32(MASKED), np.float32(0)])

    def layer(self, stacked: str, index: int) -> str:
        one = self.graph.add("Slice", [stacked, [index], [index + 1], [0]])
        return self.graph.add("Squeeze", [one, [0]])

    def size(self, x: str, axis: int) -> str:
        """Adds the size of an axis, `(1,)` int64."""
        return self.graph.add("Slice", [self.graph.add("Shape", [x]), [axis], [axis + 1], [0]])


def _layers(weights: Weights, half: str) -> int:
    count = len({name.split("/")[1] for name in weights if name.startswith(f"{half}/layer_") and name.count("/") > 2})
    if not count:
        raise ValueError(f"{half}/layer_0")
    return count


def _cross_caches(dimensions: Dimensions) -> dict[str, tuple[int | str, ...]]:
    shape = (dimensions.n_text_layer, "N", "U", dimensions.n_text_state)
    return {"n_layer_cross_k": shape, "n_layer_cross_v": shape}


def _model(
    graph: Graph,
    inputs: Mapping[str, tuple[int | str, ...]],
    outputs: Mapping[str, tuple[int | str, ...]],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    kinds = {"tokens": TensorProto.INT64, "offset": TensorProto.INT64}
    values = [
        [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "whisper", *values, graph.constants()),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gtcrn_frontend",
    )
    helper.set_model_props(model, dict(metadata))
    return model
