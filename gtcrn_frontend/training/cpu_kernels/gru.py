"""Compiled GRUs over many sequences in parallel, for training on a CPU.

torch runs several small operations per time step and direction; here one call runs all steps of all groups, including
the input products. Blocks of sequences are transposed so that sequences are contiguous: the compiler vectorises over
them, and the data of a step stays in the first-level cache. Rows of weights are ordered r, z, n. For few sequences, the
loops vectorise over hidden units instead, and the input products are one large matrix product outside of them.

Gates (Cho et al. 2014, in torch's variant), with i = W_i x + b_i:
r = s(i_r + W_r h + b_r), z = s(i_z + W_z h + b_z), m = W_n h + b_n, c = tanh(i_n + r m), h' = c + z (h - c).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

SAVED = 4  # rows per hidden unit stored for the backward pass: r, z, c, m
# What vectorisation needs, without the assumption that values are finite.
FAST_MATH = {"contract", "reassoc", "arcp", "nsz"}

ONE, TWO, HALF = np.float32(1), np.float32(2), np.float32(0.5)
LIMIT = np.float32(4.5)


@numba.njit(inline="always", error_model="numpy", fastmath=FAST_MATH)
def _tanh(x: Any) -> Any:
    """Returns tanh(x) within 5e-7: six terms of Lambert's continued fraction at x/2, then the double-angle formula."""
    h = min(max(HALF * x, -LIMIT), LIMIT)
    s = h * h
    p = np.float32(10395) + s * (np.float32(4725) + s * (np.float32(210) + s))
    q = h * (np.float32(10395) + s * (np.float32(1260) + s * np.float32(21)))
    return TWO * p * q / (p * p + q * q)


@numba.njit(inline="always", error_model="numpy", fastmath=FAST_MATH)
def _sigmoid(x: Any) -> Any:
    return HALF + HALF * _tanh(HALF * x)


