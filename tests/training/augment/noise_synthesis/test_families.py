"""What generated noise sounds like, as far as figures say it."""

import numpy as np
import pytest

from gtcrn_frontend.training.augment.noise_synthesis import families, waveforms

RATE = 16000
N = 4 * RATE


def power_below(samples: np.ndarray, hz: float) -> float:
    power = np.square(np.abs(np.fft.rfft(samples)))
    return float(power[: int(hz * len(samples) / RATE)].sum() / power.sum())


def frame_levels_db(samples: np.ndarray, seconds: float = 0.05) -> np.ndarray:
    frame = int(seconds * RATE)
    return 10 * np.log10(np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(axis=1) + 1e-9)


def test_wind_rumbles_in_gusts() -> None:
    winds = [families.wind(np.random.default_rng(seed), N, RATE) for seed in range(10)]
    assert np.mean([power_below(wind, 500) for wind in winds]) > 0.7
    assert np.median([np.ptp(frame_levels_db(wind)) for wind in winds]) > 12


def test_wind_has_more_treble_where_it_blows_harder() -> None:
    correlations = []
    for seed in range(20):
        wind = families.wind(np.random.default_rng(seed), N, RATE)
        frames = wind[: N // 800 * 800].reshape(-1, 800)
        power = np.square(np.abs(np.fft.rfft(frames * np.hanning(800), axis=1)))
        treble = 10 * np.log10(power[:, 50:].sum(axis=1) / power.sum(axis=1) + 1e-12)
        correlations.append(np.corrcoef(10 * np.log10(power.sum(axis=1) + 1e-9), treble)[0, 1])
    assert np.mean(correlations) > 0.1


def test_music_is_of_notes() -> None:
    """Few frequencies hold most of the energy, unlike in noise of any colour."""
    peaks = []
    for seed in range(10):
        spectrum = np.square(np.abs(np.fft.rfft(families.music(np.random.default_rng(seed), N, RATE))))
        strongest = np.sort(spectrum)[::-1]
        peaks.append(strongest[: len(strongest) // 100].sum() / spectrum.sum())
    assert np.median(peaks) > 0.6
    noise = np.square(np.abs(np.fft.rfft(np.random.default_rng(0).standard_normal(N))))
    assert np.sort(noise)[::-1][: len(noise) // 100].sum() / noise.sum() < 0.1


def test_notes_are_in_tune() -> None:
    table = waveforms.waveform(np.random.default_rng(0), 1)
    note = waveforms.note(table, 440.0, RATE, RATE, 0.0, 0.0)
    assert np.argmax(np.abs(np.fft.rfft(note))) == 440
    assert note[0] == 0


@pytest.mark.parametrize("fundamental_hz", [50.0, 437.0])
def test_hum_is_the_sum_of_its_harmonics(fundamental_hz: float) -> None:
    """The table of a period gives what sines give."""
    rng = np.random.default_rng(3)
    amplitudes, phases = rng.uniform(0.2, 1, 12), rng.uniform(0, 2 * np.pi, 12)
    spectrum = np.zeros(waveforms.PERIOD // 2 + 1, np.complex128)
    spectrum[1:13] = amplitudes * np.exp(1j * phases)
    periods = fundamental_hz * np.arange(2000) / RATE
    found = waveforms.periodic(spectrum, periods)
    sines = np.sin(2 * np.pi * np.arange(1, 13)[:, None] * periods + phases[:, None])
    expected = amplitudes @ sines
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("kind", families.FAMILIES)
@pytest.mark.parametrize("n", [800, 5 * RATE])
def test_any_length_will_do_and_a_seed_gives_the_same(kind: str, n: int) -> None:
    first, again = (families.FAMILIES[kind](np.random.default_rng(7), n, RATE) for _ in range(2))
    assert first.shape == (n,)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
