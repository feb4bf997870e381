import numpy as np
import pytest

from gtcrn_frontend.training.augment.effects import change_speed, clip, noise_speed_ratio, random_band

RATE = 16000
SPEECH_LIKE = (np.random.default_rng(0).laplace(0, 0.05, RATE)).astype(np.float32)


def test_clipping_touches_few_samples_and_none_beyond_its_limit() -> None:
    kinds = set()
    for seed in range(20):
        clipped = clip(np.random.default_rng(seed), SPEECH_LIKE)
        limit = np.abs(clipped).max()
        beyond = np.abs(SPEECH_LIKE) > limit
        assert clipped.dtype == np.float32
        assert 0.0002 < beyond.mean() < 0.11
        assert np.all(np.abs(clipped) <= np.abs(SPEECH_LIKE) + 1e-7)
        assert np.all(clipped * SPEECH_LIKE >= 0)
        hard = bool(np.array_equal(clipped[~beyond], SPEECH_LIKE[~beyond]))
        kinds.add(hard)
    assert kinds == {True, False}


def test_silence_is_not_clipped() -> None:
    silence = np.zeros(100, np.float32)
    np.testing.assert_array_equal(clip(np.random.default_rng(0), silence), silence)


def test_bands_are_narrow_and_some_a_telephones() -> None:
    telephones = 0
    for seed in range(40):
        gains = random_band(np.random.default_rng(seed), 801, RATE)  # 10 Hz apart
        assert gains.shape == (801,)
        assert gains[100:340] == pytest.approx(1, abs=0.02)
        assert not gains[621:].any()
        telephones += bool(gains[10] < 0.1)
        assert gains[10] < 0.1 or gains[10] == 1
    assert 5 < telephones < 20


def test_noise_goes_up_and_down_an_octave() -> None:
    ratios = {noise_speed_ratio(np.random.default_rng(seed)) for seed in range(300)}
    assert {(1, 2), (2, 1), (9, 10), (11, 10)} <= ratios
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    faster = change_speed(tone, (1, 2))
    assert len(faster) == RATE // 2
    assert np.argmax(np.abs(np.fft.rfft(faster))) == pytest.approx(500, abs=1)  # of half a second: 1000 Hz
