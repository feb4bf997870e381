"""Every network of the table is complete, and checkpoints tell which one they are of."""

import numpy as np
import pytest

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.nets import new_net
from gtcrn_frontend.weights.checkpoint import write_safetensors
from gtcrn_frontend.weights.model import load_model
from gtcrn_frontend.weights.networks import NETWORKS, find_network, recognise
from gtcrn_frontend.weights.param_shapes import gtcrn_parameters

IN_TORCH = [name for name, network in NETWORKS.items() if network.module]
VARIANTS = ("frcrn_causal",)  # have the names of another network, and are told by the metadata only


def checkpoint(name):
    rng = np.random.default_rng(0)
    shapes = NETWORKS[name].parameters()
    return {key: np.abs(rng.normal(0, 0.1, shape)).astype(np.float32) for key, shape in shapes.items()}


@pytest.mark.parametrize("name", IN_TORCH)
def test_the_table_knows_the_names_and_shapes_of_the_module(name):
    shapes = {key: tuple(tensor.shape) for key, tensor in new_net(name).state_dict().items()}
    counters = {key for key in shapes if key.endswith("num_batches_tracked")}
    assert {key: shape for key, shape in shapes.items() if key not in counters} == NETWORKS[name].parameters()
    counted = sum(p.numel() for p in new_net(name).parameters())
    assert counted == NETWORKS[name].spec.parameters


@pytest.mark.parametrize("name", [name for name in IN_TORCH if name not in VARIANTS])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_is_recognised_by_its_names(name, prefix, tmp_path):
    arrays = checkpoint(name)
    path = tmp_path / "any.safetensors"
    write_safetensors(path, {prefix + key: array for key, array in arrays.items()}, {})
    model = load_model(path)
    assert model.spec is NETWORKS[name].spec
    assert model.engines == NETWORKS[name].engines
    assert model.parameters.keys() == arrays.keys()


def test_a_damaged_checkpoint_is_held_against_the_network_it_resembles():
    arrays = checkpoint("lite_rtse")
    del arrays["fc2.bias"]
    with pytest.raises(ModelError, match=r"the 54 tensors of lite_rtse; missing: fc2\.bias; unknown: none"):
        recognise(arrays)


def test_the_architecture_in_the_metadata_goes_first(tmp_path):
    path = tmp_path / "any.safetensors"
    write_safetensors(path, checkpoint("lite_rtse"), {"architecture": "gtcrn"})
    with pytest.raises(ModelError, match="tensors of gtcrn"):
        load_model(path)
    write_safetensors(path, checkpoint("lite_rtse"), {"architecture": "demucs"})
    with pytest.raises(ModelError, match="expected a network out of gtcrn, lite_rtse"):
        load_model(path)
    write_safetensors(path, checkpoint("lite_rtse"), {"architecture": "lite_rtse"})
    assert load_model(path).spec.name == "lite_rtse"


def test_unknown_tensors_are_told_with_what_was_expected():
    with pytest.raises(ModelError, match=r"expected the tensors of gtcrn .*, lite_rtse \(lstm1\..*got 1, such as x"):
        recognise({"x": np.zeros(3, np.float32)})


def test_no_such_network():
    with pytest.raises(ModelError, match="expected a network out of gtcrn"):
        find_network("wavenet")


@pytest.mark.parametrize(("name", "engine"), [("lite_rtse", "native")])
def test_an_engine_that_cannot_run_a_network_says_which_can(name, engine, tmp_path):
    path = tmp_path / "any.safetensors"
    write_safetensors(path, checkpoint(name), {})
    with pytest.raises(
        ModelError, match=rf"any\.safetensors: {name} runs with engine='onnx' or engine='torch' only, got"
    ):
        load_model(path).weights_for(engine)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "model.", "generator.", "module._orig_mod.", "model.net."])
def test_prefixes_of_wrappers_are_taken_away(prefix):
    arrays = {name: np.ones(shape, np.float16) for name, shape in gtcrn_parameters().items()}
    wrapped = {prefix + name: array for name, array in arrays.items()} | {"discriminator.w": np.ones(1, np.float32)}
    spec, parameters = recognise(wrapped)
    assert spec.name == "gtcrn"
    assert parameters.keys() == arrays.keys()
    assert all(array.dtype == np.float32 for array in parameters.values())
