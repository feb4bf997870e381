"""UL-UNAS: the reference's numbers, the published streaming file, and a stream in any blocks is the whole signal."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.model_spec import ULUNAS_SPEC
from gtcrn_frontend.nets.gtcrn import erb_filters
from gtcrn_frontend.nets.ulunas import ULUNAS
from gtcrn_frontend.weights.checkpoint import read_checkpoint
from gtcrn_frontend.weights.ulunas import CONV_CACHE, TFA_CACHE, ulunas_parameters

FRAMES = 24


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = ULUNAS().eval().requires_grad_(False)
        for name, buffer in net.named_buffers():  # away from 0 and 1, where mistakes would not show
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(0.2 * torch.rand_like(buffer))
        return net


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "reference/ulunas/ulunas.npz")


@pytest.fixture(scope="module")
def released(shared):
    arrays = read_checkpoint(shared / "reference/ulunas/model_trained_on_dns3.tar")
    net = ULUNAS().eval().requires_grad_(False)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return net


@pytest.fixture(scope="module")
def generated(generated_state_dict):
    net = ULUNAS().eval().requires_grad_(False)
    filters = {name: value for name, value in net.state_dict().items() if name.startswith("erb.")}
    net.load_state_dict(generated_state_dict("ulunas/ulunas") | filters)
    return net


def spectra(frames=FRAMES, batch=1, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (batch, 257, frames, 2)).astype(np.float32))


@pytest.mark.parametrize(
    ("weights", "signal", "prefix"), [("released", "wav", "dns3_"), ("generated", "gen_wav_in", "gen_")]
)
def test_the_golden_output(weights, signal, prefix, golden, request):
    net, wav = request.getfixturevalue(weights), torch.from_numpy(golden[signal])
    window = torch.hann_window(512)
    spectrum = torch.stft(wav[None], 512, 256, 512, window, return_complex=True)
    spec = torch.view_as_real(spectrum)
    mask, _ = net.mask(spec, net.new_cache())
    in_bands = golden[f"{prefix}mask"]
    whole = np.concatenate([in_bands[:, :65], in_bands[:, 65:] @ erb_filters()], axis=1)
    np.testing.assert_allclose(mask[0], whole, atol=1e-4)
    enhanced = torch.istft(torch.view_as_complex(net(spec).contiguous()), 512, 256, 512, window)[0]
    np.testing.assert_allclose(enhanced, golden[f"{prefix}wav"][: len(enhanced)], atol=1e-4)


def test_a_stream_is_what_the_published_file_makes_of_it(released, shared):
    session = onnxruntime.InferenceSession(shared / "reference/ulunas/ulunas_stream_simple.onnx")
    caches = {n.name: np.zeros(n.shape, np.float32) for n in session.get_inputs() if n.name != "mix"}
    spec, cache = spectra(), released.new_cache()
    for frame in spec.split(1, dim=2):
        expected, *new = session.run(["enh", *(f"{name}_out" for name in caches)], {"mix": frame.numpy(), **caches})
        caches = dict(zip(caches, new, strict=True))
        enhanced, cache = released.stream(frame, cache)
        np.testing.assert_allclose(enhanced, expected, atol=1e-4)
    for array, ours in zip(caches.values(), cache, strict=True):
        np.testing.assert_allclose(ours, array, atol=1e-4)


def test_names_and_shapes_are_the_references(shared):
    shapes = {name: tensor.shape for name, tensor in ULUNAS().state_dict().items()}
    expected = json.loads((shared / "reference/ulunas/ulunas.keys.json").read_text())
    assert {name: list(shape) for name, shape in shapes.items()} == expected
    counters = {name for name in shapes if name.endswith("num_batches_tracked")}
    assert {name: shape for name, shape in shapes.items() if name not in counters} == ulunas_parameters()


def test_caches_have_the_canonical_shapes_behind_the_batch(net):
    shapes = {name: tuple(tensor.shape) for name, tensor in net.new_cache(3)._asdict().items()}
    transform = ("analysis", "synthesis")
    assert shapes == {n: (3, *s) for n, s in ULUNAS_SPEC.cache_shapes.items() if n not in transform}
    assert (shapes["conv"][1], shapes["tfa"][1]) == (CONV_CACHE, TFA_CACHE)


@given(blocks=st.lists(st.integers(1, 9), min_size=1, max_size=8))
@settings(deadline=None, max_examples=10)
def test_any_blocks_are_the_whole(net, blocks):
    spec = spectra(sum(blocks), batch=2)
    cache, pieces = net.new_cache(2), []
    for block in spec.split(blocks, dim=2):
        piece, cache = net.stream(block, cache)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=2), net(spec), atol=1e-5, rtol=1e-4)


def test_streams_of_a_batch_do_not_meet(net):
    spec = spectra(batch=3)
    for i in range(3):
        torch.testing.assert_close(net(spec)[i : i + 1], net(spec[i : i + 1]), atol=1e-5, rtol=1e-4)


def test_no_frame_depends_on_later_ones(net):
    spec = spectra()
    changed = spec.clone()
    changed[:, :, 17:] += 5
    before, after = net(spec), net(changed)
    torch.testing.assert_close(before[:, :, :17], after[:, :, :17], atol=1e-5, rtol=1e-5)
    assert (before[:, :, 17:] - after[:, :, 17:]).abs().max() > 0.1


def test_silence_stays_silence_and_has_a_gradient():
    net = ULUNAS()
    spec = torch.zeros(1, 257, 4, 2, requires_grad=True)
    enhanced = net(spec)
    enhanced.sum().backward()
    assert torch.equal(enhanced, torch.zeros_like(enhanced))
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    assert torch.isfinite(spec.grad).all()
