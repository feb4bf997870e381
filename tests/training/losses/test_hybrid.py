import numpy as np
import pytest
import torch

from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.losses.hybrid import Transform, hybrid_loss

N = 512
HOP = 256


def spectrum(samples):
    """Returns the spectrum `(257, T)` by hand: zeros before and after, square root of the periodic Hann window."""
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N) / N))
    padded = np.pad(samples, N // 2)
    frames = [padded[start : start + N] * window for start in range(0, len(padded) - N + 1, HOP)]
    return np.fft.rfft(frames, axis=1).T


def overlap_add(spec):
    """Returns the samples of a spectrum; both windows add up to one, except in the padding that is cut off."""
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N) / N))
    out = np.zeros((spec.shape[1] - 1) * HOP + N)
    for t, frame in enumerate(np.fft.irfft(spec.T, N, axis=1)):
        out[t * HOP : t * HOP + N] += frame * window
    return out[N // 2 : -(N // 2)]


def by_hand(estimate, target):
    """Returns the loss of one pair of complex spectra `(257, T)`, formula by formula."""
    e, s = np.sqrt(np.abs(estimate) ** 2 + 1e-12), np.sqrt(np.abs(target) ** 2 + 1e-12)
    re = np.mean((estimate.real / e**0.7 - target.real / s**0.7) ** 2)
    im = np.mean((estimate.imag / e**0.7 - target.imag / s**0.7) ** 2)
    magnitude = np.mean((e**0.3 - s**0.3) ** 2)
    x, y = overlap_add(estimate), overlap_add(target)
    projected = np.dot(x, y) * y / (np.dot(y, y) + 1e-8)
    ratio = np.dot(projected, projected) / (np.dot(x - projected, x - projected) + 1e-8)
    return 30 * (re + im) + 70 * magnitude - np.log10(ratio + 1e-8)


@pytest.mark.parametrize("level", [1.0, 0.01])
def test_hybrid_loss_equals_hand_computed_values(level):
    rng = np.random.default_rng(1)
    target = level * 0.2 * rng.standard_normal((3, 4096))
    estimate = target + level * 0.1 * rng.standard_normal((3, 4096))
    transform = Transform(GTCRN_SPEC)
    ours = hybrid_loss(*(transform.forward(torch.from_numpy(x).float()) for x in (estimate, target)), transform)
    expected = np.mean([by_hand(spectrum(x), spectrum(y)) for x, y in zip(estimate, target, strict=True)])
    assert float(ours) == pytest.approx(expected, rel=1e-4)


def test_transform_matches_the_definition_and_inverts():
    samples = np.random.default_rng(2).standard_normal(4096)
    transform = Transform(GTCRN_SPEC)
    ours = transform.forward(torch.from_numpy(samples).float()[None])
    expected = spectrum(samples)
    np.testing.assert_allclose(ours[0, ..., 0], expected.real, atol=1e-3)
    np.testing.assert_allclose(ours[0, ..., 1], expected.imag, atol=1e-3)
    np.testing.assert_allclose(transform.inverse(ours, 4096)[0], samples, atol=1e-5)


def test_loss_and_gradient_are_finite_for_silence():
    transform = Transform(GTCRN_SPEC)
    estimate = transform.forward(torch.zeros(1, 4096)).requires_grad_()
    loss = hybrid_loss(estimate, transform.forward(torch.zeros(1, 4096)), transform)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(estimate.grad).all()
