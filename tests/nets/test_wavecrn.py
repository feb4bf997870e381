"""WaveCRN: the reference's output and parameters, any length, what a sample depends on."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.nets.wavecrn import WaveCRN
from gtcrn_frontend.weights.wavecrn import wavecrn_parameters


@pytest.fixture(scope="module")
def small():
    """A small network with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return WaveCRN(channels=8, layers=2).eval().requires_grad_(False)


def test_the_reference_output_comes_out(shared, generated_state_dict):
    net = WaveCRN().eval().requires_grad_(False)
    net.load_state_dict(generated_state_dict("wavecrn"))
    golden = np.load(shared / "reference/wavecrn.npz")
    expected = golden["enhanced"][:, 0]
    enhanced = net(torch.from_numpy(golden["wav"][:, 0])).numpy()
    assert np.abs(enhanced - expected).max() < 1e-4 * np.abs(expected).max()


def test_names_and_shapes_are_the_reference_ones(shared):
    expected = json.loads((shared / "reference/wavecrn.keys.json").read_text())
    found = {name: list(tensor.shape) for name, tensor in WaveCRN().state_dict().items()}
    assert found == expected
    assert {name: list(shape) for name, shape in wavecrn_parameters().items()} == expected


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400))
def test_any_length_comes_back(small, length):
    samples = torch.randn(2, length, generator=torch.Generator().manual_seed(length)) * 0.1
    enhanced = small.enhance(samples)
    assert enhanced.shape == samples.shape
    assert enhanced.abs().max() < 1
    whole = torch.nn.functional.pad(samples, (0, -length % 48))
    torch.testing.assert_close(enhanced, small.enhance(whole)[:, :length])


def test_silence_stays_silent(small):
    assert not small.enhance(torch.zeros(1, 500)).any()


def test_every_sample_depends_on_the_whole_signal(small):
    samples = torch.randn(1, 960, generator=torch.Generator().manual_seed(1)) * 0.1
    changed = samples.clone()
    changed[0, -40] += 0.5
    assert not torch.equal(small(samples)[:, :48], small(changed)[:, :48])
