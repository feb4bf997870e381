"""`GtcrnFilter`: enhancement of what a pipecat transport receives, before voice activity detection and recognition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from loguru import logger
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame, FilterEnableFrame, FilterUpdateSettingsFrame

from gtcrn_frontend.adapters.fail_open import OnError
from gtcrn_frontend.adapters.live_stream import LiveSettings, LiveState, LiveStream
from gtcrn_frontend.audio.pcm import whole_frames
from gtcrn_frontend.config import DEFAULT_STRENGTH, EnhancerConfig, Strength
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_value


class GtcrnFilter(LiveState, BaseAudioFilter):
    """A filter for `TransportParams(audio_in_filter=...)`, at any sample rate from 8 to 192 kHz, 16-bit mono.

    Each frame comes back in its length, `delay_samples` later: 32 ms at 16 kHz, 41 ms at other rates. After an internal
        error the audio passes unfiltered, and the error is logged once. One object serves one transport.

    Args:
        config: model, strength and so on; the sample rate is the transport's.
        on_error: `pass`, or `raise` for tests.
        **settings: the same by name, in place of a config.

    Raises:
        ConfigError: a setting is invalid.
        ModelError: the model or the engine cannot be loaded.
    """

    def __init__(
        self, config: EnhancerConfig | None = None, *, on_error: OnError = "pass", **settings: Unpack[LiveSettings]
    ) -> None:
        self._stream = LiveStream(config, settings, type(self).__name__, logger, on_error)
        self._sample_rate = 0  # not started
        self._incomplete = b""  # half a sample
        self._enabled = True
        self._bypass = self._stream.bypass
        self._fixed_strength: Strength = DEFAULT_STRENGTH if self._stream.strength == "auto" else self._stream.strength

    async def start(self, sample_rate: int) -> None:
        """Starts a stream at the transport's sample rate in Hz."""
        self._sample_rate, self._incomplete = sample_rate, b""
        self._stream.open(sample_rate)

    async def stop(self) -> None:
        """Ends the stream; the last `delay_samples` are lost, as there is no frame for them any more."""
        self._sample_rate = 0
        self._stream.reset()

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """Applies a `FilterEnableFrame`, or a `FilterUpdateSettingsFrame` with `strength`, `bypass` or `auto`.

        A disabled filter delivers the input as late as before: switching makes no gap. `auto` switches the automatic
        strength on, or back to the last fixed one. Settings that are unknown or out of range are logged and change
        nothing.
        """
        if isinstance(frame, FilterEnableFrame):
            self._enabled = bool(frame.enable)
        elif isinstance(frame, FilterUpdateSettingsFrame):
            self._update(frame.settings)
        self._stream.bypass = self._bypass or not self._enabled

    async def filter(self, audio: bytes) -> bytes:
        """Returns as many bytes of enhanced 16-bit PCM."""
        if not self._sample_rate:
            return audio
        samples, self._incomplete = whole_frames(self._incomplete + audio, "s16le", 1)
        return self._stream.process(samples, self._sample_rate).astype("<i2", copy=False).tobytes()

    def _update(self, settings: Mapping[str, Any]) -> None:
        setters: dict[str, Callable[[Any], None]] = {
            "strength": self._set_strength,
            "bypass": self._set_bypass,
            "auto": self._set_auto,
        }
        for name, value in settings.items():
            if name not in setters:
                logger.warning(f"GtcrnFilter: expected the settings {', '.join(setters)}, got {name!r}: ignored")
                continue
            try:
                setters[name](value)
            except ConfigError as error:
                logger.warning(f"GtcrnFilter: {error}: ignored")

    def _set_strength(self, strength: Strength) -> None:
        self._stream.strength = strength
        if strength != "auto":
            self._fixed_strength = self._stream.strength

    def _set_bypass(self, bypass: bool) -> None:
        self._bypass = check_value(EnhancerConfig, "bypass", bypass)

    def _set_auto(self, auto: bool) -> None:
        if not isinstance(auto, bool):
            raise ConfigError(f"auto: expected true or false, got {auto!r}")
        self._stream.strength = "auto" if auto else self._fixed_strength
