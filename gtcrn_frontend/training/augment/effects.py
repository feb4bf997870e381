"""Random speed, equalisation, band limits and clipping: pure functions of a random generator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.signal

Samples = npt.NDArray[np.float32]

SPEEDS = ((9, 10), (19, 20), (21, 20), (11, 10))  # speed perturbation, as ratios (up, down) of small numbers
NOISE_SPEEDS = (*SPEEDS, (1, 2), (2, 3), (4, 5), (5, 4), (3, 2), (2, 1))  # noise is plausible at any pitch
EQ_POINTS_HZ = np.array([60.0, 150.0, 350.0, 800.0, 1800.0, 3500.0, 5500.0, 8000.0])
EQ_DEVIATION_DB = 3.0
EQ_LIMIT_DB = 12.0
TILT_DB_PER_OCTAVE = 1.5
HIGH_PASS_HZ = (20.0, 120.0)
LOW_PASS_HZ = (3400.0, 3800.0, 4000.0, 6000.0)
LOW_PASS_WIDTH_HZ = 200.0
TELEPHONE_PROB = 0.3  # within band limits, of the telephone's high-pass in addition
TELEPHONE_HZ = 300.0
CLIPPED = (0.001, 0.1)  # fraction of the samples that is clipped
SOFT_PROB = 0.5


def speed_ratio(rng: np.random.Generator) -> tuple[int, int]:
    """Returns a random ratio (up, down) to resample speech by, which becomes up/down times as long."""
    return SPEEDS[rng.integers(len(SPEEDS))]


def noise_speed_ratio(rng: np.random.Generator) -> tuple[int, int]:
    """Returns a random ratio (up, down) for noise, from half to twice the length; see `speed_ratio`."""
    return NOISE_SPEEDS[rng.integers(len(NOISE_SPEEDS))]


def change_speed(samples: Samples, ratio: tuple[int, int]) -> Samples:
    """Returns `samples` at another speed and pitch, up/down times as long."""
    up, down = ratio
    return np.asarray(scipy.signal.resample_poly(samples, up, down), np.float32)


def random_equaliser(rng: np.random.Generator, n_bins: int, sample_rate: int) -> Samples:
    """Returns `(n_bins,)` gains from 0 Hz to half the sample rate: a smooth curve plus a tilt and a high-pass."""
    points_db = rng.normal(0, EQ_DEVIATION_DB, len(EQ_POINTS_HZ))
    points_db += rng.uniform(-TILT_DB_PER_OCTAVE, TILT_DB_PER_OCTAVE) * np.log2(EQ_POINTS_HZ / 1000)
    points_db = np.clip(points_db - points_db.mean(), -EQ_LIMIT_DB, EQ_LIMIT_DB)
    hz = np.linspace(0, sample_rate / 2, n_bins)
    gains = 10 ** (np.interp(np.log(np.maximum(hz, 1.0)), np.log(EQ_POINTS_HZ), points_db) / 20)
    corner_hz = rng.uniform(*HIGH_PASS_HZ)
    return np.asarray(gains * hz**2 / (hz**2 + corner_hz**2), np.float32)


def random_band(rng: np.random.Generator, n_bins: int, sample_rate: int) -> Samples:
    """Returns `(n_bins,)` gains of a low-pass at 3.4 to 6 kHz, as of narrow-band codecs and 8 kHz recordings."""
    hz = np.linspace(0, sample_rate / 2, n_bins)
    corner_hz = rng.choice(LOW_PASS_HZ)
    gains = np.clip((corner_hz + LOW_PASS_WIDTH_HZ - hz) / LOW_PASS_WIDTH_HZ, 0, 1)
    if rng.random() < TELEPHONE_PROB:
        gains *= hz**4 / (hz**4 + TELEPHONE_HZ**4)
    return np.asarray(gains, np.float32)


def clip(rng: np.random.Generator, samples: Samples) -> Samples:
    """Returns samples as from an overdriven microphone, with a small fraction of them clipped hard or softly."""
    limit = np.float32(np.quantile(np.abs(samples), 1 - np.exp(rng.uniform(*np.log(CLIPPED)))))
    if limit == 0:
        return samples
    if rng.random() < SOFT_PROB:
        return np.asarray(limit * np.tanh(samples / limit), np.float32)
    return np.clip(samples, -limit, limit)
