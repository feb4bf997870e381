import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.audio.levels import active_power, noise_gain, snr_db

RATES = st.sampled_from([8000, 16000, 44100])


@given(RATES, st.floats(-10, 30))
def test_a_mixture_has_the_ratio_that_was_asked_for(rate: int, snr_db: float) -> None:
    rng = np.random.default_rng(0)
    speech = rng.normal(0, 0.1, rate).astype(np.float32)
    noise = rng.normal(0, 0.03, rate).astype(np.float32)
    scaled = noise_gain(speech, noise, snr_db, rate) * noise
    assert 10 * np.log10(active_power(speech, rate) / np.square(scaled).mean()) == pytest.approx(snr_db, abs=0.01)


@given(RATES, st.floats(0.5, 3))
def test_pauses_do_not_count_as_speech(rate: int, pause_s: float) -> None:
    speech = np.random.default_rng(1).normal(0, 0.1, rate - rate % 50).astype(np.float32)
    frame = rate * 20 // 1000
    speech = speech[: len(speech) // frame * frame]
    with_pause = np.concatenate([speech, np.zeros(int(pause_s * rate), np.float32)])
    assert active_power(with_pause, rate) == pytest.approx(active_power(speech, rate), rel=1e-5)


def test_signals_shorter_than_a_frame_have_a_power_too() -> None:
    assert active_power(np.full(10, 0.5, np.float32)) == pytest.approx(0.25)
    assert active_power(np.zeros(0, np.float32)) == 0


@pytest.mark.parametrize("wanted_db", [-7.5, 0, 20])
def test_the_ratio_of_a_mixture_is_what_it_was_mixed_at(wanted_db: float) -> None:
    rng = np.random.default_rng(5)
    speech, noise = rng.normal(0, 0.1, (2, 16000)).astype(np.float32)
    speech[4000:8000] = 0
    mixture = speech + np.float32(noise_gain(speech, noise, wanted_db)) * noise
    assert snr_db(speech, mixture) == pytest.approx(wanted_db, abs=1e-3)


def test_the_ratio_without_noise_or_speech_is_infinite() -> None:
    speech, silence = np.full(1600, 0.1, np.float32), np.zeros(1600, np.float32)
    assert snr_db(speech, speech) == np.inf
    assert snr_db(silence, speech) == -np.inf
    assert np.isnan(snr_db(silence, silence))
