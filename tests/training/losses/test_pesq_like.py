"""The differentiable model of PESQ against PESQ itself, and the properties of what it measures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from gtcrn_frontend.evaluation.quality.metrics import pesq_wb
from gtcrn_frontend.training.losses.pesq_like import PesqLikeLoss

RATE_HZ = 16000
DISTURBANCE = PesqLikeLoss(RATE_HZ)
T = torch.arange(2 * RATE_HZ) / RATE_HZ
PHASE = 2 * torch.pi * torch.cumsum(120 + 20 * torch.sin(2 * torch.pi * 0.7 * T), 0) / RATE_HZ
VOICE = 0.1 * sum(torch.sin(k * PHASE) / k for k in range(1, 40)) * torch.sin(2 * torch.pi * 3 * T).relu()
VOICE = VOICE[None]  # a buzz with gliding pitch and syllables: enough of a voice for PESQ


def noise(seed, colour=0.0):
    """Noise as loud as the voice, whose spectrum falls with a power of frequency."""
    white = torch.fft.rfft(torch.randn(VOICE.shape, generator=torch.Generator().manual_seed(seed)))
    coloured = torch.fft.irfft(white / torch.arange(1, white.shape[-1] + 1) ** colour)
    return coloured * VOICE.norm() / coloured.norm()


def band_stopped(low, high):
    spectrum = torch.fft.rfft(VOICE)
    hz = torch.linspace(0, RATE_HZ / 2, spectrum.shape[-1])
    return torch.fft.irfft(spectrum * ~((hz > low) & (hz < high)))


def test_it_leads_to_the_scores_of_pesq():
    damaged = [VOICE + 10 ** (-snr_db / 20) * noise(seed, seed / 2) for seed in range(4) for snr_db in range(0, 40, 8)]
    damaged += [VOICE.clamp(-peak, peak) for peak in (0.02, 0.05, 0.1)]
    damaged += [band_stopped(low, 2 * low) for low in (300, 1000, 2500)]
    scores = [pesq_wb(VOICE[0].numpy(), each[0].numpy(), RATE_HZ) for each in damaged]
    found = DISTURBANCE(torch.cat(damaged), VOICE.expand(len(damaged), -1))
    assert spearmanr(scores, found).statistic < -0.9
    opinions = 0.999 + 4 / (1 + np.exp(-1.3669 * (4.5 - found.numpy()) + 3.8224))  # P.862.2
    assert np.abs(opinions - scores).mean() < 0.3


def test_nothing_is_disturbed_where_nothing_differs():
    assert float(DISTURBANCE(VOICE, VOICE)) == pytest.approx(0, abs=2e-3)


@given(gain=st.floats(0.01, 100.0), both=st.floats(0.1, 10.0))
def test_level_does_not_count(gain, both):
    estimate = VOICE + 0.1 * noise(5)
    expected = DISTURBANCE(estimate, VOICE)
    torch.testing.assert_close(DISTURBANCE(gain * both * estimate, both * VOICE), expected, rtol=2e-3, atol=1e-3)


def test_what_is_added_disturbs_more_than_what_is_missing():
    part = VOICE - band_stopped(1500, 3000)
    assert DISTURBANCE(VOICE, VOICE - part) > 1.2 * DISTURBANCE(VOICE - part, VOICE)


def test_items_do_not_touch_each_other():
    estimates = torch.cat([VOICE + 0.1 * noise(6), VOICE + noise(7), noise(8)])
    targets = VOICE.expand(3, -1)
    alone = torch.cat([DISTURBANCE(e[None], t[None]) for e, t in zip(estimates, targets, strict=True)])
    torch.testing.assert_close(DISTURBANCE(estimates, targets), alone)


@pytest.mark.parametrize(
    "estimate", [VOICE, VOICE + 0.3 * noise(9), 0 * VOICE, noise(10)], ids=["clean", "noisy", "silence", "noise"]
)
@pytest.mark.parametrize("target", [VOICE, 0 * VOICE], ids=["speech", "silence"])
def test_its_slope_is_finite(estimate, target):
    estimate = estimate.clone().requires_grad_()
    found = DISTURBANCE(estimate, target).sum()
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(estimate.grad).all()
    if not target.any():
        assert float(found.detach()) == 0 and not estimate.grad.any()


def test_its_slope_leads_to_less():
    estimate = (VOICE + 0.3 * noise(11)).requires_grad_()
    before = DISTURBANCE(estimate, VOICE)
    before.backward()
    step = 1e-3 * estimate.detach().norm() / estimate.grad.norm() * estimate.grad
    assert DISTURBANCE(estimate.detach() - step, VOICE) < before


def test_an_item_shorter_than_a_frame_is_not_judged():
    estimate = torch.ones(2, 511).requires_grad_()
    found = DISTURBANCE(estimate, torch.zeros(2, 511))
    found.sum().backward()
    assert found.tolist() == [0, 0] and not estimate.grad.any()


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_rates_hear_the_same_low_band(rate):
    t = torch.arange(2 * rate) / rate
    voice = torch.sin(2 * torch.pi * 440 * t)[None] * torch.sin(2 * torch.pi * 3 * t).relu()
    hiss = torch.sin(2 * torch.pi * 1500 * t)[None]
    t16 = torch.arange(2 * RATE_HZ) / RATE_HZ
    voice16 = torch.sin(2 * torch.pi * 440 * t16)[None] * torch.sin(2 * torch.pi * 3 * t16).relu()
    hiss16 = torch.sin(2 * torch.pi * 1500 * t16)[None]
    expected = DISTURBANCE(voice16 + 0.1 * hiss16, voice16)
    torch.testing.assert_close(PesqLikeLoss(rate)(voice + 0.1 * hiss, voice), expected, rtol=0.1, atol=0)
