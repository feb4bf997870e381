"""`LiveStream`: frames of a call in, frames of the same length out, whatever happens; for hosts that cannot wait."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.fail_open import ErrorLog, FailOpenEnhancer, OnError, check_on_error
from gtcrn_frontend.config import EngineSettings, EnhancerConfig, MixSettings, Strength
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_keywords

I16 = npt.NDArray[np.int16]


class LiveSettings(MixSettings, EngineSettings, total=False):
    """Keyword arguments of the adapters for live audio; see `EnhancerConfig`. Rates and channels are the host's."""

    model: str | Path
    engine: str


class LiveStream:
    """Enhances the frames of a call: each comes back in its length, a fixed delay later from the first one on.

    The delay is `delay_samples`, which zeros fill at the beginning. The frames determine sample rate and channels;
        where these change, a new stream starts. After an internal error the input passes, as late as before.

    Args:
        config: model, strength and so on; rates, channels and downmix are not used. None: the defaults.
        settings: the same by name, in place of a config.
        caller: name of what takes the settings, for messages.
        log: receives errors, once a stream.
        on_error: see `FailOpenEnhancer`.

    Raises:
        ConfigError: both config and settings are given, or a setting is invalid.
        ModelError: the model or the engine cannot be loaded.
        TypeError: a setting is unknown.
    """

    def __init__(
        self,
        config: EnhancerConfig | None,
        settings: Mapping[str, Any],
        caller: str,
        log: ErrorLog,
        on_error: OnError = "pass",
    ) -> None:
        check_keywords(settings, LiveSettings.__annotations__, caller)
        if config is not None and settings:
            raise ConfigError(f"expected a config or settings by name, got both (config and {', '.join(settings)})")
        config = dataclasses.replace(config or EnhancerConfig(**settings), output_sample_rate=None, downmix=False)
        self._template = Enhancer.from_config(dataclasses.replace(config, sample_rate=None, channels=1))
        self._log = log
        self._on_error = check_on_error(on_error)
        self._format: tuple[int, int] | None = None  # sample rate and channels
        self._stream: FailOpenEnhancer | None = None  # None also where the format cannot be enhanced
        self._ready = np.empty(0, np.int16)

    @property
    def strength(self) -> Strength:
        """Weight of the enhanced signal, 0 to 1, or `auto`. Settable at any time; ramps over one hop."""
        return self._template.strength

    @strength.setter
    def strength(self, strength: Strength) -> None:
        self._template.strength = strength
        if self._stream is not None:
            self._stream.enhancer.strength = strength

    @property
    def bypass(self) -> bool:
        """Whether the input is delivered instead, as late as if enhanced. Settable at any time."""
        return self._template.bypass

    @bypass.setter
    def bypass(self, bypass: bool) -> None:
        self._template.bypass = bypass
        if self._stream is not None:
            self._stream.enhancer.bypass = bypass

    @property
    def sample_rate(self) -> int | None:
        """Of the present frames in Hz; None before the first one."""
        return self._format and self._format[0]

    @property
    def delay_samples(self) -> int:
        """Samples by which the output is late at the present rate; 0 before the first frame."""
        return self._stream.enhancer.lag_samples if self._stream else 0

    @property
    def failed(self) -> bool:
        """Whether an error has stopped the enhancement of this stream."""
        return self._format is not None and (self._stream is None or self._stream.failed)

    def open(self, sample_rate: int, channels: int = 1) -> None:
        """Starts a stream, which the first frame otherwise does.

        Raises:
            ConfigError: the format cannot be enhanced, with `on_error="raise"`; otherwise that is logged, and frames
                pass unchanged.
        """
        self._format, self._stream = (sample_rate, channels), None
        self._ready = np.empty(0, np.int16)
        try:
            config = dataclasses.replace(self._template.config, sample_rate=sample_rate, channels=channels)
            enhancer = Enhancer.from_config(config)
            enhancer.strength, enhancer.bypass = self.strength, self.bypass
            self._stream = FailOpenEnhancer(enhancer, self._log, self._on_error)
            self._ready = _silence(enhancer)
        except Exception:
            if self._on_error == "raise":
                raise
            self._log.exception(f"cannot enhance {channels} channels at {sample_rate} Hz: the input passes unfiltered")

    def process(self, frame: I16, sample_rate: int) -> I16:
        """Returns a frame of the same shape.

        Args:
            frame: `(n,)`, or `(n, channels)`, n >= 0.
            sample_rate: in Hz.
        """
        if (sample_rate, 1 if frame.ndim == 1 else frame.shape[1]) != self._format:
            self.open(sample_rate, 1 if frame.ndim == 1 else frame.shape[1])
        if self._stream is None:
            return frame
        joined = np.concatenate([self._ready, self._stream.process_chunk(frame)])
        if len(joined) < len(frame):  # an error that was raised, or an interrupt, has reset the enhancer
            silence = np.zeros((len(frame) - len(joined), *joined.shape[1:]), np.int16)
            joined = np.concatenate([silence, joined])
        self._ready = joined[len(frame) :]
        return joined[: len(frame)]

    def flush(self) -> I16:
        """Returns the last `delay_samples` samples, and resets the stream."""
        if self._stream is None:
            return np.empty(0, np.int16)
        rest = self._stream.flush()
        joined = np.concatenate([self._ready, rest.astype(np.int16)]) if len(rest) else self._ready
        self._ready = _silence(self._stream.enhancer)
        return joined

    def reset(self) -> None:
        """Ends the stream; samples not delivered are lost, and the next frame starts a new one."""
        self._format, self._stream = None, None
        self._ready = np.empty(0, np.int16)


class LiveState:
    """What an adapter tells of its `LiveStream`, which it keeps as `_stream`."""

    _stream: LiveStream

    @property
    def delay_samples(self) -> int:
        """Samples by which the output is late at the present rate; 0 before it is known."""
        return self._stream.delay_samples

    @property
    def failed(self) -> bool:
        """Whether an error has stopped the enhancement of this stream."""
        return self._stream.failed


class LiveControls(LiveState):
    """Strength and bypass of an adapter's `LiveStream` as well."""

    @property
    def strength(self) -> Strength:
        """Weight of the enhanced signal, 0 to 1, or `auto`. Settable at any time; ramps over one hop."""
        return self._stream.strength

    @strength.setter
    def strength(self, strength: Strength) -> None:
        self._stream.strength = strength

    @property
    def bypass(self) -> bool:
        """Whether the input is delivered instead, as late as if enhanced. Settable at any time."""
        return self._stream.bypass

    @bypass.setter
    def bypass(self, bypass: bool) -> None:
        self._stream.bypass = bypass


def _silence(enhancer: Enhancer) -> I16:
    """Returns what precedes the output of a stream, so that each frame finds enough samples."""
    shape: tuple[int, ...] = (enhancer.lag_samples,)
    return np.zeros(shape if enhancer.config.channels == 1 else (*shape, enhancer.config.channels), np.int16)
