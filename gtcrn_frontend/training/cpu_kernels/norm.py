"""Compiled batch norm and PReLU, in two passes over memory for each of the forward and the backward pass.

The activation's input is not stored: the backward pass recomputes it from x. All arrays are float32 and contiguous,
x, y, dy, dx `(B, C, L)`; per channel, y = prelu(scale * x + shift).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from gtcrn_frontend.training.cpu_kernels.gru import FAST_MATH

ZERO, ONE = np.float32(0), np.float32(1)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def moments(x: Any, mean: Any, variance: Any) -> None:
    """Fills mean and (biased) variance `(C,) float64`."""
    batch, channels, length = x.shape
    for c in range(channels):
        # Relative to a value near the mean, for the precision of the variance.
        centre = x[0, c, 0]
        total, squares = np.float64(0), np.float64(0)
        for b in range(batch):
            row = x[b, c]
            s, q = ZERO, ZERO
            for i in range(length):
                d = row[i] - centre
                s += d
                q += d * d
            total += s
            squares += q
        offset = total / (batch * length)
        mean[c] = centre + offset
        variance[c] = max(squares / (batch * length) - offset * offset, 0.0)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def scale_prelu(x: Any, scale: Any, shift: Any, slope: Any, y: Any) -> None:
    """Fills y; scale, shift `(C,)`, slope a number."""
    batch, channels, length = x.shape
    for b in range(batch):
        for c in range(channels):
            row, out = x[b, c], y[b, c]
            a, o = scale[c], shift[c]
            for i in range(length):
                value = a * row[i] + o
                out[i] = max(value, ZERO) + slope * min(value, ZERO)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def scale_prelu_sums(dy: Any, x: Any, scale: Any, shift: Any, slope: Any, sums: Any) -> None:
    """Fills sums `(3, C) float64` with the sums of g, g x and dy min(v, 0).

    v is the activation's input and g its gradient.
    """
    batch, channels, length = x.shape
    sums[:] = 0
    for b in range(batch):
        for c in range(channels):
            row, gradient = x[b, c], dy[b, c]
            a, o = scale[c], shift[c]
            s, sx, sn = ZERO, ZERO, ZERO
            for i in range(length):
                value = a * row[i] + o
                g = gradient[i] * (ONE if value > ZERO else slope)
                s += g
                sx += g * row[i]
                sn += gradient[i] * min(value, ZERO)
            sums[0, c] += s
            sums[1, c] += sx
            sums[2, c] += sn


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def scale_prelu_backward(
    dy: Any, x: Any, scale: Any, shift: Any, slope: Any, from_x: Any, constant: Any, dx: Any
) -> None:
    """Fills dx with scale g + from_x x + constant; `(C,)` each. The last two are due to the batch's statistics."""
    batch, channels, length = x.shape
    for b in range(batch):
        for c in range(channels):
            row, gradient, out = x[b, c], dy[b, c], dx[b, c]
            a, o, m, k = scale[c], shift[c], from_x[c], constant[c]
            for i in range(length):
                value = a * row[i] + o
                g = gradient[i] * (ONE if value > ZERO else slope)
                out[i] = a * g + m * row[i] + k
