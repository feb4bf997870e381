"""Compiled batch norm and affine PReLU, as `norm.py` for PReLU: two passes over memory each way.

The activation's input is not stored: the backward pass recomputes it from x. All arrays are float32 and contiguous: x,
y, dy, dx `(B, C, T, F)`, a and b `(C, F)`, and one number per channel in scale, shift and slope.
With v = scale * x + shift, y = a v + b + max(v, 0) + slope * min(v, 0).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from gtcrn_frontend.training.cpu_kernels.gru import FAST_MATH

ZERO, ONE = np.float32(0), np.float32(1)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def affine_prelu(x: Any, scale: Any, shift: Any, a: Any, b: Any, slope: Any, y: Any) -> None:
    """Fills y."""
    batch, channels, frames, bands = x.shape
    for i in range(batch):
        for c in range(channels):
            factor, offset, low = scale[c], shift[c], slope[c]
            weight, bias = a[c], b[c]
            for t in range(frames):
                row, out = x[i, c, t], y[i, c, t]
                for k in range(bands):
                    v = factor * row[k] + offset
                    out[k] = weight[k] * v + bias[k] + max(v, ZERO) + low * min(v, ZERO)


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def affine_prelu_sums(
    dy: Any, x: Any, scale: Any, shift: Any, a: Any, slope: Any, sums: Any, d_a: Any, d_b: Any
) -> None:
    """Fills sums `(3, C) float64` with the sums of g, g x and dy min(v, 0), and d_a and d_b.

    g is the gradient of v.
    """
    batch, channels, frames, bands = x.shape
    sums[:], d_a[:], d_b[:] = 0, 0, 0
    for i in range(batch):
        for c in range(channels):
            factor, offset, low = scale[c], shift[c], slope[c]
            weight, to_weight, to_bias = a[c], d_a[c], d_b[c]
            for t in range(frames):
                row, gradient = x[i, c, t], dy[i, c, t]
                s, sx, sn = ZERO, ZERO, ZERO
                for k in range(bands):
                    v = factor * row[k] + offset
                    d = gradient[k]
                    g = d * (weight[k] + (ONE if v > ZERO else low))
                    to_weight[k] += d * v
                    to_bias[k] += d
                    s += g
                    sx += g * row[k]
                    sn += d * min(v, ZERO)
                sums[0, c] += s
                sums[1, c] += sx
                sums[2, c] += sn


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def affine_prelu_backward(
    dy: Any, x: Any, scale: Any, shift: Any, a: Any, slope: Any, from_x: Any, constant: Any, dx: Any
) -> None:
    """Fills dx with scale g + from_x x + constant; the last two, `(C,)`, are due to the batch's statistics."""
    batch, channels, frames, bands = x.shape
    for i in range(batch):
        for c in range(channels):
            factor, offset, low, m, o = scale[c], shift[c], slope[c], from_x[c], constant[c]
            weight = a[c]
            for t in range(frames):
                row, gradient, out = x[i, c, t], dy[i, c, t], dx[i, c, t]
                for k in range(bands):
                    v = factor * row[k] + offset
                    g = gradient[k] * (weight[k] + (ONE if v > ZERO else low))
                    out[k] = factor * g + m * row[k] + o
