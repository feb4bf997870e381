"""Polyphase filter bank of the resampler: impulse response and kernels.

With rate_out / rate_in = up / down in lowest terms, the impulse response is needed at `up` different fractions of a
sample. The kernels of a few consecutive outputs are stacked into blocks, each a small matrix product:

    outputs (block)  =  kernels (block, width)  @  window of the input (width)

Few distinct blocks are precomputed; ratios with more phases interpolate in a table. The C extension, if built, designs
the same filter and computes the same sums (native/resample.c), for blocks of its own.

The same at all rates: 4.5 ms of delay; flat (0.001 dB) up to 600 Hz below the lower of the two Nyquist frequencies,
0.1 dB down 520 Hz below it (at 16 kHz: 7.4 and 7.48 kHz); aliases and images from beyond it are 84 dB down.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.native.filter import NativeFilter

HALF_SPAN_US = 4_500  # half length of the filter, and its latency
STOP_BAND_DB = 85.0

MAX_GAIN = 4.0  # the magnitudes of a kernel's weights add up to less, at all rates: no output is larger than that

MAX_BLOCK = 32  # outputs per matrix product
MAX_KERNEL_BYTES = 28 * 1024  # per block: fits into the L1 cache, and BLAS starts no threads
BLOCKS_PER_RUN = 64  # matrix products per call into numpy

MAX_EXACT_PHASES = 1024  # ratios with more phases interpolate in a table
TABLE_PHASES = 512  # error of linear interpolation below -100 dB
OUTPUTS_PER_RUN = 256  # kernels interpolated at a time

Samples = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class FilterBank(ABC):
    """Filter of a pair of rates; read-only, shared by all streams.

    Output j lies at the input time j * down / up = n + f, n whole and 0 <= f < 1, and weighs the input samples
    n - half_taps + 1 to n + half_taps.

    Attributes:
        past: input samples before the next one that `run` needs.
        blank: samples behind the last one that it needs; they have no weight.
    """

    past: int
    blank: int

    def __init__(self, rate_in: int, rate_out: int) -> None:
        divisor = math.gcd(rate_in, rate_out)
        self.rate_in, self.rate_out = rate_in, rate_out
        self.up, self.down = rate_out // divisor, rate_in // divisor
        self.half_taps = half_taps(rate_in)

    def ready(self, samples_in: int) -> int:
        """Returns the number of outputs that can be computed from `samples_in` input samples."""
        return max(0, -((self.half_taps - samples_in) * self.up // self.down))

    def begin(self, output: int) -> int:
        """Returns the index of the first input sample that an output needs; negative: silence before the start."""
        return output * self.down // self.up - self.half_taps + 1

    @abstractmethod
    def run(self, buffer: Samples, origin: int, first: int, last: int) -> Samples:
        """Returns the outputs `first` to `last - 1`.

        Args:
            buffer: input samples from index `origin` on, with `past` and `blank` ones; `(n,)`.
            origin: negative before the start of the stream.
            first, last: of the outputs.
        """


class _NativeBank(FilterBank):
    """The filter in C."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        super().__init__(rate_in, rate_out)
        self._filter = NativeFilter(rate_in, rate_out)
        self.past, self.blank = self._filter.past, self._filter.blank

    def run(self, buffer: Samples, origin: int, first: int, last: int) -> Samples:
        return self._filter.run(buffer, origin, first, last)


class _BlockBank(FilterBank):
    """Blocks of outputs on a fixed grid, in numpy.

    Block b holds the outputs b * block to (b + 1) * block - 1; its window begins where that of its first output does
    and is wide enough for its last.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        super().__init__(rate_in, rate_out)
        self.block = self._block()
        self.blank = -(-(self.block - 1) * self.down // self.up)  # from the first to the last output of a block
        self.width = self.past = 2 * self.half_taps + self.blank

    def window_start(self, block: int) -> int:
        """Returns the index of the first input sample in the window of `block`."""
        return self.begin(block * self.block)

    def run(self, buffer: Samples, origin: int, first: int, last: int) -> Samples:
        if last == first:
            return np.empty(0, np.float32)
        # Each position's window as a row, without a copy: as_strided in a tenth of its time.
        step = buffer.itemsize
        shape = (len(buffer) - self.width + 1, self.width, 1)
        windows: Samples = np.ndarray(shape, buffer.dtype, buffer, strides=(step, step, step))
        blocks = [
            kernels @ windows[starts - origin]
            for kernels, starts in self.runs(first // self.block, -(-last // self.block))
        ]
        outputs = np.concatenate(blocks).reshape(-1)
        skip = first % self.block
        return outputs[skip : skip + last - first]

    @abstractmethod
    def _block(self) -> int:
        """Returns the number of outputs per block."""

    @abstractmethod
    def runs(self, first: int, last: int) -> Iterator[tuple[Samples, Indices]]:
        """Yields the kernels, shape (n, block, width), and window starts, shape (n,), of blocks `first` to `last - 1`.

        Yields runs of blocks that are contiguous in memory.
        """


class _CyclicBank(_BlockBank):
    """Precomputed kernels of all phases; they repeat after `up` outputs."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        super().__init__(rate_in, rate_out)
        distinct = max(self.up // self.block, 1)
        outputs = np.arange(distinct * self.block).reshape(distinct, self.block, 1)
        taps = self._starts(distinct)[:, np.newaxis, np.newaxis] + np.arange(self.width)
        kernels = _impulse_response(taps - outputs * self.down / self.up, self.rate_in, self.rate_out)

        # If all blocks are equal, the cycle is extended without a copy.
        self.blocks_per_cycle = distinct if distinct > 1 else BLOCKS_PER_RUN
        self.samples_per_cycle = self.blocks_per_cycle * self.block * self.down // self.up
        self.kernels = np.broadcast_to(kernels, (self.blocks_per_cycle, self.block, self.width))
        self.starts = self._starts(self.blocks_per_cycle)

    def _starts(self, blocks: int) -> Indices:
        return np.array([self.window_start(block) for block in range(blocks)], dtype=np.int64)

    def _block(self) -> int:
        return outputs_per_block(self.up, self.half_taps)

    def runs(self, first: int, last: int) -> Iterator[tuple[Samples, Indices]]:
        while first < last:
            cycle, position = divmod(first, self.blocks_per_cycle)
            end = min(position + last - first, self.blocks_per_cycle)
            yield self.kernels[position:end], self.starts[position:end] + cycle * self.samples_per_cycle
            first += end - position


class _InterpolatedBank(_BlockBank):
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
    if NativeFilter.is_available():
        return _NativeBank(rate_in, rate_out)
    phases = rate_out // math.gcd(rate_in, rate_out)
    return (_CyclicBank if phases <= MAX_EXACT_PHASES else _InterpolatedBank)(rate_in, rate_out)


def half_taps(rate_in: int) -> int:
    """Returns half the length of the filter, which is its look-ahead, in input samples."""
    return -(-HALF_SPAN_US * rate_in // 1_000_000)  # rounded up


def outputs_per_block(up: int, half_taps: int) -> int:
    """Returns the most outputs per block whose kernels fit into the cache, and repeat with the phases."""
    limit = min(MAX_BLOCK, MAX_KERNEL_BYTES // (2 * half_taps * np.dtype(np.float32).itemsize))
    return max(n for n in range(1, limit + 1) if up % n == 0 or n % up == 0)


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
