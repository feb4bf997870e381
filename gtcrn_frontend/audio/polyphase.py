"""Polyphase filter bank of the resampler: impulse response and kernels.

With rate_out / rate_in = up / down in lowest terms, the impulse response is needed at `up` different fractions of a
sample. The kernels of a few consecutive outputs are stacked into blocks, each a small matrix product:

    outputs (block)  =  kernels (block, width)  @  window of the input (width)

The C extension, if built, computes outputs one by one (native/resample.c), except for ratios with very many phases;
blocks and windows then only determine the extent of a saved state.

The same at all rates: 4.5 ms of delay; flat (0.001 dB) up to 600 Hz below the lower of the two Nyquist frequencies,
0.1 dB down 520 Hz below it (at 16 kHz: 7.4 and 7.48 kHz); aliases and images from beyond it are 84 dB down.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.native.binding import FLOATS, chosen_instruction_set, ffi, instruction_sets, lib

HALF_SPAN_US = 4_500  # half length of the filter, and its latency
STOP_BAND_DB = 85.0

MAX_GAIN = 4.0  # the magnitudes of a kernel's weights add up to less, at all rates: no output is larger than that

MAX_BLOCK = 32  # outputs per matrix product
MAX_KERNEL_BYTES = 28 * 1024  # per block: fits into the L1 cache, and BLAS starts no threads
BLOCKS_PER_RUN = 64  # matrix products per call into numpy

MAX_EXACT_PHASES = 1024  # ratios with more phases interpolate in a table
TABLE_PHASES = 512  # error of linear interpolation below -100 dB
OUTPUTS_PER_RUN = 256  # kernels interpolated at a time

CACHE_LINE = 64  # bytes

Samples = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class FilterBank(ABC):
    """Kernels and the grid of blocks and windows for a pair of rates; read-only, shared by all streams.

    Output j lies at the input time j * down / up = n + f, n whole and 0 <= f < 1, and weighs the input samples
    n - half_taps + 1 to n + half_taps. Block b holds the outputs b * block to (b + 1) * block - 1; its window
    begins where that of its first output does and is wide enough for its last.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        divisor = math.gcd(rate_in, rate_out)
        self.rate_in, self.rate_out = rate_in, rate_out
        self.up, self.down = rate_out // divisor, rate_in // divisor
        self.half_taps = -(-HALF_SPAN_US * rate_in // 1_000_000)  # rounded up
        self.block = self._block()
        spread = -(-(self.block - 1) * self.down // self.up)  # from the first to the last output of a block
        self.width = 2 * self.half_taps + spread
        self.blank = np.zeros(spread, dtype=np.float32)  # in place of future samples
        self.past = self.width  # input samples that a stream keeps
        self.native: Any = None  # the C filter, if built

    def ready(self, samples_in: int) -> int:
        """Returns the number of outputs that can be computed from `samples_in` input samples."""
        return max(0, -((self.half_taps - samples_in) * self.up // self.down))

    def window_start(self, block: int) -> int:
        """Returns the index of the first input sample in the window of `block`; negative: silence before the start."""
        return block * self.block * self.down // self.up - self.half_taps + 1

    @abstractmethod
    def _block(self) -> int:
        """Returns the number of outputs per block."""

    @abstractmethod
    def runs(self, first: int, last: int) -> Iterator[tuple[Samples, Indices]]:
        """Yields the kernels, shape (n, block, width), and window starts, shape (n,), of blocks `first` to `last - 1`.

        Yields runs of blocks that are contiguous in memory.
        """


class _CyclicBank(FilterBank):
    """Precomputed kernels of all phases, for C or in blocks for numpy; they repeat after `up` outputs."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        super().__init__(rate_in, rate_out)
        if instruction_sets():
            self._make_native()
        else:
            self._make_blocks()

    def _make_blocks(self) -> None:
        """Stacks the kernels of consecutive outputs into blocks, until they repeat."""
        distinct = max(self.up // self.block, 1)
        outputs = np.arange(distinct * self.block).reshape(distinct, self.block, 1)
        taps = self._starts(distinct)[:, np.newaxis, np.newaxis] + np.arange(self.width)
        kernels = _impulse_response(taps - outputs * self.down / self.up, self.rate_in, self.rate_out)

        # If all blocks are equal, the cycle is extended without a copy.
        self.blocks_per_cycle = distinct if distinct > 1 else BLOCKS_PER_RUN
        self.samples_per_cycle = self.blocks_per_cycle * self.block * self.down // self.up
        self.kernels = np.broadcast_to(kernels, (self.blocks_per_cycle, self.block, self.width))
        self.starts = self._starts(self.blocks_per_cycle)

    def _make_native(self) -> None:
        """Stores the weights of each phase separately, left-padded with zeros to whole vectors."""
        taps = -(-2 * self.half_taps // 16) * 16
        self.past = max(self.past, taps)
        offsets = np.arange(taps) - taps + 1 + self.half_taps - np.arange(self.up)[:, np.newaxis] / self.up
        self._weights = _on_cache_lines(_impulse_response(offsets, self.rate_in, self.rate_out))
        self._weights[:, : taps - 2 * self.half_taps] = 0
        fields = {"phases": self.up, "steps": self.down, "taps": taps, "past": self.past}
        self.native = ffi.new("gtcrn_filter *", fields)
        self.native.weights = ffi.from_buffer(FLOATS, self._weights)
        self.native.dot = lib.gtcrn_find_dot(chosen_instruction_set().encode())

    def _starts(self, blocks: int) -> Indices:
        return np.array([self.window_start(block) for block in range(blocks)], dtype=np.int64)

    def _block(self) -> int:
        limit = min(MAX_BLOCK, MAX_KERNEL_BYTES // (2 * self.half_taps * np.dtype(np.float32).itemsize))
        return max(n for n in range(1, limit + 1) if self.up % n == 0 or n % self.up == 0)

    def runs(self, first: int, last: int) -> Iterator[tuple[Samples, Indices]]:
        while first < last:
            cycle, position = divmod(first, self.blocks_per_cycle)
            end = min(position + last - first, self.blocks_per_cycle)
            yield self.kernels[position:end], self.starts[position:end] + cycle * self.samples_per_cycle
            first += end - position


class _InterpolatedBank(FilterBank):
    """Kernels interpolated in a table, for ratios with very many phases (44,101 to 16,000 Hz: 16,000)."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        super().__init__(rate_in, rate_out)
        fractions = np.arange(TABLE_PHASES + 1)[:, np.newaxis] / TABLE_PHASES
        self.table = _impulse_response(np.arange(self.width) - self.half_taps + 1 - fractions, rate_in, rate_out)

    def _block(self) -> int:
        return 1

    def runs(self, first: int, last: int) -> Iterator[tuple[Samples, Indices]]:
        for begin in range(first, last, OUTPUTS_PER_RUN):
            whole, phase = divmod(begin * self.down, self.up)
            phases = phase + self.down * np.arange(min(OUTPUTS_PER_RUN, last - begin), dtype=np.int64)
            steps, phases = np.divmod(phases, self.up)
            rows, between = np.divmod(phases * TABLE_PHASES, self.up)
            weights = (between / self.up).astype(np.float32)[:, np.newaxis]
            kernels = self.table[rows] + weights * (self.table[rows + 1] - self.table[rows])
            yield kernels[:, np.newaxis], whole - self.half_taps + 1 + steps


@lru_cache(maxsize=32)
def filter_bank(rate_in: int, rate_out: int) -> FilterBank:
    """Returns the cached filter bank for a pair of rates; ConfigError for equal rates."""
    if rate_in == rate_out:
        raise ConfigError(f"resampler: both rates are {rate_in} Hz; no conversion needed, remove the resampler")
    phases = rate_out // math.gcd(rate_in, rate_out)
    return (_CyclicBank if phases <= MAX_EXACT_PHASES else _InterpolatedBank)(rate_in, rate_out)


def _on_cache_lines(array: Samples) -> Samples:
    """Returns a copy with rows aligned to cache lines if their length allows; loads are twice as fast."""
    memory = np.empty(array.nbytes + CACHE_LINE, np.uint8)
    aligned = memory[-memory.ctypes.data % CACHE_LINE :][: array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[:] = array
    return aligned


def _impulse_response(offsets: npt.NDArray[np.float64], rate_in: int, rate_out: int) -> Samples:
    """Returns the low-pass filter h at `offsets` (in input samples) from its centre; same shape, float32.

    A sinc cut to `HALF_SPAN_US` by a Kaiser window; the stop band begins at the lower Nyquist frequency.
    Formulas for window and transition band: Oppenheim and Schafer, Discrete-Time Signal Processing, 3rd edition,
    section 7.5.3.
    """
    half_span_s = HALF_SPAN_US / 1e6
    beta = 0.1102 * (STOP_BAND_DB - 8.7)
    transition_hz = (STOP_BAND_DB - 8.0) / (2.285 * 2 * np.pi * 2 * half_span_s)
    cutoff_hz = min(rate_in, rate_out) / 2 - transition_hz / 2

    seconds = offsets / rate_in
    inside = np.maximum(1.0 - (seconds / half_span_s) ** 2, 0.0)
    window = np.where(inside > 0.0, np.i0(beta * np.sqrt(inside)) / np.i0(beta), 0.0)
    response = 2 * cutoff_hz / rate_in * np.sinc(2 * cutoff_hz * seconds) * window
    return response.astype(np.float32)
