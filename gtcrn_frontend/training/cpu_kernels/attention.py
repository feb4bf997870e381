"""Compiled energies and gates of the attention over time and frequency, each in one pass over memory.

All arrays are float32 and contiguous: x, y, dy, dx `(B, C, T, F)`; one number per channel and frame `(B, T, C)`, and
one per band and frame `(B, T, F)`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from gtcrn_frontend.training.cpu_kernels.gru import FAST_MATH

ZERO = np.float32(0)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def energies(x: Any, of_channels: Any, of_bands: Any) -> None:
    """Fills the mean squares over the bands `(B, T, C)`, and over the channels `(B, T, F)`."""
    batch, channels, frames, bands = x.shape
    of_bands[:] = 0
    per_band, per_channel = np.float32(1 / bands), np.float32(1 / channels)
    for i in range(batch):
        for c in range(channels):
            for t in range(frames):
                row, out = x[i, c, t], of_bands[i, t]
                total = ZERO
                for k in range(bands):
                    square = row[k] * row[k]
                    out[k] += square * per_channel
                    total += square
                of_channels[i, t, c] = total * per_band


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def energies_backward(x: Any, d_channels: Any, d_bands: Any, dx: Any) -> None:
    """Fills dx from the gradients of both results of `energies`."""
    batch, channels, frames, bands = x.shape
    per_band, per_channel = np.float32(2 / bands), np.float32(2 / channels)
    for i in range(batch):
        for c in range(channels):
            for t in range(frames):
                row, out, d = x[i, c, t], dx[i, c, t], d_bands[i, t]
                of_channel = d_channels[i, t, c] * per_band
                for k in range(bands):
                    out[k] = row[k] * (of_channel + d[k] * per_channel)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def gate(x: Any, of_channels: Any, of_bands: Any, y: Any) -> None:
    """Fills y with x times both gates."""
    batch, channels, frames, bands = x.shape
    for i in range(batch):
        for c in range(channels):
            for t in range(frames):
                row, out, gates = x[i, c, t], y[i, c, t], of_bands[i, t]
                factor = of_channels[i, t, c]
                for k in range(bands):
                    out[k] = row[k] * factor * gates[k]


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def gate_backward(dy: Any, x: Any, of_channels: Any, of_bands: Any, dx: Any, d_channels: Any, d_bands: Any) -> None:
    """Fills the gradients of the arguments of `gate`."""
    batch, channels, frames, bands = x.shape
    d_bands[:] = 0
    for i in range(batch):
        for c in range(channels):
            for t in range(frames):
                row, gradient, out, gates, to_gates = (
                    x[i, c, t],
                    dy[i, c, t],
                    dx[i, c, t],
                    of_bands[i, t],
                    d_bands[i, t],
                )
                factor, total = of_channels[i, t, c], ZERO
                for k in range(bands):
                    d = gradient[k]
                    product = d * row[k]
                    out[k] = d * factor * gates[k]
                    to_gates[k] += product * factor
                    total += product * gates[k]
                d_channels[i, t, c] = total
