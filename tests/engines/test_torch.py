"""The torch engine: the network in evaluation mode, outside of autograd, leaving the process as it was."""

import numpy as np
import pytest
import torch

from gtcrn_frontend.engines.stft import analyse
from gtcrn_frontend.engines.torch import TorchEngine
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.weights.model import Model, load_model

HOP = GTCRN_SPEC.hop_length


@pytest.fixture(scope="module")
def model(random_checkpoint):
    return load_model(random_checkpoint)


def noise(hops):
    return np.random.default_rng(0).normal(0, 0.1, (hops, HOP)).astype(np.float32)


def test_it_runs_the_network_on_the_spectra(model, random_parameters):
    net = GTCRN().eval()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in random_parameters.items()})
    engine, hops = TorchEngine(model), noise(30)
    spectra, _ = analyse(GTCRN_SPEC, hops[None], np.zeros((1, HOP), np.float32))
    with torch.no_grad():
        expected = net(torch.view_as_real(torch.from_numpy(spectra).transpose(1, 2).contiguous()))
    enhanced, _ = engine._run(spectra, engine.new_state().caches)
    np.testing.assert_allclose(enhanced, torch.view_as_complex(expected).transpose(1, 2).numpy(), atol=1e-5)


def test_the_models_arrays_are_not_the_networks(model):
    kept = {name: array.copy() for name, array in model.parameters.items()}
    engine = TorchEngine(model)
    with torch.no_grad():
        for parameter in engine._net.parameters():
            parameter.zero_()
    for name, array in model.parameters.items():
        np.testing.assert_array_equal(array, kept[name])


def test_it_leaves_threads_and_autograd_of_the_process_alone(model):
    threads = torch.get_num_threads()
    engine = TorchEngine(model)
    engine.process(noise(3), engine.new_state())
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not any(parameter.requires_grad for parameter in engine._net.parameters())
    assert not any(module.training for module in engine._net.modules())


def test_a_callers_autograd_mode_does_not_matter(model):
    engine, hops = TorchEngine(model), noise(6)
    expected = engine.process(hops, engine.new_state())
    state = engine.new_state()
    first = engine.process(hops[:3], state)
    with torch.no_grad():
        second = engine.process(hops[3:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), expected, atol=1e-6)
    assert engine.export_state(state)["conv"].dtype == np.float32


def test_a_ready_graph_is_refused(tmp_path):
    model = Model(None, tmp_path / "ready.onnx", "", graph=b"...")
    with pytest.raises(
        ModelError, match=r"ready\.onnx: an ONNX graph runs with engine='onnx' only, got engine='torch'"
    ):
        TorchEngine(model)
