"""The transform: identity, the one that torch calls `center=True` with constant padding, and streams apart."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.engines.stft import analyse, synthesise, window
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.model_spec import GTCRN_SPEC, ULUNAS_SPEC

HOP, OVERLAP = GTCRN_SPEC.hop_length, GTCRN_SPEC.overlap


def noise(streams, hops, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (streams, hops, HOP)).astype(np.float32)


def silence(streams):
    return np.zeros((streams, OVERLAP), np.float32)


def blocks(whole, sizes):
    """The array cut along its axis 1 into blocks of these sizes, and what is left."""
    return [block for block in np.split(whole, np.cumsum(sizes), axis=1) if block.shape[1]]


def analysed(hops, sizes=()):
    past, spectra = silence(len(hops)), []
    for block in blocks(hops, sizes):
        frames, past = analyse(GTCRN_SPEC, block, past)
        spectra.append(frames)
    return np.concatenate(spectra, axis=1), past


def synthesised(spectra, sizes=()):
    tail, pieces = silence(len(spectra)), []
    for block in blocks(spectra, sizes):
        samples, tail = synthesise(GTCRN_SPEC, block, tail)
        pieces.append(samples)
    return np.concatenate(pieces, axis=1), tail


def test_the_window_is_the_root_of_the_periodic_hann_window():
    expected = torch.hann_window(512, periodic=True).sqrt().numpy()
    np.testing.assert_allclose(window(GTCRN_SPEC), expected, atol=1e-6)
    np.testing.assert_allclose(window(GTCRN_SPEC)[:HOP] ** 2 + window(GTCRN_SPEC)[HOP:] ** 2, 1, atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        window(GTCRN_SPEC)[0] = 1


def test_the_hann_window_with_the_inverse_of_torch():
    """Analysis with the window itself; synthesis divides by the sum of the squared windows that overlap."""
    expected = torch.hann_window(512, periodic=True).numpy()
    np.testing.assert_allclose(window(ULUNAS_SPEC), expected, atol=1e-6)
    hops = noise(1, 9)
    spectra, _ = analyse(ULUNAS_SPEC, hops, silence(1))
    spectra = spectra * np.random.default_rng(3).uniform(0, 1, spectra.shape).astype(np.float32)
    samples, _ = synthesise(ULUNAS_SPEC, spectra, silence(1))
    # torch's first frame is the one that is centred on the first sample
    theirs = torch.istft(torch.from_numpy(spectra).transpose(1, 2), 512, HOP, 512, torch.from_numpy(expected))
    np.testing.assert_allclose(samples[0, 1:].reshape(-1), theirs[0].numpy(), atol=1e-6)


@pytest.mark.parametrize("spec", [GTCRN_SPEC, ULUNAS_SPEC])
def test_analysis_and_synthesis_are_the_identity(spec):
    hops = noise(1, 9)
    spectra, _ = analyse(spec, hops, silence(1))
    np.testing.assert_allclose(synthesise(spec, spectra, silence(1))[0][0, 1:], hops[0, :-1], atol=1e-6)


def test_another_window_is_refused():
    with pytest.raises(ConfigError, match="hann_sqrt, hann, got 'kaiser'"):
        window(dataclasses.replace(GTCRN_SPEC, window="kaiser"))


def test_the_spectra_are_those_of_torch_with_constant_padding():
    samples = noise(2, 20)
    expected = torch.stft(
        torch.from_numpy(samples.reshape(2, -1)),
        512,
        HOP,
        window=torch.hann_window(512).sqrt(),
        center=True,
        pad_mode="constant",
        return_complex=True,
    ).numpy()
    # torch has one frame more: the one that ends with a hop of padding.
    spectra, past = analysed(np.concatenate([samples, np.zeros((2, 1, HOP), np.float32)], axis=1))
    np.testing.assert_allclose(spectra.transpose(0, 2, 1), expected, atol=1e-4)
    assert not past.any()


def test_the_samples_are_those_of_torchs_inverse():
    rng = np.random.default_rng(1)
    spectra = (rng.normal(size=(2, 20, 257)) + 1j * rng.normal(size=(2, 20, 257))).astype(np.complex64)
    spectra[..., [0, -1]] = spectra[..., [0, -1]].real
    columns = torch.from_numpy(spectra.transpose(0, 2, 1).copy())
    expected = torch.istft(columns, 512, HOP, window=torch.hann_window(512).sqrt(), center=True).numpy()
    samples, _ = synthesised(spectra)
    np.testing.assert_allclose(samples.reshape(2, -1)[:, OVERLAP:], expected, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    streams=st.integers(1, 4),
    there=st.lists(st.integers(0, 5), max_size=5),
    back=st.lists(st.integers(0, 5), max_size=5),
    rest=st.integers(1, 4),
)
def test_there_and_back_is_the_identity_one_hop_later_in_any_blocks(streams, there, back, rest):
    samples = noise(streams, sum(there) + sum(back) + rest)
    spectra, past = analysed(samples, there)
    again, tail = synthesised(spectra, back)
    np.testing.assert_array_equal(past, samples[:, -1])
    np.testing.assert_allclose(again[:, 1:], samples[:, :-1], atol=1e-6)
    np.testing.assert_allclose(again[:, 0], 0, atol=1e-6)
    falling = window(GTCRN_SPEC)[HOP:] ** 2
    np.testing.assert_allclose(tail, samples[:, -1] * falling, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(sizes=st.lists(st.integers(0, 6), max_size=5))
def test_any_blocks_give_the_same_spectra_bit_by_bit(sizes):
    samples = noise(3, sum(sizes) + 2)
    np.testing.assert_array_equal(analysed(samples, sizes)[0], analysed(samples)[0])


def test_streams_stay_apart():
    samples = noise(3, 5)
    spectra, _ = analysed(samples)
    for i in range(3):
        np.testing.assert_array_equal(spectra[i], analysed(samples[i : i + 1])[0][0])


def test_everything_is_single_precision_and_nothing_is_changed():
    samples, past = noise(2, 3), noise(2, 1, seed=1)[:, 0]
    kept = samples.copy(), past.copy()
    spectra, new_past = analyse(GTCRN_SPEC, samples, past)
    before = spectra.copy()
    again, tail = synthesise(GTCRN_SPEC, spectra, past)
    assert (spectra.dtype, new_past.dtype, again.dtype, tail.dtype) == (np.complex64, *[np.float32] * 3)
    assert (spectra.shape, again.shape, new_past.shape, tail.shape) == ((2, 3, 257), (2, 3, HOP), (2, 256), (2, 256))
    np.testing.assert_array_equal(samples, kept[0])
    np.testing.assert_array_equal(past, kept[1])
    np.testing.assert_array_equal(spectra, before)


def test_samples_that_are_not_contiguous():
    samples = noise(2, 6)
    strided = samples[:, ::2]
    np.testing.assert_array_equal(analysed(strided)[0], analysed(strided.copy())[0])
