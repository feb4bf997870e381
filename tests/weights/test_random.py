import numpy as np
import pytest

from gtcrn_frontend import Enhancer, ModelError
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import NETWORKS
from gtcrn_frontend.weights.random import random_network, random_parameters
from gtcrn_frontend.weights.validate import check_parameters

WITH_MODULE = [name for name, network in NETWORKS.items() if network.module]


@pytest.mark.parametrize("name", WITH_MODULE)
def test_every_network_has_parameters_that_are_finite_and_the_same_every_time(name):
    shapes = NETWORKS[name].parameters()
    parameters = check_parameters(random_parameters(shapes), shapes, name)
    again = random_parameters(shapes)
    assert all(np.array_equal(parameters[key], again[key]) for key in shapes)


def test_the_name_works_wherever_a_model_is_named():
    noise = np.random.default_rng(1).normal(0, 0.1, 8000).astype(np.float32)
    enhanced = Enhancer("random:gtcrn").enhance(noise)
    assert enhanced.std() > 0
    assert not np.allclose(enhanced, Enhancer().enhance(noise), atol=1e-3)
    np.testing.assert_allclose(Enhancer("random:gtcrn", engine="torch").enhance(noise), enhanced, atol=1e-4)
    twin = Enhancer("random:gtcrn")
    twin.set_state(Enhancer("random:gtcrn", engine="onnx").get_state())


def test_random_weights_are_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = model_path("random:lite_rtse")
    assert not path.exists()
    assert load_model(path).spec.name == "lite_rtse"


def test_other_names_are_paths():
    assert random_network("gtcrn-asr") == random_network("./random:gtcrn") == ""


@pytest.mark.parametrize("model", ["random:", "random:gtcrn-asr", "random:dpcrn"])
def test_what_has_no_network_is_refused(model):
    with pytest.raises(ModelError, match=r"expected random:NETWORK with a network out of gtcrn, .*, got 'random:"):
        Enhancer(model)
