"""The causal variant of FRCRN: a stream in any blocks is the whole signal, 14 frames late."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.model_spec import FRCRN_CAUSAL_SPEC
from gtcrn_frontend.nets.frcrn import FRCRN, LOOK_AHEAD_FRAMES
from gtcrn_frontend.nets.frcrn_causal import CausalFRCRN, FRCRNCache

FRAMES = 20


@pytest.fixture(scope="module")
def net():
    """A small network with random statistics and offsets, so that frames that are no frames would be heard."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        net = CausalFRCRN(channels=8).eval().requires_grad_(False)
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.3)
    return net


@pytest.fixture(scope="module")
def spectra():
    return torch.randn(2, 321, FRAMES, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def silence():
    return torch.zeros(2, 321, LOOK_AHEAD_FRAMES, 2)


@pytest.fixture(scope="module")
def expected(net, spectra, silence):
    return net(torch.cat([spectra, silence], dim=2))[:, :, :FRAMES]


def streamed(net, spec, sizes, cache=None):
    cache, pieces, position = cache or net.new_cache(len(spec)), [], 0
    for size in [*sizes, spec.shape[2]]:
        block = spec[:, :, position : position + size]
        if block.shape[2]:
            piece, cache = net.stream(block, cache)
            pieces.append(piece)
        position += size
    return torch.cat(pieces, dim=2)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=6))
def test_a_stream_in_any_blocks_is_the_whole_signal(net, spectra, silence, expected, sizes):
    out = streamed(net, torch.cat([spectra, silence], dim=2), sizes)
    assert not out[:, :, :LOOK_AHEAD_FRAMES].any()
    torch.testing.assert_close(out[:, :, LOOK_AHEAD_FRAMES:], expected, atol=1e-5, rtol=1e-4)


def test_frame_by_frame(net, spectra, silence, expected):
    out = streamed(net, torch.cat([spectra, silence], dim=2), [1] * 40)
    torch.testing.assert_close(out[:, :, LOOK_AHEAD_FRAMES:], expected, atol=1e-5, rtol=1e-4)


def test_streams_of_one_batch_may_have_begun_at_different_times(net, spectra, silence, expected):
    first, second = (net.new_cache() for _ in range(2))
    head, first = net.stream(spectra[:1, :, :9], first)
    cache = FRCRNCache(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
    rest = torch.cat([spectra[:1, :, 9:], silence[:1]], dim=2)
    begun = torch.cat([spectra[1:], silence[1:]], dim=2)
    out = streamed(net, torch.cat([rest, begun[:, :, : rest.shape[2]]]), [5], cache)
    whole = torch.cat([head, out[:1]], dim=2)[:, :, LOOK_AHEAD_FRAMES:]
    torch.testing.assert_close(whole, expected[:1], atol=1e-5, rtol=1e-4)
    late = out[1:, :, LOOK_AHEAD_FRAMES:]
    torch.testing.assert_close(late, expected[1:, :, : late.shape[2]], atol=1e-5, rtol=1e-4)


def test_the_module_is_frcrn_with_causal_averages(net, spectra):
    plain = FRCRN(causal=True, channels=8).eval().requires_grad_(False)
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(plain(spectra), net(spectra))


def test_the_cache_has_the_declared_shapes():
    cache = CausalFRCRN().new_cache(3)
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in cache._asdict().items()}
    assert shapes | {"analysis": (320,), "synthesis": (320,)} == dict(FRCRN_CAUSAL_SPEC.cache_shapes)
    assert all(len(tensor) == 3 and not tensor.any() for tensor in cache)
    assert FRCRN_CAUSAL_SPEC.look_ahead == LOOK_AHEAD_FRAMES * FRCRN_CAUSAL_SPEC.hop_length
