"""Random changes to a recording: speed, spectral colour, band limit. Pure functions of a generator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.signal

Samples = npt.NDArray[np.float32]

SPEEDS = ((9, 10), (19, 20), (21, 20), (11, 10))  # played faster or slower, as ratios of small numbers
EQ_POINTS_HZ = np.array([60.0, 150.0, 350.0, 800.0, 1800.0, 3500.0, 5500.0, 8000.0])
EQ_DEVIATION_DB = 3.0
EQ_LIMIT_DB = 12.0
TILT_DB_PER_OCTAVE = 1.5
HIGH_PASS_HZ = (20.0, 120.0)
LOW_PASS_HZ = (3400.0, 3800.0, 4000.0, 6000.0)
LOW_PASS_WIDTH_HZ = 200.0


def speed_ratio(rng: np.random.Generator) -> tuple[int, int]:
    """Returns a random (up, down) by which a piece is resampled: it becomes up/down as long."""
    return SPEEDS[rng.integers(len(SPEEDS))]


def change_speed(samples: Samples, ratio: tuple[int, int]) -> Samples:
    """Returns `samples` stretched by up/down, pitch included."""
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


def random_low_pass(rng: np.random.Generator, n_bins: int, sample_rate: int) -> Samples:
    """Returns `(n_bins,)` gains of a low-pass at 3.4 to 6 kHz, like telephones and narrow codecs."""
    hz = np.linspace(0, sample_rate / 2, n_bins)
    corner_hz = rng.choice(LOW_PASS_HZ)
    return np.asarray(np.clip((corner_hz + LOW_PASS_WIDTH_HZ - hz) / LOW_PASS_WIDTH_HZ, 0, 1), np.float32)
