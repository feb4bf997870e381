"""The layout of the graph's weights: names, shapes, the order of gates and channels, and the slopes."""

import numpy as np
import onnx
import pytest

from gtcrn_frontend.engines.onnx.gtcrn_layout import (
    INTERLEAVED_TO_SPLIT,
    PASSED_OF_SPLIT,
    SLOPES,
    onnx_layout,
    onnx_shapes,
    slope_placeholder,
    with_slopes,
)
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import installed_model_file


@pytest.fixture(scope="module")
def graph():
    return installed_model_file("gtcrn.onnx").read_bytes()


@pytest.fixture(scope="module")
def folded(random_parameters):
    return fold_gtcrn(random_parameters)


def test_names_and_shapes_are_those_that_the_graph_lacks(graph, folded):
    absent = {
        tensor.name: tuple(tensor.dims)
        for tensor in onnx.load_from_string(graph).graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }
    layout = onnx_layout(folded)
    assert {name: array.shape for name, array in layout.items()} == onnx_shapes() == absent
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in layout.values())


def test_the_folded_arrays_are_not_changed(folded):
    before = {name: array.copy() for name, array in folded.items()}
    onnx_layout(folded)
    assert folded.keys() == before.keys()
    for name, array in folded.items():
        np.testing.assert_array_equal(array, before[name])


def test_the_filters_let_low_bins_pass(folded):
    layout = onnx_layout(folded)
    spectrum = np.random.default_rng(0).normal(0, 1, 257).astype(np.float32)
    bands = spectrum @ layout["erb.merge"]
    np.testing.assert_allclose(bands[:65], spectrum[:65], atol=1e-6)
    np.testing.assert_allclose(bands[65:], folded["erb.merge"] @ spectrum[65:], atol=1e-5)
    spread = bands @ layout["erb.spread"]
    np.testing.assert_allclose(spread[:65], spectrum[:65], atol=1e-6)
    np.testing.assert_allclose(spread[65:], folded["erb.spread"] @ bands[65:], atol=1e-5)


def test_split_order_puts_convolved_channels_first():
    shuffled = np.stack([np.arange(8), 8 + np.arange(8)], axis=1).reshape(
        -1
    )  # a block's output: convolved, passed, ...
    split = shuffled[list(INTERLEAVED_TO_SPLIT)]
    assert split.tolist() == list(range(16))
    network = np.arange(16)
    assert network[list(INTERLEAVED_TO_SPLIT)][list(PASSED_OF_SPLIT)].tolist() == list(range(8, 16))


def test_gates_are_in_the_order_of_onnx(folded):
    torch_order, onnx_order = folded["dp1.inter.gru.weight_hh"], onnx_layout(folded)["dp1.inter.gru.r"][0]
    reset, update, new = np.split(torch_order, 3)
    np.testing.assert_array_equal(onnx_order, np.concatenate([update, reset, new]))
    bias = onnx_layout(folded)["dp1.inter.gru.b"][0]
    reset, update, new = np.split(folded["dp1.inter.gru.bias_hh"], 3)
    np.testing.assert_array_equal(bias[48:], np.concatenate([update, reset, new]))


def test_each_slope_has_a_placeholder_of_its_own(graph):
    values = {np.float32(slope_placeholder(name)).tobytes() for name in SLOPES}
    assert len(values) == len(SLOPES) == 15
    assert all(graph.count(value) == 1 for value in values)


def test_slopes_replace_their_placeholders_and_nothing_else(graph, folded):
    before = onnx.load_from_string(graph).graph
    after = onnx.load_from_string(with_slopes(graph, folded)).graph
    slopes = {float(np.float32(slope_placeholder(name))): folded[f"{name}.slope"][0] for name in SLOPES}
    for old, new in zip(before.node, after.node, strict=True):
        if old.op_type == "LeakyRelu":
            (attribute,) = old.attribute
            assert new.attribute[0].f == slopes.pop(attribute.f)
            new.attribute[0].f = attribute.f
        assert old == new
    assert not slopes
    assert before.initializer == after.initializer


def test_another_graph_is_refused(graph, folded):
    changed = graph.replace(np.float32(slope_placeholder("de3")).tobytes(), np.float32(0.25).tobytes())
    with pytest.raises(ModelError, match=r"gtcrn\.onnx of this version, got one without the slope de3"):
        with_slopes(changed, folded)
