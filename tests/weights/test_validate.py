"""Names and shapes of GTCRN's parameters, and what is refused in their place."""

import json

import numpy as np
import pytest

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.weights.param_shapes import gtcrn_parameters
from gtcrn_frontend.weights.validate import check_parameters


def without_counters(shapes):
    return {name: tuple(shape) for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}


def test_names_and_shapes_are_those_of_the_network_in_its_order():
    shapes = without_counters({name: tensor.shape for name, tensor in GTCRN().state_dict().items()})
    assert set(gtcrn_parameters()) == set(shapes)
    assert gtcrn_parameters() == shapes


def test_names_and_shapes_are_the_released_ones(shared):
    assert gtcrn_parameters() == without_counters(json.loads((shared / "reference/gtcrn.keys.json").read_text()))


def test_their_number_is_that_of_the_spec():
    counted = sum(int(np.prod(s)) for name, s in gtcrn_parameters().items() if "running_" not in name)
    assert counted == GTCRN_SPEC.parameters


def test_good_parameters_come_back_as_float32_without_batch_counters(random_parameters):
    mixed = {name: array.astype(np.float64) for name, array in random_parameters.items()}
    mixed["erb.erb_fc.weight"] = np.asfortranarray(mixed["erb.erb_fc.weight"])
    checked = check_parameters(mixed)
    assert set(checked) == set(gtcrn_parameters())
    for name, array in checked.items():
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, random_parameters[name])


def test_batch_counters_may_be_absent(random_parameters):
    bare = {name: array for name, array in random_parameters.items() if not name.endswith("num_batches_tracked")}
    assert check_parameters(bare).keys() == gtcrn_parameters().keys()


NAME = "encoder.en_convs.0.bn.running_var"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(15, np.float32), r"expected \(16,\) floats, got \(15,\) float32"),
        (np.ones((16, 1), np.float32), r"got \(16, 1\) float32"),
        (np.ones(16, np.int64), r"expected \(16,\) floats, got \(16,\) int64"),
        (np.ones(16, np.complex64), "complex64"),
        (np.full(16, np.nan, np.float32), "finite"),
        (np.full(16, np.inf, np.float32), "finite"),
        (np.full(16, 1e300), "finite"),
        (np.full(16, -1e-3, np.float32), "negative"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_value_that_cannot_be_is_refused_by_name(random_parameters, value, message):
    with pytest.raises(ModelError, match=message) as caught:
        check_parameters(random_parameters | {NAME: value})
    assert NAME in str(caught.value)


def test_names_that_are_missing_or_unknown_are_shown(random_parameters):
    others = {name: array for name, array in random_parameters.items() if not name.startswith("dpgrnn1.intra_ln")}
    with pytest.raises(ModelError, match=r"missing: dpgrnn1\.intra_ln\.weight, dpgrnn1\.intra_ln\.bias; unknown: none"):
        check_parameters(others)
    more = {f"module.{name}": array for name, array in random_parameters.items()}
    with pytest.raises(ModelError, match=r"missing: [\w., ]+ and \d+ more; unknown: module[\w., ]+ and \d+ more"):
        check_parameters(more)
    with pytest.raises(ModelError, match=r"missing: erb.erb_fc.weight, [\w., ]+ and \d+ more; unknown: none"):
        check_parameters({})
