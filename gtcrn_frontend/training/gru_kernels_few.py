"""A GRU as compiled loops over few sequences, one after the other: vectors are of hidden units, not of sequences.

The products with the input are one large matrix product before all steps, and those of the gradients one behind them;
so these loops hold what one step needs from the step before. Formulas, order of rows and numerics are those of
`gru_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from gtcrn_frontend.training.gru_kernels import FAST_MATH, ONE, sigmoid, tanh


@lru_cache
def forward_few(hidden: int) -> Callable[..., None]:
    """Returns `f(from_x, w_h, b_h, h0, y, saved)` for a GRU of this size; it fills y and saved.

    Arguments of f, float32 and contiguous, for N sequences and S steps:
        from_x: `(N, S, 3 * hidden)`, W_i x + b_i.
        w_h, b_h: `(hidden, 3 * hidden)`, turned: a row for each input; `(3 * hidden,)`.
        h0: `(N, hidden)` initial states.
        y: `(N, S, hidden)` states.
        saved: `(N, S, SAVED * hidden)` for `backward_few`.
    """

    @numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
    def forward(from_x: Any, w_h: Any, b_h: Any, h0: Any, y: Any, saved: Any) -> None:
        from_h = np.empty(3 * hidden, np.float32)
        state = np.empty(hidden, np.float32)
        for n in range(from_x.shape[0]):
            state[:] = h0[n]
            for s in range(from_x.shape[1]):
                from_h[:] = b_h
                for k in range(hidden):
                    h = state[k]
                    weights = w_h[k]
                    for row in range(3 * hidden):
                        from_h[row] += weights[row] * h
                x, keep, out = from_x[n, s], saved[n, s], y[n, s]
                for row in range(2 * hidden):
                    keep[row] = sigmoid(x[row] + from_h[row])
                for j in range(hidden):
                    m = from_h[2 * hidden + j]
                    z, c = keep[hidden + j], tanh(x[2 * hidden + j] + keep[j] * m)
                    keep[2 * hidden + j], keep[3 * hidden + j] = c, m
                    state[j] = c + z * (state[j] - c)
                    out[j] = state[j]

    return forward


@lru_cache
def backward_few(hidden: int) -> Callable[..., None]:
    """Returns `f(dy, w_h, h0, y, saved, d_x, d_m)`: the way back.

    dy is the gradient of y, w_h is `(3 * hidden, hidden)`, the other inputs are those of `forward_few`. d_x becomes the
    gradient of from_x; d_m `(N, S, hidden)` becomes that of the products with h in the rows n, where those of the other
    rows equal d_x.
    """

    @numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
    def backward(dy: Any, w_h: Any, h0: Any, y: Any, saved: Any, d_x: Any, d_m: Any) -> None:
        dh = np.empty(hidden, np.float32)
        for n in range(dy.shape[0]):
            dh[:] = 0
            for s in range(dy.shape[1] - 1, -1, -1):
                before = y[n, s - 1] if s else h0[n]
                keep, out, out_m = saved[n, s], d_x[n, s], d_m[n, s]
                for j in range(hidden):
                    r, z, c, m = keep[j], keep[hidden + j], keep[2 * hidden + j], keep[3 * hidden + j]
                    total = dh[j] + dy[n, s, j]
                    dc = total * (ONE - z) * (ONE - c * c)
                    out[j] = dc * m * r * (ONE - r)
                    out[hidden + j] = total * (before[j] - c) * z * (ONE - z)
                    out[2 * hidden + j] = dc
                    out_m[j] = dc * r
                    dh[j] = total * z
                for row in range(2 * hidden):
                    gradient, weights = out[row], w_h[row]
                    for k in range(hidden):
                        dh[k] += weights[k] * gradient
                for j in range(hidden):
                    gradient, weights = out_m[j], w_h[2 * hidden + j]
                    for k in range(hidden):
                        dh[k] += weights[k] * gradient

    return backward
