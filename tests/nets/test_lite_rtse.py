"""Lite-RTSE: the reference's numbers, and a stream in any blocks is the whole signal."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.model_spec import LITE_RTSE_SPEC
from gtcrn_frontend.nets.lite_rtse import LiteRTSE
from gtcrn_frontend.weights.param_shapes import lite_rtse_parameters

FRAMES = 24


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return LiteRTSE().eval().requires_grad_(False)


def spectra(frames=FRAMES, batch=1, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (batch, 257, frames, 2)).astype(np.float32))


def test_the_golden_output(shared, generated_state_dict):
    """With weights that large, the convolution branch reaches 1e8, and a gate may turn by what float32 rounds off.

    A frame whose gates do is found without the golden output: there double precision gives something else, too.
    """
    golden = np.load(shared / "reference/lite_rtse.npz")
    net = LiteRTSE().eval().requires_grad_(False)
    net.load_state_dict(generated_state_dict("lite_rtse"))
    spec = torch.from_numpy(golden["spec"])
    ours, exact = net(spec).numpy(), net.double()(spec.double()).numpy()
    expected = golden["enhanced_spec"]
    tolerance = 1e-4 * np.abs(expected).max()
    stable = np.abs(ours - exact).max((0, 1, 3)) < tolerance
    assert stable[:2].all(), "before the branch has a past, it is small"
    assert stable.sum() >= len(stable) - 2
    np.testing.assert_allclose(ours[:, :, stable], expected[:, :, stable], rtol=0, atol=tolerance)


def test_names_and_shapes_are_the_references():
    shapes = {name: tuple(tensor.shape) for name, tensor in LiteRTSE().state_dict().items()}
    assert shapes == lite_rtse_parameters()
    assert sum(p.numel() for p in LiteRTSE().parameters()) == LITE_RTSE_SPEC.parameters


def test_caches_have_the_canonical_shapes_behind_the_batch(net):
    shapes = {name: tuple(tensor.shape) for name, tensor in net.new_cache(3)._asdict().items()}
    transform = ("analysis", "synthesis")
    assert shapes == {n: (3, *s) for n, s in LITE_RTSE_SPEC.cache_shapes.items() if n not in transform}


def exact(net):
    """The network in double precision: the angle of a factor near 0 magnifies the rounding of single precision."""
    return copy.deepcopy(net).double()


@given(blocks=st.lists(st.integers(1, 9), min_size=1, max_size=8))
@settings(deadline=None, max_examples=10)
def test_any_blocks_are_the_whole(net, blocks):
    spec = spectra(sum(blocks), batch=2).double()
    net = exact(net)
    cache, pieces = net.new_cache(2), []
    for block in spec.split(blocks, dim=2):
        piece, cache = net.stream(block, cache)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=2), net(spec), atol=1e-9, rtol=1e-9)


def test_streams_of_a_batch_do_not_meet(net):
    spec, net = spectra(batch=3).double(), exact(net)
    for i in range(3):
        torch.testing.assert_close(net(spec)[i : i + 1], net(spec[i : i + 1]), atol=1e-9, rtol=1e-9)


def test_no_frame_depends_on_later_ones(net):
    spec = spectra()
    changed = spec.clone()
    changed[:, :, 17:] += 5
    before, after = net(spec), net(changed)
    torch.testing.assert_close(before[:, :, :17], after[:, :, :17], atol=1e-5, rtol=1e-5)
    assert (before[:, :, 17:] - after[:, :, 17:]).abs().max() > 0.1


def test_silence_stays_silence_and_has_a_gradient():
    net = LiteRTSE()
    spec = torch.zeros(1, 257, 4, 2, requires_grad=True)
    enhanced = net(spec)
    enhanced.sum().backward()
    assert torch.equal(enhanced, torch.zeros_like(enhanced))
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert torch.isfinite(spec.grad).all()
