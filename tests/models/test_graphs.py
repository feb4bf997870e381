"""The committed graphs are what their scripts build, and hold no weights."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"
LARGEST = {"gtcrn": 30_000, "lite_rtse": 20_000}
"""The graphs, and bytes that none of them with weights would fit into."""


@pytest.fixture(scope="module", params=LARGEST)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def script(name):
    return MODELS / f"build_{name}.py"


@pytest.fixture(scope="module")
def committed(name):
    return MODELS / f"{name}.onnx"


@pytest.fixture(scope="module")
def built(script):
    return runpy.run_path(str(script))["build"]()


def test_the_committed_graph_is_what_the_script_builds(built, script, committed):
    assert onnx.load_from_string(committed.read_bytes()) == built, f"run `python models/{script.name}`"


def test_the_script_writes_the_graph_beside_itself(script, committed, tmp_path):
    copy = shutil.copy(script, tmp_path)
    subprocess.run([sys.executable, copy], check=True, cwd="/")
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


def test_it_is_a_valid_model(built):
    whole = onnx.ModelProto.FromString(built.SerializeToString())
    for tensor in whole.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            tensor.raw_data = bytes(4 * int(np.prod(tensor.dims)))
    onnx.checker.check_model(whole, full_check=True)


def test_it_holds_no_weights(built, name, committed):
    for tensor in built.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            assert np.prod(tensor.dims) <= 16, f"{tensor.name} looks like a weight"
    assert committed.stat().st_size < LARGEST[name]


def test_every_node_is_used(built):
    consumed = {name for node in built.graph.node for name in node.input} | {out.name for out in built.graph.output}
    assert all(set(node.output) & consumed for node in built.graph.node)
    assert {tensor.name for tensor in built.graph.initializer} <= consumed


def test_gtcrn_takes_any_number_of_streams_and_frames():
    graph = onnx.load_from_string((MODELS / "gtcrn.onnx").read_bytes()).graph
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert dims["spec"] == dims["mask"] == ["N", "T", 257, 2]
    assert dims["conv"] == dims["new_conv"] == ["N", 16, 32, 33]
    assert dims["tra"] == dims["new_tra"] == [6, "N", 16]
    assert dims["inter"] == dims["new_inter"] == [2, "bands", 16]
