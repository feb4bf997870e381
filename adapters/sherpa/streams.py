"""Wrapped sherpa-onnx streams that enhance their input."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.fail_open import FailOpenEnhancer, OnError
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk
from gtcrn_frontend.config import Strength
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError

logger = logging.getLogger(__name__)


class EnhancerControls:
    """Strength and bypass of one stream's enhancer; may be set at any time, also from another thread."""

    __slots__ = ("_enhancer", "_on_error", "_processor")

    _enhancer: Enhancer
    _on_error: OnError
    _processor: Enhancer | FailOpenEnhancer

    def _use(self, enhancer: Enhancer) -> None:
        """Sets the enhancer, and what processes the samples with it."""
        self._enhancer = enhancer
        self._processor = FailOpenEnhancer(enhancer, logger) if self._on_error == "pass" else enhancer

    @property
    def strength(self) -> Strength:
        """0 (input unchanged) to 1 (full enhancement), or `auto`. May be set at any time; takes effect over one hop."""
        return self._enhancer.strength

    @strength.setter
    def strength(self, strength: Strength) -> None:
        self._enhancer.strength = strength

    @property
    def bypass(self) -> bool:
        """Whether the host receives the unprocessed input. May be toggled at any time: the network keeps running."""
        return self._enhancer.bypass

    @bypass.setter
    def bypass(self, bypass: bool) -> None:
        self._enhancer.bypass = bypass


class FrontendStream(EnhancerControls):
    """A sherpa-onnx stream that enhances its input; otherwise delegates to the host's stream.

    Samples are enhanced and passed on at their own sample rate: at strength 0 the host gets them bit-exactly. They
        arrive later by up to the enhancer's latency but keep their position: timestamps refer to the caller's audio.
        `recognizer.reset(stream)` at an endpoint does not reset the enhancer, as the audio continues.

    Use a stream from one thread at a time, as an `Enhancer`; strength and bypass may be set from other threads.

    Args:
        stream: the host's stream.
        template: source of the settings and of the current strength and bypass; its sample rate is not used, as each
            stream has that of its first samples.
        on_error: after an internal error, `pass` the input on until the stream ends, or `raise` the exception.
    """

    __slots__ = ("__weakref__", "_closed", "_sample_rate", "_stream")

    def __init__(self, stream: Any, template: Enhancer, on_error: OnError = "raise") -> None:
        self._stream = stream
        self._on_error = on_error
        self._use(new_enhancer(template, template.sample_rate))
        self._sample_rate: int | None = None
        self._closed = ""  # call that ended the stream

    def __getattr__(self, name: str) -> Any:
        """Delegates to the host's stream."""
        if name.startswith("_"):  # own attributes that are not set yet: copying looks them up before `__init__`
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._stream, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {type(self._stream).__name__}, {self._enhancer!r}>"

    @property
    def failed(self) -> bool:
        """Whether the enhancer has failed, and the host received the input from there on: with `on_error="pass"`."""
        return isinstance(self._processor, FailOpenEnhancer) and self._processor.failures > 0

    def _enhanced(self, sample_rate: float, waveform: npt.ArrayLike) -> F32:
        if self._closed:
            raise AudioFormatError(f"expected no more samples after {self._closed}: create a new stream")
        rate = whole_rate(sample_rate)
        if self._sample_rate not in (None, rate):
            raise AudioFormatError(
                f"expected {self._sample_rate} Hz as before in this stream, got {rate} Hz: resample the samples, or "
                "create a new stream"
            )
        samples = as_float32(waveform, self._enhancer)
        if self._enhancer.sample_rate != rate:  # only before the first samples
            self._use(new_enhancer(self._enhancer, rate))
        enhanced: F32 = self._processor.process_chunk(samples)
        self._sample_rate = rate
        return enhanced

    def _hand_over(self, samples: F32) -> None:
        self._stream.accept_waveform(self._enhancer.output_sample_rate, samples)


class OnlineFrontendStream(FrontendStream):
    """An `OnlineStream` that enhances its input."""

    __slots__ = ()

    def accept_waveform(self, sample_rate: float, waveform: npt.ArrayLike) -> None:
        """Enhances samples and passes on those that are complete.

        Args:
            sample_rate: in Hz, 8,000 to 192,000; the same in all calls.
            waveform: `(n,)`, n >= 0: floats in [-1, 1], also in a list, or int16, which is scaled to that.

        Raises:
            AudioFormatError: samples or rate cannot be processed, the rate has changed, or the stream has ended. The
                stream is unchanged.
        """
        enhanced = self._enhanced(sample_rate, waveform)
        if len(enhanced):
            self._hand_over(enhanced)

    def input_finished(self) -> None:
        """Passes on the samples left in the enhancer, and ends the stream."""
        rest = self._processor.flush()
        if len(rest):
            self._hand_over(rest)
        self._closed = "input_finished()"
        self._stream.input_finished()


class OfflineFrontendStream(FrontendStream):
    """An `OfflineStream` that enhances its input: all samples in one call, as the host requires."""

    __slots__ = ()

    def accept_waveform(self, sample_rate: float, waveform: npt.ArrayLike) -> None:
        """Enhances all samples of the stream and passes them on.

        Args:
            sample_rate: in Hz, 8,000 to 192,000.
            waveform: `(n,)`, n >= 0: floats in [-1, 1], also in a list, or int16, which is scaled to that.

        Raises:
            AudioFormatError: samples or rate cannot be processed, or it is the second call. The stream is unchanged.
        """
        enhanced = np.concatenate([self._enhanced(sample_rate, waveform), self._processor.flush()])
        self._closed = "accept_waveform() of an offline stream, which takes all of them at once"
        self._hand_over(enhanced)


def new_enhancer(template: Enhancer, sample_rate: int, output_sample_rate: int | None = None) -> Enhancer:
    """Returns an enhancer for a new stream, with the settings, strength and bypass of another enhancer.

    Args:
        template: source of the settings.
        sample_rate: of the input in Hz.
        output_sample_rate: in Hz; None: that of the template's settings.

    Raises:
        AudioFormatError: a rate is out of range.
    """
    output_sample_rate = output_sample_rate or template.config.output_sample_rate
    try:
        config = dataclasses.replace(template.config, sample_rate=sample_rate, output_sample_rate=output_sample_rate)
    except ConfigError as error:
        raise AudioFormatError(f"cannot enhance samples at {sample_rate} Hz: {error}") from error
    enhancer = Enhancer.from_config(config)
    enhancer.strength, enhancer.bypass = template.strength, template.bypass
    return enhancer


def as_float32(samples: npt.ArrayLike, enhancer: Enhancer) -> F32:
    """Returns samples as float32 in [-1, 1], the format of sherpa-onnx.

    Raises:
        AudioFormatError: the enhancer does not accept them.
    """
    return check_chunk(samples, enhancer.config.channels)[0]


def whole_rate(sample_rate: Any) -> int:
    """Returns a sample rate in Hz as an int; sherpa-onnx also accepts floats.

    Raises:
        AudioFormatError: it is not a whole number.
    """
    try:
        rate = int(sample_rate)
    except (TypeError, ValueError, OverflowError):
        rate = 0
    if rate < 1 or rate != sample_rate:
        raise AudioFormatError(f"expected a sample rate that is a whole number of Hz, got {sample_rate!r}")
    return rate
