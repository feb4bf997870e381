"""`GtcrnNoiseSuppression`: a LiveKit frame processor, for `noise_cancellation=`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
from livekit import rtc

from gtcrn_frontend.adapters.fail_open import OnError
from gtcrn_frontend.adapters.live_stream import LiveControls, LiveSettings, LiveStream
from gtcrn_frontend.config import EnhancerConfig

logger = logging.getLogger(__name__)


class GtcrnNoiseSuppression(LiveControls, rtc.FrameProcessor[rtc.AudioFrame]):
    """Noise suppression for one audio stream at a time, of any sample rate, number of channels and frame length.

    Frames come back in their length from the first one on, `delay_samples` later: 32 ms at 16 kHz, 41 ms at other
        rates. After an internal error the audio passes unfiltered, as late as before, and the error is logged once.

    Args:
        config: model, strength and so on; rate and channels are those of the frames.
        on_error: `pass`, or `raise` for tests.
        **settings: the same by name, in place of a config.

    Raises:
        ConfigError: a setting is invalid.
        ModelError: the model or the engine cannot be loaded.
    """

    def __init__(
        self, config: EnhancerConfig | None = None, *, on_error: OnError = "pass", **settings: Unpack[LiveSettings]
    ) -> None:
        self._stream = LiveStream(config, settings, "noise_suppression", logger, on_error)
        self._enabled = True
        self._source: tuple[str, str] | None = None  # room and participant

    @property
    def enabled(self) -> bool:
        """Whether LiveKit hands frames to this object. Settable at any time.

        What passes by it is not late: switching off loses `delay_samples`, switching on begins with as many zeros.
        `bypass` switches without a gap.
        """
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if value and not self._enabled:
            self._stream.reset()  # what it holds is old
        self._enabled = bool(value)

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        if not self._enabled:  # LiveKit asks before it calls, except for audio from before the connection
            return frame
        channels, count = frame.num_channels, frame.samples_per_channel
        samples = np.frombuffer(frame.data, np.int16, channels * count)  # its buffer may be longer
        enhanced = self._stream.process(samples if channels == 1 else samples.reshape(-1, channels), frame.sample_rate)
        return rtc.AudioFrame(enhanced.tobytes(), frame.sample_rate, channels, count, userdata=frame.userdata)

    def _on_stream_info_updated(self, *, room_name: str, participant_identity: str, publication_sid: str) -> None:
        source = room_name, participant_identity
        if self._source not in (None, source):  # a track published again is still the same microphone
            self._stream.reset()
        self._source = source

    def _close(self) -> None:
        self._stream.reset()


def noise_suppression(
    config: EnhancerConfig | None = None, *, on_error: OnError = "pass", **settings: Unpack[LiveSettings]
) -> GtcrnNoiseSuppression:
    """Returns a `GtcrnNoiseSuppression`, which takes the same arguments, for `noise_cancellation=`."""
    return GtcrnNoiseSuppression(config, on_error=on_error, **settings)


def per_participant(
    choose: Callable[[rtc.Participant], EnhancerConfig | None] | None = None, *, on_error: OnError = "pass"
) -> Callable[[Any], GtcrnNoiseSuppression | None]:
    """Returns a selector for `noise_cancellation=`, which gives each participant noise suppression of its own.

    Args:
        choose: returns the settings for a participant, or None for no noise suppression; by default, the defaults for
            all.
        on_error: see `GtcrnNoiseSuppression`.
    """

    def select(params: Any) -> GtcrnNoiseSuppression | None:
        config = choose(params.participant) if choose else EnhancerConfig()
        return None if config is None else GtcrnNoiseSuppression(config, on_error=on_error)

    return select
