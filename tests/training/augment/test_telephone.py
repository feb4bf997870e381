"""Telephone lines in training: the band, the codec on the mixture alone, and nothing moved in time."""

import numpy as np
import pytest

from gtcrn_frontend.training.augment import telephone as module
from gtcrn_frontend.training.augment.telephone import telephone

RATE = 16_000


@pytest.fixture
def speech() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)


def power_above(samples: np.ndarray, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    return float(spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) > hz].sum() / spectrum.sum())


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_above_the_band(speech, seed):
    for samples in telephone(np.random.default_rng(seed), speech, speech / 2, RATE):
        assert samples.shape == speech.shape
        assert samples.dtype == np.float32
        assert power_above(samples, 4300) < 1e-4


def test_without_codec_and_filter_only_the_band_changes(speech, monkeypatch):
    monkeypatch.setattr(module, "NARROW_PROB", 0.0)
    monkeypatch.setattr(module, "CODECS", (None,))
    mixture, target = telephone(np.random.default_rng(0), speech, speech, RATE)
    np.testing.assert_array_equal(mixture, target)
    low = np.fft.rfft(speech)[: len(speech) // 2 * 3400 // 8000]
    np.testing.assert_allclose(np.fft.rfft(target)[: len(low)][100:], low[100:], atol=1.0)  # of about 20


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
def test_the_codec_is_heard_in_the_mixture_alone(speech, monkeypatch, codec):
    monkeypatch.setattr(module, "NARROW_PROB", 0.0)
    monkeypatch.setattr(module, "CODECS", (codec,))
    mixture, target = telephone(np.random.default_rng(0), speech, speech, RATE)
    noise_db = 10 * np.log10(np.square(mixture - target).mean() / np.square(target).mean())
    assert -42 < noise_db < -32  # G.711 has a signal-to-noise ratio of about 38 dB
