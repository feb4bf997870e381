"""What adapters for live audio do when the enhancer fails: by default (`on_error="pass"`) a call goes on unfiltered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.validation import check_chunk, restore_type
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError, StreamBusyError
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.stream import Samples

T = TypeVar("T")
OnError = Literal["pass", "raise"]
"""After an internal error: `pass` the input on, as late as the enhanced signal was, or `raise` the exception."""


class ErrorLog(Protocol):
    """A logger, of the standard library or loguru's."""

    def exception(self, message: str, /) -> object:
        """Logs a message and the exception that is being handled."""


class DelayedInput:
    """The input of a stream that has no output yet: what is passed on in its place if the enhancer fails.

    Args:
        lag_samples: samples that stay behind while the input is passed on.

    Attributes:
        delivered: samples of the stream that have been output, or passed on in its place.
    """

    def __init__(self, lag_samples: int) -> None:
        self._lag_samples = lag_samples
        self.delivered = 0
        self._waiting: Samples | None = None

    def enhanced(self, raw: Samples, count: int) -> None:
        """Takes input, after which `count` samples of output have been delivered."""
        self._waiting = self._joined(raw)[count:]
        self.delivered += count

    def passed(self, raw: Samples) -> Samples:
        """Takes input; returns the samples to pass on, as late as the output would be."""
        joined = self._joined(raw)
        count = max(0, len(joined) - self._lag_samples)
        self._waiting = joined[count:]
        self.delivered += count
        return joined[:count]

    def rest(self) -> Samples:
        """Returns the samples without output, and starts over."""
        rest = np.empty(0, np.float32) if self._waiting is None else self._waiting
        self._waiting, self.delivered = None, 0
        return rest

    def _joined(self, raw: Samples) -> Samples:
        """Returns the waiting samples and new ones; a copy, since the caller may reuse its buffer."""
        return raw.copy() if self._waiting is None else np.concatenate([self._waiting, raw])


class FailOpenEnhancer:
    """An `Enhancer` that passes the input on after an internal error, until the stream ends.

    Totals and delay stay as they are: samples that had not been delivered follow first, and as many samples stay behind
        as before, at most `lag_samples`. The first error of a stream is logged; `flush` and `reset` start the next
        stream, which is enhanced again.

    Args:
        enhancer: strength and bypass may be set on it at any time.
        log: receives the first error of a stream.
        on_error: `raise` for tests, where an error must not go unseen.

    Attributes:
        failures: number of streams so far in which the enhancer failed.

    Raises:
        ConfigError: the output has another sample rate than the input, or `on_error` is neither of both.
    """

    def __init__(self, enhancer: Enhancer, log: ErrorLog, on_error: OnError = "pass") -> None:
        if enhancer.output_sample_rate != enhancer.sample_rate:
            raise ConfigError(
                f"expected the output at the input's {enhancer.sample_rate} Hz, got {enhancer.output_sample_rate} Hz: "
                "leave output_sample_rate out, since the input must be able to take the output's place"
            )
        self.enhancer = enhancer
        self._log = log
        self._on_error = check_on_error(on_error)
        self._input = DelayedInput(enhancer.lag_samples)
        self._failed = False
        self.failures = 0

    @property
    def failed(self) -> bool:
        """Whether the input is passed on because the enhancer failed in this stream."""
        return self._failed

    def process_chunk(self, chunk: npt.ArrayLike) -> Samples:
        """Returns the complete samples, see `Enhancer.process_chunk`.

        Raises:
            AudioFormatError: wrong shape, type or range. The stream is unchanged, and goes on.
            StreamBusyError: as an `Enhancer`; nothing has changed.
        """
        raw = self._raw(chunk)
        enhanced = self._attempt(self.enhancer.process_chunk, chunk)
        if enhanced is None:
            return self._input.passed(raw)
        self._input.enhanced(raw, len(enhanced))
        return enhanced

    def process_aligned(self, chunk: npt.ArrayLike) -> AlignedChunk:
        """Returns the complete samples, see `Enhancer.process_aligned`; after an error, the input for each signal."""
        raw, start = self._raw(chunk), self._input.delivered
        aligned = self._attempt(self.enhancer.process_aligned, chunk)
        if aligned is None:
            passed = self._input.passed(raw)
            return AlignedChunk(start, passed, passed, passed)
        self._input.enhanced(raw, len(aligned.mixed))
        return aligned

    def flush(self) -> Samples:
        """Returns the remaining samples, see `Enhancer.flush`, and resets the stream."""
        enhanced = self._attempt(self.enhancer.flush)
        rest = self._input.rest()
        if enhanced is not None:
            return enhanced
        self.reset()
        return rest

    def flush_aligned(self) -> AlignedChunk:
        """Returns the remaining samples, see `Enhancer.flush_aligned`, and resets the stream."""
        start = self._input.delivered
        aligned = self._attempt(self.enhancer.flush_aligned)
        rest = self._input.rest()
        if aligned is not None:
            return aligned
        self.reset()
        return AlignedChunk(start, rest, rest, rest)

    def reset(self) -> None:
        """Resets the stream; samples not delivered are lost."""
        self._input.rest()
        self._failed = False
        self.enhancer.reset()

    def _attempt(self, call: Callable[..., T], *arguments: Any) -> T | None:
        """Returns the result of a method of the enhancer; None if it has failed, now or before in this stream."""
        if self._failed:
            return None
        try:
            return call(*arguments)
        except (AudioFormatError, StreamBusyError):
            raise
        except Exception:  # logged, or raised again
            if self._on_error == "raise":
                self._input.rest()  # the enhancer has reset its stream
                raise
            self._failed = True
            self.failures += 1
            self._log.exception("the enhancer failed: the input passes unfiltered from here to the end of the stream")
            return None

    def _raw(self, chunk: npt.ArrayLike) -> npt.NDArray[Any]:
        """Returns the input in the shape of the output."""
        config = self.enhancer.config
        if not config.downmix or config.channels == 1:
            return np.asarray(chunk)
        samples, dtype = check_chunk(chunk, config.channels)
        return restore_type(samples.mean(axis=1), dtype)


def check_on_error(on_error: str) -> OnError:
    """Returns the setting; raises `ConfigError` if it is neither `pass` nor `raise`."""
    if on_error == "pass":
        return "pass"
    if on_error == "raise":
        return "raise"
    raise ConfigError(f"expected on_error 'pass' or 'raise', got {on_error!r}")
