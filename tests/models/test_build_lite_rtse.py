"""The committed graph is what its script builds, and holds no weights."""

import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "models/build_lite_rtse.py"
GRAPH = SCRIPT.with_name("lite_rtse.onnx")


@pytest.fixture(scope="module")
def built():
    return runpy.run_path(str(SCRIPT))["build"]()


def test_the_committed_graph_is_what_the_script_builds(built):
    committed = onnx.load_from_string(GRAPH.read_bytes())
    assert committed == built, "run `python models/build_lite_rtse.py` and commit the graph"


def test_it_is_a_valid_model(built):
    whole = onnx.ModelProto.FromString(built.SerializeToString())
    for tensor in whole.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            tensor.raw_data = bytes(4 * int(np.prod(tensor.dims)))
    onnx.checker.check_model(whole, full_check=True)


def test_it_holds_no_weights(built):
    for tensor in built.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            assert np.prod(tensor.dims) <= 16, f"{tensor.name} looks like a weight"
    assert GRAPH.stat().st_size < 20_000


def test_every_node_is_used(built):
    consumed = {name for node in built.graph.node for name in node.input} | {out.name for out in built.graph.output}
    assert all(set(node.output) & consumed for node in built.graph.node)
    assert {tensor.name for tensor in built.graph.initializer} <= consumed
