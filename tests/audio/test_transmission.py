import numpy as np
import pytest

from gtcrn_frontend.audio.transmission import TELEPHONE_HZ, reverberant, telephone

RATE = 16000


def tone(frequency: float, level: float = 0.3, seconds: float = 0.5) -> np.ndarray:
    return np.float32(level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE))


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.square(samples, dtype=float).mean() + 1e-12))


def test_a_telephone_passes_its_band_at_8_khz_and_nothing_above() -> None:
    low, high = (telephone(tone(frequency), RATE) for frequency in (1000, 6000))
    assert len(low) == TELEPHONE_HZ // 2
    assert low.dtype == np.float32
    assert power_db(low) == pytest.approx(power_db(tone(1000)), abs=0.3)
    assert power_db(high) < -45


def test_a_telephone_has_256_levels() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 20000).astype(np.float32)
    heard = telephone(noise, TELEPHONE_HZ)
    assert 200 < len(np.unique(heard)) <= 256
    assert np.abs(heard - noise).max() < 1 / 32


def test_reverberation_is_the_convolution_from_the_direct_path_on() -> None:
    speech = np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32)
    response = np.zeros(2000, np.float32)
    response[[100, 700]] = 0.8, 0.6  # unit energy
    expected = np.convolve(speech, response[100:])[: len(speech)]
    np.testing.assert_allclose(reverberant(speech, response, RATE), expected, atol=1e-6)
    np.testing.assert_allclose(reverberant(speech, 5 * response, RATE), expected, atol=1e-6)


def test_a_response_ends_after_a_second() -> None:
    speech = np.zeros(3 * RATE, np.float32)
    speech[0] = 1
    response = np.full(2 * RATE, 0.01, np.float32)
    response[0] = 1
    heard = reverberant(speech, response, RATE)
    assert np.abs(heard[:RATE]).min() > 1e-3
    assert np.abs(heard[RATE:]).max() < 1e-6


def test_a_response_of_zeros_and_no_speech_change_nothing() -> None:
    speech = tone(500)
    np.testing.assert_array_equal(reverberant(speech, np.zeros(10, np.float32), RATE), speech)
    assert reverberant(speech[:0], speech, RATE).shape == (0,)
