"""Calls and engines sound like what they are named for, as far as figures say it."""

import numpy as np
import pytest

from gtcrn_frontend.training.augment.noise_synthesis.chirps import chirps, engines
from gtcrn_frontend.training.augment.noise_synthesis.families import FAMILIES, hum

RATE = 16000
N = 4 * RATE
FRAME = 1024


def frames_of(samples: np.ndarray) -> np.ndarray:
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)))


def loud_frames(samples: np.ndarray) -> np.ndarray:
    powers = frames_of(samples)
    return powers[powers.sum(axis=1) > np.median(powers.sum(axis=1))]


def peak_span_octaves(samples: np.ndarray) -> float:
    """How far the strongest frequency moves, most of the time."""
    peaks = loud_frames(samples)[:, 4:].argmax(axis=1) + 4
    low, high = np.quantile(peaks, [0.1, 0.9])
    return float(np.log2(high / low))


def several(family, count=30):
    return [family(np.random.default_rng(seed), N, RATE) for seed in range(count)]


def test_calls_are_tones_and_come_and_go() -> None:
    concentrated, ranges_db = [], []
    for call in several(chirps):
        powers = loud_frames(call)
        strongest = np.sort(powers, axis=1)[:, ::-1]
        concentrated.append(np.median(strongest[:, :20].sum(axis=1) / powers.sum(axis=1)))
        ranges_db.append(np.ptp(10 * np.log10(frames_of(call).sum(axis=1))))
    assert np.median(concentrated) > 0.6
    assert np.median(ranges_db) > 8


@pytest.mark.parametrize("family", [chirps, engines])
def test_the_pitch_moves_as_that_of_hum_does_not(family) -> None:
    moving, steady = (np.mean([peak_span_octaves(each) > 0.1 for each in several(kind)]) for kind in (family, hum))
    assert moving > steady + 0.2


def test_harmonics_of_an_engine_glide_together() -> None:
    """Its spectrum in one frame is that of another, stretched: on a logarithmic axis it is shifted."""
    found = []
    for seed in range(30):
        powers = frames_of(engines(np.random.default_rng(seed), N, RATE))
        axis = np.geomspace(8, FRAME // 2, 400)
        logs = [np.log(np.interp(axis, np.arange(powers.shape[1]), each) + 1e-9) for each in (powers[0], powers[-1])]
        first, last = (each - each.mean() for each in logs)
        norm = np.linalg.norm(first) * np.linalg.norm(last)
        found.append(np.correlate(first, last, "full").max() / norm > first @ last / norm + 0.02)
    assert np.mean(found) > 0.3


@pytest.mark.parametrize("rate", [8000, 48000])
@pytest.mark.parametrize("family", [chirps, engines])
def test_other_rates(family, rate) -> None:
    for seed in range(10):
        samples = family(np.random.default_rng(seed), rate, rate)
        assert np.square(samples).mean() == pytest.approx(1, abs=1e-3)


def test_both_are_among_the_families() -> None:
    assert {chirps, engines} <= set(FAMILIES.values())
