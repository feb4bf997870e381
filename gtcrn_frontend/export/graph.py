"""A minimal builder for ONNX graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


class Graph:
    """Collects nodes and constants. An input is the name of a tensor, or an array, which becomes a constant.

    Tensor names begin with `prefix`.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._prefix = prefix
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, op: str, inputs: Sequence[Any], output: str = "", **attributes: Any) -> str:
        """Adds a node with one output; returns its name."""
        return self.add_many(op, inputs, [output or self._unused(op)], **attributes)[0]

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Adds a Split node; returns the names of the parts of `x` along an axis."""
        name = self._unused("Split")
        return self.add_many("Split", [x, list(sizes)], [f"{name}_{i}" for i in range(len(sizes))], axis=axis)

    def add_many(self, op: str, inputs: Sequence[Any], outputs: list[str], **attributes: Any) -> list[str]:
        """Adds a node with several outputs; returns their names, `outputs`. An empty name discards an output."""
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        self.nodes.append(helper.make_node(op, names, outputs, **attributes))
        return outputs

    def constants(self) -> list[onnx.TensorProto]:
        """Returns the arrays among the inputs."""
        return [
            numpy_helper.from_array(np.frombuffer(data, dtype).reshape(shape), name)
            for (dtype, shape, data), name in self._constants.items()
        ]

    def to_bytes(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        metadata: Mapping[str, str],
        opset: int,
        ir_version: int,
        documentation: str = "",
        name: str = "gtcrn",
    ) -> bytes:
        """Returns the ONNX file; inputs and outputs are float32."""
        model = helper.make_model(
            helper.make_graph(self.nodes, name, _floats(inputs), _floats(outputs), self.constants()),
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=ir_version,
            producer_name="gtcrn_frontend",
        )
        if documentation:  # an empty one would be serialised
            model.doc_string = documentation
        helper.set_model_props(model, dict(metadata))
        return bytes(model.SerializeToString(deterministic=True))

    def _unused(self, op: str) -> str:
        return f"{self._prefix}{op.lower()}_{len(self.nodes)}"

    def _constant(self, array: npt.NDArray[Any]) -> str:
        """Returns the name of a constant, float32 or int64; equal constants are shared."""
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int64)
        key = (array.dtype.str, array.shape, array.tobytes())
        return self._constants.setdefault(key, f"{self._prefix}constant_{len(self._constants)}")


def embed_weights(model: onnx.ModelProto, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Replaces a graph's external weights by arrays, by name."""
    for initializer in model.graph.initializer:
        if initializer.name in weights:
            initializer.CopyFrom(numpy_helper.from_array(weights[initializer.name], initializer.name))


def absent_weights(shapes: Mapping[str, tuple[int, ...]]) -> list[onnx.TensorProto]:
    """Returns initializers with external data in a nonexistent file, to be bound by name when the graph is loaded."""
    tensors = []
    for name, shape in shapes.items():
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="bound-at-load")
        tensor.external_data.add(key="length", value=str(4 * int(np.prod(shape))))
        tensors.append(tensor)
    return tensors


def _floats(shapes: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
