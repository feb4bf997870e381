"""Levels of signals: power while someone speaks, and scaling to a signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

FRAME = 320  # samples, 20 ms at 16 kHz
ACTIVE_RANGE_DB = 30.0
FLOOR = 1e-10  # power of -100 dB full scale


def active_power(samples: Samples) -> float:
    """Returns the mean power of the frames within 30 dB of the loudest one; a steady signal's plain power."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames).mean(axis=1)
    return float(power[power >= power.max() * 10 ** (-ACTIVE_RANGE_DB / 10)].mean())


def noise_gain(speech: Samples, noise: Samples, snr_db: float) -> float:
    """Returns the factor for `noise` at which active speech power / mean noise power is `snr_db`."""
    noise_power = float(np.square(noise).mean())
    return float(np.sqrt(active_power(speech) / max(noise_power, FLOOR) * 10 ** (-snr_db / 10)))
