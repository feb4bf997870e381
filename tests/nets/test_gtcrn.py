"""The network: the released outputs, offline and streaming as one, causal, differentiable."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.nets.gtcrn import GTCRN, erb_filters
from gtcrn_frontend.weights.checkpoint import read_checkpoint

RELEASED = ("dns3", "dns3_stream", "vctk")


@pytest.fixture(scope="module")
def net(random_parameters):
    net = GTCRN().eval().requires_grad_(False)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in random_parameters.items()})
    return net


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "reference/gtcrn_official.npz")


@pytest.fixture(scope="module", params=RELEASED)
def released(request, shared):
    """Name and network of a released checkpoint."""
    arrays = read_checkpoint(shared / f"reference/gtcrn/model_trained_on_{request.param}.tar")
    net = GTCRN().eval().requires_grad_(False)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return request.param, net


def spectra(frames, batch=1, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (batch, 257, frames, 2)).astype(np.float32))


def streamed(net, spec, sizes):
    """The output of `stream` on blocks of these sizes, and on the rest."""
    cache, pieces = net.new_cache(spec.shape[0]), []
    rest = spec.shape[2] - sum(sizes)
    for block in spec.split([*sizes, rest] if rest else list(sizes), dim=2):
        piece, cache = net.stream(block, cache)
        pieces.append(piece)
    return torch.cat(pieces, dim=2), cache


def test_a_released_checkpoint_gives_the_released_spectra(golden, released):
    name, net = released
    np.testing.assert_allclose(net(torch.from_numpy(golden["spec"])), golden[f"{name}_spec"], atol=1e-4)


def test_a_released_checkpoint_streams_the_released_spectra(golden, released):
    name, net = released
    spec = torch.from_numpy(golden["spec"])
    for sizes in ([1] * 40, [1, 2, 3, 5, 8, 13, 21, 34, 55], [10, 1, 100]):
        np.testing.assert_allclose(streamed(net, spec, sizes)[0], golden[f"{name}_spec"], atol=1e-4)


def test_names_and_shapes_are_the_released_ones(shared):
    expected = json.loads((shared / "reference/gtcrn.keys.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in GTCRN().state_dict().items()} == expected


def test_the_filters_of_a_new_network_are_the_released_ones(released):
    fresh, released_net = GTCRN().erb, released[1].erb
    for name in ("erb_fc", "ierb_fc"):
        torch.testing.assert_close(getattr(fresh, name).weight, getattr(released_net, name).weight, atol=1e-6, rtol=0)
        assert not getattr(fresh, name).weight.requires_grad


def test_each_bin_is_shared_out_between_two_neighbouring_bands():
    filters = erb_filters()
    assert filters.shape == (64, 192)
    np.testing.assert_allclose(filters.sum(axis=0), 1, atol=1e-6)
    for bin_weights in filters.T:
        (bands,) = np.nonzero(bin_weights)
        assert len(bands) <= 2
        assert np.ptp(bands) <= 1


@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.integers(1, 12), max_size=5))
def test_any_blocks_give_the_offline_output(net, sizes):
    spec = spectra(sum(sizes) + 3)
    offline, whole = streamed(net, spec, [])
    online, cache = streamed(net, spec, sizes)
    torch.testing.assert_close(offline, net(spec), atol=0, rtol=0)
    torch.testing.assert_close(online, offline, atol=1e-5, rtol=1e-5)
    for after_blocks, after_one in zip(cache, whole, strict=True):
        torch.testing.assert_close(after_blocks, after_one, atol=1e-4, rtol=1e-4)


def test_streams_of_a_batch_do_not_mix(net):
    spec = spectra(20, batch=3)
    together, _ = streamed(net, spec, [7])
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], net(spec[i : i + 1]), atol=1e-5, rtol=1e-5)


def test_no_frame_depends_on_later_ones(net):
    spec = spectra(30)
    changed = spec.clone()
    changed[:, :, 17:] += 5
    before, after = net(spec), net(changed)
    torch.testing.assert_close(before[:, :, :17], after[:, :, :17], atol=1e-6, rtol=1e-6)
    assert (before[:, :, 17:] - after[:, :, 17:]).abs().max() > 0.1


def test_caches_have_the_canonical_shapes_but_for_the_batch(net):
    shapes = {name: tuple(tensor.shape) for name, tensor in net.new_cache(3)._asdict().items()}
    assert shapes == {n: (3, *s) for n, s in GTCRN_SPEC.cache_shapes.items() if n not in ("analysis", "synthesis")}


def test_a_block_does_not_change_the_cache_it_was_given(net):
    _, cache = net.stream(spectra(5), net.new_cache())
    kept = [tensor.clone() for tensor in cache]
    net.stream(spectra(5, seed=1), cache)
    for tensor, before in zip(cache, kept, strict=True):
        assert torch.equal(tensor, before)


@pytest.mark.parametrize("spec", [spectra(6, batch=2), torch.zeros(2, 257, 6, 2)], ids=["noise", "silence"])
def test_gradients_are_finite_and_reach_all_that_is_trained(spec):
    net = GTCRN()
    spec = spec.clone().requires_grad_()
    net(spec).square().sum().add(net(spec).sum()).backward()
    assert torch.isfinite(spec.grad).all()
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all(), name
        else:
            assert name.startswith("erb."), name


def test_a_loss_moves_every_trained_parameter():
    net = GTCRN()
    net(spectra(40, batch=2)).square().sum().backward()
    still = [n for n, p in net.named_parameters() if p.requires_grad and not p.grad.any()]
    # A bias before batch norm has no effect: its gradient is rounding, and may be none.
    assert not [name for name in still if "conv" not in name or not name.endswith("bias")]
