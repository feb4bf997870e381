"""Short loud events sound like what they are named for, as far as figures say it."""

import numpy as np

from gtcrn_frontend.training.augment.noise_synthesis.families import FAMILIES
from gtcrn_frontend.training.augment.noise_synthesis.impacts import impacts
from gtcrn_frontend.training.augment.noise_synthesis.waveforms import coloured

RATE = 16000
N = 4 * RATE
FRAME = 160  # 10 ms


def powers(samples: np.ndarray) -> np.ndarray:
    return np.square(samples.astype(np.float64)).reshape(-1, FRAME).mean(axis=1)


def several(family, count=40):
    return [family(np.random.default_rng(seed), N, RATE) for seed in range(count)]


def busiest_tenth(samples: np.ndarray) -> float:
    """The share of the energy in the loudest tenth of the frames."""
    sorted_powers = np.sort(powers(samples))
    return float(sorted_powers[-len(sorted_powers) // 10 :].sum() / sorted_powers.sum())


def test_most_of_the_energy_is_in_short_events() -> None:
    shares, steady = ([busiest_tenth(each) for each in several(family)] for family in (impacts, coloured))
    assert np.median(shares) > 0.5
    assert np.max(steady) < 0.3


def test_events_rise_suddenly_and_die_away() -> None:
    """Ten milliseconds raise the level much more often than ten milliseconds lower it as far."""
    rises, falls = 0, 0
    for each in several(impacts):
        steps_db = np.diff(10 * np.log10(powers(each) + 1e-9))
        rises, falls = rises + (steps_db > 10).sum(), falls + (steps_db < -10).sum()
    assert rises > 100
    assert rises > 1.5 * falls


def test_there_is_a_hit_in_every_sample_and_no_two_sound_alike() -> None:
    made = several(impacts)
    assert all(powers(each).max() > 4 * np.median(powers(each)) for each in made)
    spectra = np.array([np.abs(np.fft.rfft(each[:N])) for each in made])
    spectra = spectra.reshape(len(made), -1)[:, : N // 2].reshape(len(made), 100, -1).mean(axis=2)
    logs = np.log(spectra + 1e-6)
    logs -= logs.mean(axis=1, keepdims=True)
    alike = np.corrcoef(logs)[np.triu_indices(len(made), 1)]
    assert np.median(alike) < 0.8


def test_it_can_be_asked_for_by_name() -> None:
    assert FAMILIES["impacts"] is impacts
