"""FRCRN's graph: what the torch module computes, any length, several signals at once, with a strength inside."""

import numpy as np
import onnxruntime
import pytest
import torch

from gtcrn_frontend.export.frcrn import frcrn_graph
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.model_spec import FRCRN_SPEC
from gtcrn_frontend.nets.frcrn import FRCRN

ORIGIN = Origin("some.pt", "0123", licence="Apache-2.0")


@pytest.fixture(scope="module")
def net():
    """A small network with random statistics and offsets, too."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = FRCRN(channels=8).eval().requires_grad_(False)
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.3, 2)
    return net


def session(net, strength=1.0):
    parameters = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    return onnxruntime.InferenceSession(frcrn_graph(parameters, FRCRN_SPEC, ORIGIN, strength))


def noise(*shape):
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (1, 320), (3, 5001)])
def test_the_graph_is_the_module(net, shape):
    samples = noise(*shape)
    expected = net.enhance(torch.from_numpy(samples)).numpy()
    (enhanced,) = session(net).run(None, {"wav": samples})
    np.testing.assert_allclose(enhanced, expected, atol=1e-6)


def test_a_strength_mixes_the_input_in(net):
    samples = noise(2, 700)
    expected = 0.25 * net.enhance(torch.from_numpy(samples)).numpy() + 0.75 * samples
    (enhanced,) = session(net, strength=0.25).run(None, {"wav": samples})
    np.testing.assert_allclose(enhanced, expected, atol=1e-6)


def test_the_file_tells_what_it_is(net):
    described = session(net, strength=0.5).get_modelmeta()
    assert "wav (N, samples)" in described.description
    assert described.graph_name == "frcrn"
    metadata = described.custom_metadata_map
    expected = {"network": "frcrn", "sample_rate": "16000", "strength": "0.5", "licence": "Apache-2.0"}
    assert expected.items() <= metadata.items()


def test_the_file_holds_complex_weights_once(net):
    parameters = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    convolutions = sum(array.nbytes for array in parameters.values() if array.ndim == 4)
    fixed = sum(array.nbytes for name, array in parameters.items() if name.startswith("stft."))
    graph = frcrn_graph(parameters, FRCRN_SPEC, ORIGIN, 1.0)
    assert len(graph) < 2 * fixed + 1.5 * convolutions + 300_000
