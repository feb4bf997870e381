"""Compiled depthwise 3x3 convolution over (time, band), for training on a CPU.

Bands are padded by one zero on each side, and a plane is then treated as one long row, of which the nine taps are
shifts: long vectors, where 33 bands alone would leave most lanes unused. The padded columns of the result are ignored.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from gtcrn_frontend.training.cpu_kernels.gru import FAST_MATH

TAPS = 3


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def depthwise_forward(x: Any, w: Any, b: Any, dilation: Any, y: Any) -> None:
    """Fills y `(B, C, T, W)` from x `(B, C, T + 2 * dilation, W)`, w `(C, 3, 3)`, b `(C,)`, all float32."""
    batch, channels, frames, bands = x.shape
    out_frames = frames - 2 * dilation
    row = bands + 2
    plane = np.zeros(frames * row + 2, np.float32)
    out = np.zeros(out_frames * row, np.float32)
    step = dilation * row
    for i in range(batch):
        for c in range(channels):
            for t in range(frames):
                for k in range(bands):
                    plane[t * row + 1 + k] = x[i, c, t, k]
            w00, w01, w02 = w[c, 0, 0], w[c, 0, 1], w[c, 0, 2]
            w10, w11, w12 = w[c, 1, 0], w[c, 1, 1], w[c, 1, 2]
            w20, w21, w22 = w[c, 2, 0], w[c, 2, 1], w[c, 2, 2]
            bias = b[c]
            p0, p1, p2 = plane, plane[step:], plane[2 * step :]
            for n in range(len(out)):
                out[n] = (
                    bias
                    + (w00 * p0[n] + w01 * p0[n + 1] + w02 * p0[n + 2])
                    + (w10 * p1[n] + w11 * p1[n + 1] + w12 * p1[n + 2])
                    + (w20 * p2[n] + w21 * p2[n + 1] + w22 * p2[n + 2])
                )
            for t in range(out_frames):
                for k in range(bands):
                    y[i, c, t, k] = out[t * row + k]


@numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
def depthwise_backward(dy: Any, x: Any, w: Any, dilation: Any, dx: Any, dw: Any) -> None:
    """Fills dx like x and dw like w from dy like y, see `depthwise_forward`."""
    batch, channels, frames, bands = x.shape
    out_frames = frames - 2 * dilation
    row = bands + 2
    step = dilation * row
    plane = np.zeros(frames * row + 2, np.float32)
    # The gradient's plane starts with the zero frames that the taps look back to, and two more zeros.
    before = 2 * step + 2
    grad = np.zeros(before + frames * row + 2, np.float32)
    out = np.zeros(frames * row, np.float32)
    dw[:] = 0
    for i in range(batch):
        for c in range(channels):
            for t in range(frames):
                for k in range(bands):
                    plane[t * row + 1 + k] = x[i, c, t, k]
            for t in range(out_frames):
                for k in range(bands):
                    grad[before + t * row + k] = dy[i, c, t, k]
            g = grad[before:]
            for tap in range(TAPS):
                p = plane[tap * step :]
                s0 = s1 = s2 = np.float32(0)
                for n in range(out_frames * row):
                    s0 += g[n] * p[n]
                    s1 += g[n] * p[n + 1]
                    s2 += g[n] * p[n + 2]
                dw[c, tap, 0] += s0
                dw[c, tap, 1] += s1
                dw[c, tap, 2] += s2
            w00, w01, w02 = w[c, 0, 0], w[c, 0, 1], w[c, 0, 2]
            w10, w11, w12 = w[c, 1, 0], w[c, 1, 1], w[c, 1, 2]
            w20, w21, w22 = w[c, 2, 0], w[c, 2, 1], w[c, 2, 2]
            g0, g1, g2 = grad[before - 2 :], grad[before - 2 - step :], grad[before - 2 - 2 * step :]
            for n in range(len(out)):
                out[n] = (
                    (w00 * g0[n + 2] + w01 * g0[n + 1] + w02 * g0[n])
                    + (w10 * g1[n + 2] + w11 * g1[n + 1] + w12 * g1[n])
                    + (w20 * g2[n + 2] + w21 * g2[n + 1] + w22 * g2[n])
                )
            for t in range(frames):
                for k in range(bands):
                    dx[i, c, t, k] = out[t * row + 1 + k]
