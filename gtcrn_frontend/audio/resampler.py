"""Streaming sample rate conversion by a linear-phase rational polyphase FIR filter.

Output sample j is the band-limited input at time j / rate_out. The filter is symmetric, so there is no time shift; it
needs `polyphase.HALF_SPAN_US` of look-ahead, which is its latency.

    y[j] = sum_i x[i] h(i - j rate_in / rate_out)        h: sinc times Kaiser window

The result is bit-identical for every chunking, because each output is the same sum in the same order: a block of
outputs (`polyphase`) that needs future input is computed with zeros in its place, which have no weight in the rows
already due, and again when that input has arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.polyphase import Samples, filter_bank
from gtcrn_frontend.errors import ConfigError, StateError

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 192_000


class Resampler:
    """Converts the sample rate of one mono stream.

    n samples give ceil(n * rate_out / rate_in) samples after `flush`, bit-identical for every chunking.

    >>> down = Resampler(48_000, 16_000)
    >>> chunk = np.zeros(480, dtype=np.float32)
    >>> len(down.push(chunk)), len(down.push(chunk)), len(down.flush())
    (88, 160, 72)

    Args:
        rate_in: rate of the samples pushed, an integer from 8,000 to 192,000 Hz.
        rate_out: rate of the samples returned, another integer from the same range.

    Raises:
        ConfigError: for rates outside that range, and for equal ones.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._bank = filter_bank(_checked_rate(rate_in), _checked_rate(rate_out))
        self._samples_in: int
        self._past: Samples  # the last samples; zeros before the first
        self._blank = np.zeros(self._bank.blank, np.float32)  # in place of future samples
        self.reset()

    @property
    def rate_in(self) -> int:
        """Sample rate of the input in Hz."""
        return self._bank.rate_in

    @property
    def rate_out(self) -> int:
        """Sample rate of the output in Hz."""
        return self._bank.rate_out

    @property
    def delay_samples_in(self) -> int:
        """Look-ahead in input samples."""
        return self._bank.half_taps

    @property
    def samples_in(self) -> int:
        """Input samples taken since the stream began."""
        return self._samples_in

    @property
    def samples_out(self) -> int:
        """Output samples so far."""
        return self._bank.ready(self._samples_in)

    def push(self, samples: Samples) -> Samples:
        """Returns the complete output samples, shape (m,), float32; m may be 0.

        Args:
            samples: the next input, shape (n,), float32, finite, n >= 0.
        """
        bank, past = self._bank, self._past
        buffer = np.concatenate((past, samples, self._blank))
        first, last = bank.ready(self._samples_in), bank.ready(self._samples_in + len(samples))
        output = bank.run(buffer, self._samples_in - len(past), first, last)
        self._past = buffer[len(samples) : len(samples) + len(past)].copy()  # not a view of a long chunk
        self._samples_in += len(samples)
        return output

    def flush(self) -> Samples:
        """Returns the remaining output, shape (m,), float32, as if followed by silence; resets the stream."""
        tail = self.push(np.zeros(self.delay_samples_in, dtype=np.float32))
        self.reset()
        return tail

    def reset(self) -> None:
        """Resets the stream: the next sample is the first one, preceded by silence."""
        self._samples_in = 0
        self._past = np.zeros(self._bank.past, dtype=np.float32)

    @property
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """State of the stream, for `load_state`.

        `samples_in`: input samples so far, int64, shape (). `pending`: those still needed, at most 9 ms of them,
        float32, shape (m,); m follows from `samples_in`.
        """
        return {"samples_in": np.array(self._samples_in, dtype=np.int64), "pending": self._pending.copy()}

    @property
    def _pending(self) -> Samples:
        """The last samples from the first that the next output needs on, a part of `_past`."""
        return self._past[len(self._past) - self._pending_length(self._samples_in) :]

    def _pending_length(self, samples_in: int) -> int:
        return samples_in - self._bank.begin(self._bank.ready(samples_in))

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the state of a resampler with the same rates.

        Raises:
            StateError: the arrays do not fit these rates; the stream is unchanged.
        """
        if set(state) != {"samples_in", "pending"}:
            raise StateError(f"resampler state: expected samples_in and pending, got {sorted(state)}")
        count, pending = np.asarray(state["samples_in"]), np.asarray(state["pending"])
        if count.dtype != np.int64 or count.shape != () or count < 0:
            raise StateError(f"resampler state: samples_in must be one int64 >= 0, got {count!r}")
        samples_in = int(count)
        expected = self._pending_length(samples_in)
        if pending.dtype != np.float32 or pending.shape != (expected,):
            raise StateError(
                f"resampler state: after {samples_in} samples from {self.rate_in} to {self.rate_out} Hz, pending must"
                f" be float32 of shape ({expected},), got {pending.dtype} of shape {pending.shape};"
                " was it saved at other rates?"
            )
        if not np.isfinite(pending).all():
            raise StateError("resampler state: pending must be finite, got NaN or infinity")
        self.reset()
        self._samples_in = samples_in
        self._past[len(self._past) - expected :] = pending

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles contain rates and state; kernels are shared within a process or recomputed."""
        return Resampler, (self.rate_in, self.rate_out), self.state

    __setstate__ = load_state


def resampled(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """Resamples a complete signal `(n,) float32` to another rate in Hz, `ceil(n * rate_out / rate_in)` samples."""
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate([resampler.push(samples), resampler.flush()])


def _checked_rate(rate: object) -> int:
    """Returns `rate` as an int; ConfigError unless it is a whole number in range."""
    if isinstance(rate, (int, np.integer)) and MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        return int(rate)
    raise ConfigError(
        f"sample rate: expected an integer from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {rate!r};"
        " convert such audio beforehand"
    )
