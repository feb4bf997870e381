"""Signal levels: active speech power, and noise gains for a given SNR."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

FRAME_MS = 20
ACTIVE_RANGE_DB = 30.0
FLOOR = 1e-10  # power of -100 dB full scale


def active_power(samples: Samples, sample_rate: int = 16_000) -> float:
    """Returns the mean power of the frames of 20 ms within 30 dB of the loudest one; a steady signal's plain power.

    Args:
        samples: `(n,)`, full scale 1. Shorter than a frame: the plain power; none: 0.
        sample_rate: in Hz.
    """
    frame = sample_rate * FRAME_MS // 1000
    if len(samples) < frame:
        return float(np.square(samples).mean()) if len(samples) else 0.0
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(axis=1)
    return float(power[power >= power.max() * 10 ** (-ACTIVE_RANGE_DB / 10)].mean())


def noise_gain(speech: Samples, noise: Samples, snr_db: float, sample_rate: int = 16_000) -> float:
    """Returns the factor for `noise` at which active speech power / mean noise power is `snr_db`."""
    noise_power = float(np.square(noise).mean())
    return float(np.sqrt(active_power(speech, sample_rate) / max(noise_power, FLOOR) * 10 ** (-snr_db / 10)))


def snr_db(speech: Samples, mixture: Samples, sample_rate: int = 16_000) -> float:
    """Returns the SNR in dB: active speech power over the mean power of mixture minus speech.

    Args:
        speech, mixture: `(n,)`, aligned, full scale 1.
        sample_rate: in Hz.

    Returns:
        -inf without speech, +inf without noise, nan without either.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.float64(active_power(speech, sample_rate)), np.float64(np.square(mixture - speech).mean())
        return float(10 * (np.log10(power[0]) - np.log10(power[1])))
