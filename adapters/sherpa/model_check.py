"""Model checks that sherpa-onnx omits: mismatches that would end the process or fail at the first chunk.

sherpa-onnx binds tensors by position and sizes states by metadata. If metadata are missing or do not match the graph,
it calls `_Exit`, reads out of bounds, or fails at the first chunk. Verified with sherpa-onnx 2.0.1 and its source
(`online-zipformer2-ctc-model.cc`, `offline-zipformer-ctc-model.cc`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from gtcrn_frontend.adapters.sherpa.tokens import check_ctc_tokens
from gtcrn_frontend.errors import ModelError

LISTS = (
    "encoder_dims",
    "query_head_dims",
    "value_head_dims",
    "num_heads",
    "num_encoder_layers",
    "cnn_module_kernels",
    "left_context_len",
)
"""Metadata of a streaming Zipformer2: comma-separated lists with one entry per stack."""

COUNTS = ("T", "decode_chunk_len")
"""Metadata of a streaming Zipformer2: frames per chunk, and chunk shift in frames."""

FEATURE_DIM = 80  # sherpa-onnx's default

_SILERO_WINDOW = 512
_FLOAT, _INT64 = "tensor(float)", "tensor(int64)"
_NUMBERS = re.compile(r"\d+(,\d+)*")

Size = int | str | None


@dataclass(frozen=True)
class Tensor:
    """An input or output; non-integer sizes are dynamic."""

    type: str
    shape: tuple[Size, ...]
    name: str = ""


@dataclass(frozen=True)
class Graph:
    """Inputs, outputs and metadata of a model file."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]


def check_model(factory: str, arguments: Mapping[str, Any]) -> None:
    """Raises `ModelError` if a model or its tokens would end the process or fail at the first chunk.

    Args:
        factory: a key of `CONTRACTS`.
        arguments: of the factory, by name: `model`, `tokens` and `feature_dim` count.
    """
    CONTRACTS[factory](arguments["model"], arguments["tokens"], arguments.get("feature_dim", FEATURE_DIM))


def check_online_ctc(model: str | Path, tokens: str | Path, feature_dim: int = FEATURE_DIM) -> None:
    """Raises `ModelError` unless `OnlineRecognizer.from_zipformer2_ctc` can run a model.

    Args:
        model: ONNX file.
        tokens: its `tokens.txt`.
        feature_dim: feature dimension, as passed to sherpa-onnx.
    """
    graph = read_graph(model)
    lists, (chunk, shift) = _zipformer2_metadata(graph)
    states = _zipformer2_states(lists)
    n_layers = sum(lists["num_encoder_layers"])
    if len(graph.inputs) != 1 + len(states):
        raise ModelError(
            f"{graph.path}: expected {1 + len(states)} inputs for num_encoder_layers {n_layers}: features, 6 states "
            f"for each layer, embed_states and processed_lens; got {len(graph.inputs)}"
        )
    if len(graph.outputs) != 1 + len(states):
        raise ModelError(
            f"{graph.path}: expected {1 + len(states)} outputs, log_probs and the new states in the order of the "
            f"inputs; got {len(graph.outputs)}"
        )
    if not 1 <= shift <= chunk:
        raise ModelError(f"{graph.path}: expected metadata with 1 <= decode_chunk_len <= T, got {shift} and {chunk}")
    features = Tensor(_FLOAT, ("N", chunk, feature_dim))
    for number, (expected, got) in enumerate(zip((features, *states), graph.inputs, strict=True), start=1):
        _check_tensor(graph.path, f"input {number}", expected, got)
    for number, (expected, got) in enumerate(zip(states, graph.outputs[1:], strict=True), start=2):
        _check_tensor(graph.path, f"output {number}", expected, got)
    check_ctc_tokens(tokens, _vocabulary(graph))


def check_offline_ctc(model: str | Path, tokens: str | Path, feature_dim: int = FEATURE_DIM) -> None:
    """Raises `ModelError` unless `OfflineRecognizer.from_zipformer_ctc` can run a model; see `check_online_ctc`."""
    graph = read_graph(model)
    if len(graph.inputs) != 2 or len(graph.outputs) < 2:
        raise ModelError(
            f"{graph.path}: expected 2 inputs, x and x_lens, and 2 outputs, log_probs and their lengths; got "
            f"{len(graph.inputs)} and {len(graph.outputs)}: is it a streaming model?"
        )
    _check_tensor(graph.path, "input 1", Tensor(_FLOAT, ("N", "T", feature_dim)), graph.inputs[0])
    _check_tensor(graph.path, "input 2", Tensor(_INT64, ("N",)), graph.inputs[1])
    _check_tensor(graph.path, "output 2", Tensor(_INT64, ("N",)), graph.outputs[1])
    check_ctc_tokens(tokens, _vocabulary(graph))


