"""Mel filter banks and power spectra in numpy, for the metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, logarithmic above.
LINEAR_HZ_PER_MEL = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: float) -> float:
    """Returns the frequency (>= 0 Hz) on Slaney's mel scale."""
    return float(hz / LINEAR_HZ_PER_MEL if hz < BREAK_HZ else BREAK_MEL + np.log(hz / BREAK_HZ) / LOG_STEP)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the frequencies in Hz of points on Slaney's mel scale."""
    high = BREAK_HZ * np.exp(LOG_STEP * (np.maximum(mel, BREAK_MEL) - BREAK_MEL))
    return np.where(mel < BREAK_MEL, LINEAR_HZ_PER_MEL * mel, high)


def mel_filters(sample_rate: int, n_fft: int, n_bands: int, *, unit_area: bool) -> NDArray[np.float64]:
    """Returns triangular mel filters from 0 Hz to half the sample rate as `(n_bands, n_fft // 2 + 1)`.

    Peaks are 1, or with `unit_area` every triangle has area 1 over frequency in Hz ("Slaney" norm of librosa).
    """
    bins_hz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    edges_hz = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate / 2), n_bands + 2))
    low, centre, high = (edges_hz[i : i + n_bands, None] for i in range(3))
    filters = np.maximum(0.0, np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)))
    return filters * 2 / (high - low) if unit_area else filters


def power_spectrum(
    signal: NDArray[np.floating], window: NDArray[np.float64], n_fft: int, hop_length: int
) -> NDArray[np.float64]:
    """Returns `|rfft|^2` of all whole frames of a 1-D signal as `(frames, n_fft // 2 + 1)`; no padding at the ends."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, len(window))[::hop_length]
    spectrum = np.fft.rfft(frames * window, n_fft)
    return np.square(spectrum.real) + np.square(spectrum.imag)
