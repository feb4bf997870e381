"""Converts a torch recogniser to the two ONNX files that sherpa-onnx runs, and back.

The graphs are written with `onnx.helper`. The weights are float16 in the file and float32 in every computation; the
tensors have the names of the torch parameters, so `load` restores the recogniser from the ONNX file.
sherpa-onnx binds tensors by position and prescribes the caches of the streaming layout: the GRU states are passed as
the first of them, the last frames at the start of `embed_states`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import (
    HISTORY,
    SUBSAMPLING,
    CtcRecognizer,
    RecognizerConfig,
)

OPSET = 17
IR_VERSION = 8
CHUNK_FRAMES = 16  # frames per decoded chunk, 160 ms
EMBED_SHAPE = (128, 3, 19)
EMBED_SIZE = int(np.prod(EMBED_SHAPE))
ENCODER_DIM = 4  # the least that sherpa-onnx accepts; the caches of this size are passed through
CONFIG_KEY = "recognizer"


def export(network: CtcRecognizer, folder: Path, symbols: list[str]) -> None:
    """Writes online.onnx, offline.onnx and tokens.txt into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("online", "offline"):
        model = build(network, streaming=name == "online")
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / f"{name}.onnx")
    lines = [f"{symbol} {number}" for number, symbol in enumerate(symbols)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(path: Path) -> CtcRecognizer:
    """Returns the torch network of an ONNX file that `export` wrote, in evaluation mode."""
    model = onnx.load(path)
    config = json.loads(next(entry.value for entry in model.metadata_props if entry.key == CONFIG_KEY))
    network = CtcRecognizer(RecognizerConfig(**config))
    stored = {item.name: numpy_helper.to_array(item).astype(np.float32) for item in model.graph.initializer}
    state = {}
    for name, parameter in network.state_dict().items():
        values = stored[name].reshape(parameter.shape)
        state[name] = torch.from_numpy(_swap_gates(values) if name.startswith("recurrent.") else values)
    network.load_state_dict(state)
    return network.eval()


def build(network: CtcRecognizer, *, streaming: bool) -> onnx.ModelProto:
    """Returns the graph of sherpa-onnx's `zipformer2_ctc` (streaming) or `zipformer_ctc` layout."""
    config = network.config
    graph = _Graph(network)
    x = _value("x", TensorProto.FLOAT, ["N", "T", config.n_mels])
    if streaming:
        caches = {
            "cached_key": (config.layers, "N", config.hidden),
            "cached_nonlin_attn": (1, "N", config.layers, 3 * ENCODER_DIM // 4),
            "cached_val1": (config.layers, "N", 1),
            "cached_val2": (config.layers, "N", 1),
            "cached_conv1": ("N", ENCODER_DIM, 1),
            "cached_conv2": ("N", ENCODER_DIM, 1),
            "embed_states": ("N", *EMBED_SHAPE),
        }
        inputs = [x, *(_value(name, TensorProto.FLOAT, shape) for name, shape in caches.items())]
        inputs.append(_value("processed_lens", TensorProto.INT64, ["N"]))
        graph.streaming(config)
        outputs = [_value("log_probs", TensorProto.FLOAT, ["N", "U", config.symbols])]
        outputs += [_value(f"new_{name}", TensorProto.FLOAT, shape) for name, shape in caches.items()]
        outputs.append(_value("new_processed_lens", TensorProto.INT64, ["N"]))
    else:
        inputs = [x, _value("x_lens", TensorProto.INT64, ["N"])]
        graph.offline(config)
        outputs = [
            _value("log_probs", TensorProto.FLOAT, ["N", "U", config.symbols]),
            _value("log_probs_lens", TensorProto.INT64, ["N"]),
        ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "ctc_recognizer", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gtcrn_frontend",
    )
    metadata = {CONFIG_KEY: json.dumps(config.to_dict())}
    if streaming:
        metadata |= _sherpa_metadata(config)
    helper.set_model_props(model, metadata)
    return model


def _sherpa_metadata(config: RecognizerConfig) -> dict[str, str]:
    numbers = {
        "encoder_dims": ENCODER_DIM,
        "query_head_dims": config.hidden,
        "value_head_dims": 1,
        "num_heads": 1,
        "num_encoder_layers": 1,
        "cnn_module_kernels": 3,
        "left_context_len": config.layers,
        "T": CHUNK_FRAMES,
        "decode_chunk_len": CHUNK_FRAMES,
    }
    return {"model_type": "zipformer2", "comment": "gtcrn_frontend", **{k: str(v) for k, v in numbers.items()}}


class _Graph:
    """Builder of nodes and weights; its methods take and return names of tensors."""

    def __init__(self, network: CtcRecognizer) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        for name, parameter in network.state_dict().items():
            values = parameter.detach().cpu().numpy()
            if name.startswith("recurrent."):
                values = _swap_gates(values)
                # One direction: ONNX wants a leading axis, and both biases in one tensor.
                values = values[None]
            self.initializers.append(numpy_helper.from_array(values.astype(np.float16), name))
            self.add("Cast", [name], f"{name}.float32", to=TensorProto.FLOAT)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: object, dtype: type = np.int64) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def streaming(self, config: RecognizerConfig) -> None:
        used = HISTORY * config.used_mels
        normalised = self.normalise(config)
        flat = self.add("Reshape", ["embed_states", self.constant("flat", [0, EMBED_SIZE])], "embed_flat")
        history = self.slice(flat, 0, used, 1, "history_flat")
        shape = self.constant("history_shape", [0, HISTORY, config.used_mels])
        frames = self.add("Concat", [self.add("Reshape", [history, shape], "history"), normalised], "frames", axis=1)
        layers = range(config.layers)
        before = [self.slice("cached_key", layer, layer + 1, 0, f"hidden.{layer}") for layer in layers]
        hidden = self.network(config, frames, before)
        self.add("Concat", hidden, "new_cached_key", axis=0)
        last = self.slice(frames, -HISTORY, 2**31, 1, "new_history")
        last = self.add("Reshape", [last, self.constant("history_size", [0, used])], "new_history_flat")
        rest = self.slice(flat, used, EMBED_SIZE, 1, "embed_rest")
        joined = self.add("Concat", [last, rest], "new_embed_flat", axis=1)
        self.add("Reshape", [joined, self.constant("embed_shape", [0, *EMBED_SHAPE])], "new_embed_states")
        zero = self.constant("zero", 0.0, np.float32)
        for name in ("cached_nonlin_attn", "cached_val1", "cached_val2", "cached_conv1", "cached_conv2"):
            self.add("Add", [name, zero], f"new_{name}")  # not Identity: an optimiser may drop unused inputs
        count = self.add("Gather", [self.add("Shape", ["x"], "x_shape"), self.constant("one", 1)], "x_frames")
        self.add("Add", ["processed_lens", count], "new_processed_lens")

    def offline(self, config: RecognizerConfig) -> None:
        count = self.add("Gather", [self.add("Shape", ["x"], "x_shape"), self.constant("one", 1)], "x_frames")
        zero, step = self.constant("zero", 0), self.constant("step", 1)
        places = self.add("Range", [zero, count, step], "places")
        ends = self.add("Unsqueeze", ["x_lens", self.constant("axis", [1])], "ends")
        inside = self.add(
            "Unsqueeze", [self.add("Less", [places, ends], "inside"), self.constant("axis2", [2])], "mask"
        )
        silence = self.constant("silence", 0.0, np.float32)
        masked = self.add("Where", [inside, self.normalise(config), silence], "masked")
        # Three frames on the left stand for the empty history, three on the right complete the last output.
        pads = self.constant("pads", [0, HISTORY, 0, 0, SUBSAMPLING - 1, 0])
        frames = self.add("Pad", [masked, pads], "frames")
        batch = self.add("Slice", ["x_shape", *(self.constant(f"first.{i}", [i]) for i in (0, 1))], "batch")
        state = self.add("Concat", [self.constant("state.0", [1]), batch, self.constant("state.2", [config.hidden])],
                         "state_shape", axis=0)  # fmt: skip
        start = self.add("ConstantOfShape", [state], "hidden.start")
        self.network(config, frames, [start] * config.layers)
        rounded = self.add("Add", ["x_lens", self.constant("round_up", SUBSAMPLING - 1)], "rounded")
        self.add("Div", [rounded, self.constant("subsampling", SUBSAMPLING)], "log_probs_lens")

    def normalise(self, config: RecognizerConfig) -> str:
        used = self.slice("x", 0, config.used_mels, 2, "used")
        centred = self.add("Sub", [used, "mean.float32"], "centred")
        return self.add("Mul", [centred, "scale.float32"], "normalised")

    def network(self, config: RecognizerConfig, frames: str, before: list[str]) -> list[str]:
        """Adds everything from normalised frames to log_probs; returns the new hidden states."""
        x = frames
        for n in ("1", "2"):
            x = self.add("Transpose", [x], f"conv{n}.in", perm=[0, 2, 1])
            weights = [f"conv{n}.weight.float32", f"conv{n}.bias.float32"]
            x = self.add("Conv", [x, *weights], f"conv{n}.out", kernel_shape=[3], strides=[2])
            x = self.add("Relu", [x], f"conv{n}.relu")
            x = self.add("Transpose", [x], f"norm{n}.in", perm=[0, 2, 1])
            weights = [f"norm{n}.weight.float32", f"norm{n}.bias.float32"]
            x = self.add("LayerNormalization", [x, *weights], f"norm{n}.out", axis=-1, epsilon=1e-5)
        x = self.add("Transpose", [x], "recurrent.in", perm=[1, 0, 2])
        hidden = []
        for layer in range(config.layers):
            name = f"recurrent.{layer}"
            biases = [f"{name}.bias_ih_l0.float32", f"{name}.bias_hh_l0.float32"]
            bias = self.add("Concat", biases, f"{name}.bias", axis=1)
            weights = [f"{name}.weight_ih_l0.float32", f"{name}.weight_hh_l0.float32", bias, "", before[layer]]
            after = f"new_hidden.{layer}"
            gru = helper.make_node(
                "GRU", [x, *weights], [f"{name}.out", after], hidden_size=config.hidden, linear_before_reset=1
            )
            self.nodes.append(gru)
            x = self.add("Squeeze", [f"{name}.out", self.constant(f"{name}.axis", [1])], f"{name}.squeezed")
            hidden.append(after)
        x = self.add("Transpose", [x], "output.in", perm=[1, 0, 2])
        turned = self.add("Transpose", ["output.weight.float32"], "output.weight.turned", perm=[1, 0])
        x = self.add("Add", [self.add("MatMul", [x, turned], "output.product"), "output.bias.float32"], "scores")
        self.add("LogSoftmax", [x], "log_probs", axis=-1)
        return hidden

    def slice(self, name: str, start: int, stop: int, axis: int, output: str) -> str:
        bounds = [self.constant(f"{output}.{part}", [value]) for part, value in
                  (("start", start), ("stop", stop), ("axis", axis))]  # fmt: skip
        return self.add("Slice", [name, *bounds], output)


def _swap_gates(values: np.ndarray) -> np.ndarray:
    """Returns GRU weights with the first two gates exchanged: torch's order is r, z, n, that of ONNX z, r, h."""
    reset, update, new = np.split(values, 3, axis=0)
    return np.concatenate([update, reset, new])


def _value(name: str, kind: int, shape: object) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))  # type: ignore[call-overload]
