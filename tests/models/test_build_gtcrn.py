"""The committed graph is what its script builds, and holds no weights."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "models/build_gtcrn.py"
GRAPH = SCRIPT.with_name("gtcrn.onnx")


@pytest.fixture(scope="module")
def built():
    return runpy.run_path(str(SCRIPT))["build"]()


def test_the_committed_graph_is_what_the_script_builds(built):
    committed = onnx.load_from_string(GRAPH.read_bytes())
    assert committed == built, "run `python models/build_gtcrn.py` and commit the graph"


def test_the_script_writes_the_graph_beside_itself(tmp_path):
    copy = shutil.copy(SCRIPT, tmp_path)
    subprocess.run([sys.executable, copy], check=True, cwd="/")
    assert onnx.load_from_string((tmp_path / "gtcrn.onnx").read_bytes()) == onnx.load_from_string(GRAPH.read_bytes())
    assert (tmp_path / "gtcrn.onnx").read_bytes() == GRAPH.read_bytes()


def test_it_is_a_valid_model_for_any_number_of_streams_and_frames(built):
    whole = onnx.ModelProto.FromString(built.SerializeToString())
    for tensor in whole.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            tensor.raw_data = bytes(4 * int(np.prod(tensor.dims)))
    onnx.checker.check_model(whole, full_check=True)
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*built.graph.input, *built.graph.output)
    }
    assert dims["spec"] == dims["mask"] == ["N", "T", 257, 2]
    assert dims["conv"] == dims["new_conv"] == ["N", 16, 32, 33]
    assert dims["tra"] == dims["new_tra"] == [6, "N", 16]
    assert dims["inter"] == dims["new_inter"] == [2, "bands", 16]


def test_it_holds_no_weights(built):
    for tensor in built.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            assert np.prod(tensor.dims) <= 16, f"{tensor.name} looks like a weight"
    assert GRAPH.stat().st_size < 30_000


def test_every_node_is_used(built):
    consumed = {name for node in built.graph.node for name in node.input} | {out.name for out in built.graph.output}
    assert all(set(node.output) & consumed for node in built.graph.node)
    assert {tensor.name for tensor in built.graph.initializer} <= consumed