@lru_cache
def forward_kernel(inputs: int, hidden: int, block: int) -> Callable[..., None]:
    """Returns `f(x, w_i, b_i, w_h, b_h, h0, columns, y, saved)` for GRUs of these sizes; it fills y and saved.

    `block` is the number of sequences computed in parallel.

    Arguments of f, float32 and contiguous unless said otherwise, for G groups, N sequences, S steps:
        x: `(N, S, all inputs)`.
        w_i, b_i, w_h, b_h: `(G, 3 * hidden, inputs)`, `(G, 3 * hidden)`, `(G, 3 * hidden, hidden)`, `(G, 3 * hidden)`.
        h0: `(G, hidden, N)` initial states.
        columns: `(G, 3) int64`: first column of x that the group reads, first column of y that it writes, and 1 for
            a group that runs backwards through the steps, else 0.
        y: `(N, S, G * hidden)` states.
        saved: `(ceil(N / block), G, S, SAVED * hidden, block)` for `backward_kernel`.
    """

    @numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
    def forward(x: Any, w_i: Any, b_i: Any, w_h: Any, b_h: Any, h0: Any, columns: Any, y: Any, saved: Any) -> None:
        count, steps = x.shape[0], x.shape[1]
        xt = np.zeros((inputs, block), np.float32)
        state = np.zeros((hidden, block), np.float32)
        for number in range((count + block - 1) // block):
            first = number * block
            lanes = min(block, count - first)
            for g in range(w_h.shape[0]):
                x_column, y_column, reverse = columns[g, 0], columns[g, 1], columns[g, 2]
                for j in range(hidden):
                    for lane in range(lanes):
                        state[j, lane] = h0[g, j, first + lane]
                for i in range(steps):
                    s = steps - 1 - i if reverse else i
                    for lane in range(lanes):
                        for k in range(inputs):
                            xt[k, lane] = x[first + lane, s, x_column + k]
                    rows = saved[number, g, s]
                    for row in range(2 * hidden):
                        bias = b_i[g, row] + b_h[g, row]
                        out = rows[row]
                        for lane in range(block):
                            total = bias
                            for k in range(inputs):
                                total += w_i[g, row, k] * xt[k, lane]
                            for k in range(hidden):
                                total += w_h[g, row, k] * state[k, lane]
                            out[lane] = _sigmoid(total)
                    for j in range(hidden):
                        row = 2 * hidden + j
                        bias_i, bias_h = b_i[g, row], b_h[g, row]
                        out_r, out_c, out_m = rows[j], rows[row], rows[hidden + row]
                        for lane in range(block):
                            from_x = bias_i
                            for k in range(inputs):
                                from_x += w_i[g, row, k] * xt[k, lane]
                            from_h = bias_h
                            for k in range(hidden):
                                from_h += w_h[g, row, k] * state[k, lane]
                            out_m[lane] = from_h
                            out_c[lane] = _tanh(from_x + out_r[lane] * from_h)
                    for j in range(hidden):
                        h, z, c = state[j], rows[hidden + j], rows[2 * hidden + j]
                        for lane in range(block):
                            h[lane] = c[lane] + z[lane] * (h[lane] - c[lane])
                    for lane in range(lanes):
                        for j in range(hidden):
                            y[first + lane, s, y_column + j] = state[j, lane]

    return forward


@lru_cache
def backward_kernel(inputs: int, hidden: int, block: int) -> Callable[..., None]:
    """Returns `f(dy, x, w_i, w_h, h0, columns, y, saved, dx, dw_i, dw_h, db_i, db_h)`, the backward pass.

    dy is the gradient of y, the other inputs are those of `forward_kernel`; dx, dw_i, dw_h, db_i and db_h, which have
    to be zeros, become the gradients of x, w_i, w_h, b_i and b_h.
    """

    @numba.njit(error_model="numpy", fastmath=FAST_MATH, cache=True, nogil=True)
    def backward(
        dy: Any, x: Any, w_i: Any, w_h: Any, h0: Any, columns: Any, y: Any, saved: Any,
        dx: Any, dw_i: Any, dw_h: Any, db_i: Any, db_h: Any,
    ) -> None:  # fmt: skip
        count, steps = x.shape[0], x.shape[1]
        xt = np.zeros((inputs, block), np.float32)
        dxt = np.zeros((inputs, block), np.float32)
        before = np.zeros((hidden, block), np.float32)
        dh = np.zeros((hidden, block), np.float32)
        d_i = np.zeros((3 * hidden, block), np.float32)
        d_h = np.zeros((hidden, block), np.float32)  # of the rows n; the others equal d_i
        for number in range((count + block - 1) // block):
            first = number * block
            lanes = min(block, count - first)
            for g in range(w_h.shape[0]):
                x_column, y_column, reverse = columns[g, 0], columns[g, 1], columns[g, 2]
                # Lanes without a sequence keep zeros in dh, and thereby add nothing.
                dh[:] = 0
                for i in range(steps - 1, -1, -1):
                    s = steps - 1 - i if reverse else i
                    earlier = s + 1 if reverse else s - 1
                    for lane in range(lanes):
                        for k in range(inputs):
                            xt[k, lane] = x[first + lane, s, x_column + k]
                        for j in range(hidden):
                            dh[j, lane] += dy[first + lane, s, y_column + j]
                            before[j, lane] = y[first + lane, earlier, y_column + j] if i else h0[g, j, first + lane]
                    rows = saved[number, g, s]
                    for j in range(hidden):
                        gate_r, gate_z = rows[j], rows[hidden + j]
                        gate_c, gate_m = rows[2 * hidden + j], rows[3 * hidden + j]
                        d_r, d_z, d_c, d_m = d_i[j], d_i[hidden + j], d_i[2 * hidden + j], d_h[j]
                        h, carry = before[j], dh[j]
                        for lane in range(block):
                            r, z, c, total = gate_r[lane], gate_z[lane], gate_c[lane], carry[lane]
                            dc = total * (ONE - z) * (ONE - c * c)
                            d_z[lane] = total * (h[lane] - c) * z * (ONE - z)
                            d_r[lane] = dc * gate_m[lane] * r * (ONE - r)
                            d_c[lane] = dc
                            d_m[lane] = dc * r
                            carry[lane] = total * z
                    for k in range(hidden):
                        carry = dh[k]
                        for lane in range(block):
                            total = carry[lane]
                            for row in range(2 * hidden):
                                total += w_h[g, row, k] * d_i[row, lane]
                            for j in range(hidden):
                                total += w_h[g, 2 * hidden + j, k] * d_h[j, lane]
                            carry[lane] = total
                    for k in range(inputs):
                        out = dxt[k]
                        for lane in range(block):
                            total = np.float32(0)
                            for row in range(3 * hidden):
                                total += w_i[g, row, k] * d_i[row, lane]
                            out[lane] = total
                    for row in range(3 * hidden):
                        gradient = d_i[row]
                        sum_i = np.float32(0)
                        for lane in range(block):
                            sum_i += gradient[lane]
                        db_i[g, row] += sum_i
                        for k in range(inputs):
                            total = np.float32(0)
                            for lane in range(block):
                                total += gradient[lane] * xt[k, lane]
                            dw_i[g, row, k] += total
                        if row >= 2 * hidden:
                            gradient = d_h[row - 2 * hidden]
                            sum_i = np.float32(0)
                            for lane in range(block):
                                sum_i += gradient[lane]
                        db_h[g, row] += sum_i
                        for k in range(hidden):
                            total = np.float32(0)
                            for lane in range(block):
                                total += gradient[lane] * before[k, lane]
                            dw_h[g, row, k] += total
                    for lane in range(lanes):
                        for k in range(inputs):
                            dx[first + lane, s, x_column + k] += dxt[k, lane]

    return backward


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
                    keep[row] = _sigmoid(x[row] + from_h[row])
                for j in range(hidden):
                    m = from_h[2 * hidden + j]
                    z, c = keep[hidden + j], _tanh(x[2 * hidden + j] + keep[j] * m)
                    keep[2 * hidden + j], keep[3 * hidden + j] = c, m
                    state[j] = c + z * (state[j] - c)
                    out[j] = state[j]

    return forward


@lru_cache
def backward_few(hidden: int) -> Callable[..., None]:
    """Returns `f(dy, w_h, h0, y, saved, d_x, d_m)`, the backward pass.

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
