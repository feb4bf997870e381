"""Compiled convolutions over channels, with one or three taps along bands, for training on a CPU.

A few frames at a time are copied to a buffer in the first-level cache, with a zero before and after the bands of each,
so that all taps are shifts of one long row without special cases at the edges. All arrays are float32 and contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from gtcrn_frontend.training.cpu_kernels.gru import FAST_MATH

FRAMES = 8  # in the buffer


@numba.njit(inline="always", error_model="numpy", fastmath=FAST_MATH)
def _load(x: Any, b: Any, first: Any, frames: Any, buffer: Any) -> None:
    """Copies frames of x `(B, C, T, W)` to buffer `(C, ...)`, each behind a zero."""
    bands = x.shape[3]
    for c in range(x.shape[1]):
        for t in range(frames):
            for k in range(bands):
                buffer[c, t * (bands + 2) + 1 + k] = x[b, c, first + t, k]


@lru_cache
def pointwise_kernel(inputs: int, outputs: int, taps: int) -> Callable[..., None]:
    """Returns `f(x, w, b, y)`, which fills y `(B, outputs, T, W)`.

    x `(B, inputs, T, W)`, w `(outputs, inputs, taps)`, b `(outputs,)`; taps is 1 or 3, the middle one in place.
    """
    start = 0 if taps == 3 else 1

    @numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
    def pointwise(x: Any, w: Any, b: Any, y: Any) -> None:
        batch, _, count, bands = x.shape
        row = bands + 2
        buffer = np.zeros((inputs, FRAMES * row + 2), np.float32)
        result = np.zeros(FRAMES * row, np.float32)
        for i in range(batch):
            for first in range(0, count, FRAMES):
                frames = min(FRAMES, count - first)
                _load(x, i, first, frames, buffer)
                for o in range(outputs):
                    bias = b[o]
                    for n in range(FRAMES * row):
                        total = bias
                        for c in range(inputs):
                            for k in range(taps):
                                total += w[o, c, k] * buffer[c, start + n + k]
                        result[n] = total
                    for t in range(frames):
                        for k in range(bands):
                            y[i, o, first + t, k] = result[t * row + k]

    return pointwise


@lru_cache
def pointwise_gradient_kernel(inputs: int, outputs: int, taps: int) -> Callable[..., None]:
    """Returns `f(dy, x, dw, db)`, which adds to dw and db the gradients of w and b in `pointwise_kernel`."""
    start = 0 if taps == 3 else 1

    @numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
    def pointwise_gradient(dy: Any, x: Any, dw: Any, db: Any) -> None:
        batch, _, count, bands = x.shape
        row = bands + 2
        buffer = np.zeros((inputs, FRAMES * row + 2), np.float32)
        gradient = np.zeros((outputs, FRAMES * row + 2), np.float32)
        for i in range(batch):
            for first in range(0, count, FRAMES):
                frames = min(FRAMES, count - first)
                gradient[:] = 0
                _load(x, i, first, frames, buffer)
                _load(dy, i, first, frames, gradient)
                for o in range(outputs):
                    g = gradient[o]
                    total = np.float32(0)
                    for n in range(FRAMES * row):
                        total += g[n + 1]
                    db[o] += total
                    for c in range(inputs):
                        for k in range(taps):
                            total = np.float32(0)
                            for n in range(FRAMES * row):
                                total += g[n + 1] * buffer[c, start + n + k]
                            dw[o, c, k] += total

    return pointwise_gradient