def check_silero_vad(model: str | Path, window_size: int | None = None) -> None:
    """Raises `ModelError` unless sherpa-onnx can run a model as its `silero_vad`.

    Args:
        model: ONNX file.
        window_size: samples per decision, as passed to sherpa-onnx; None: its default.
    """
    graph = read_graph(model)
    names = tuple(each.name for each in graph.inputs), tuple(each.name for each in graph.outputs)
    if names not in SILERO_VERSIONS.values():
        known = "; ".join(f"{version}: {' '.join(inputs)}" for version, (inputs, _) in SILERO_VERSIONS.items())
        raise ModelError(f"{graph.path}: expected a Silero VAD, with inputs as in {known}; got {' '.join(names[0])}")
    if names == SILERO_VERSIONS["version 5"] and window_size not in (None, _SILERO_WINDOW):
        raise ModelError(f"{graph.path}: expected window_size {_SILERO_WINDOW} for version 5, got {window_size}")


SILERO_VERSIONS = {
    "version 4": (("input", "sr", "h", "c"), ("output", "hn", "cn")),
    "version 5": (("input", "state", "sr"), ("output", "stateN")),
    "k2-fsa's": (("x", "h", "c"), ("prob", "new_h", "new_c")),
}
"""Input and output names that sherpa-onnx's `silero-vad-model.cc` expects."""

CONTRACTS: Mapping[str, Callable[[str | Path, str | Path, int], None]] = {
    "OnlineRecognizer.from_zipformer2_ctc": check_online_ctc,
    "OfflineRecognizer.from_zipformer_ctc": check_offline_ctc,
}
"""Checks by factory, for factories whose requirements are known."""


def read_graph(path: str | Path) -> Graph:
    """Returns inputs, outputs and metadata of an ONNX file.

    Raises:
        ModelError: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # only loaded, never run
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise ModelError(f"{path}: expected an ONNX model that ONNX Runtime loads: {error}") from error
    inputs, outputs = (
        tuple(Tensor(each.type, tuple(each.shape), each.name) for each in named)
        for named in (session.get_inputs(), session.get_outputs())
    )
    return Graph(Path(path), inputs, outputs, dict(session.get_modelmeta().custom_metadata_map))


def _zipformer2_metadata(graph: Graph) -> tuple[dict[str, list[int]], list[int]]:
    """Returns the metadata lists by name."""
    missing = [name for name in (*LISTS, *COUNTS) if not graph.metadata.get(name)]
    if missing:
        raise ModelError(
            f"{graph.path}: expected the metadata of a streaming Zipformer2, {', '.join(missing)} missing: "
            "sherpa-onnx would end the process; was it exported for sherpa-onnx, and for streaming?"
        )
    values = {name: _numbers(graph, name) for name in (*LISTS, *COUNTS)}
    lists = {name: values[name] for name in LISTS}
    if len(set(map(len, lists.values()))) != 1:
        counted = ", ".join(f"{name} {len(numbers)}" for name, numbers in lists.items())
        raise ModelError(f"{graph.path}: expected metadata with as many entries each, got {counted}")
    if not sum(lists["num_encoder_layers"]):
        raise ModelError(f"{graph.path}: expected at least one layer, got num_encoder_layers 0: batches would crash")
    return lists, [values[name][0] for name in COUNTS]


def _numbers(graph: Graph, name: str) -> list[int]:
    text = graph.metadata[name]
    if not _NUMBERS.fullmatch(text) or (name in COUNTS and "," in text):
        expected = "a whole number" if name in COUNTS else "whole numbers separated by commas"
        raise ModelError(f"{graph.path}: expected {expected} as metadata {name}, got {text!r}")
    return [int(number) for number in text.split(",")]


def _zipformer2_states(lists: Mapping[str, Sequence[int]]) -> list[Tensor]:
    """Returns the states in the order in which sherpa-onnx passes them, see its `InitStates`."""
    states: list[Tensor] = []
    for dim, query, value, heads, layers, kernel, left in zip(*(lists[name] for name in LISTS), strict=True):
        layer = [
            Tensor(_FLOAT, (left, "N", query * heads)),
            Tensor(_FLOAT, (1, "N", left, 3 * dim // 4)),
            Tensor(_FLOAT, (left, "N", value * heads)),
            Tensor(_FLOAT, (left, "N", value * heads)),
            Tensor(_FLOAT, ("N", dim, kernel // 2)),
            Tensor(_FLOAT, ("N", dim, kernel // 2)),
        ]
        states += layer * layers
    return [*states, Tensor(_FLOAT, ("N", 128, 3, 19)), Tensor(_INT64, ("N",))]


def _check_tensor(path: Path, what: str, expected: Tensor, got: Tensor) -> None:
    fits = (
        expected.type == got.type
        and len(expected.shape) == len(got.shape)
        and all(map(_fit, expected.shape, got.shape))
    )
    if not fits:
        raise ModelError(
            f"{path}: expected {what} as {_named(expected)}, from metadata and feature_dim; the model has {_named(got)}"
        )


def _fit(expected: Size, got: Size) -> bool:
    return expected == got or not (isinstance(expected, int) and isinstance(got, int))


def _named(tensor: Tensor) -> str:
    return f"{tensor.type.removeprefix('tensor(').removesuffix(')')} ({', '.join(map(str, tensor.shape))})"


def _vocabulary(graph: Graph) -> int | None:
    """Returns the last dimension of the first output; None if it is dynamic."""
    output = graph.outputs[0]
    if output.type != _FLOAT or len(output.shape) != 3:
        raise ModelError(f"{graph.path}: expected output 1 as float (N, T, vocabulary), got {_named(output)}")
    return output.shape[2] if isinstance(output.shape[2], int) else None
