"""`EnhancedTrack`: an audio track for aiortc that enhances another one."""

from __future__ import annotations

import logging
from typing import Unpack

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, AudioResampler

from gtcrn_frontend.adapters.fail_open import OnError
from gtcrn_frontend.adapters.live_stream import I16, LiveControls, LiveSettings, LiveStream
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError

logger = logging.getLogger(__name__)


class EnhancedTrack(LiveControls, MediaStreamTrack):
    """Delivers the enhanced frames of an audio track, as 16-bit samples at its sample rate and with its channels.

    Each frame has the length and the time stamp of the source's, and samples `delay_samples` older: 32 ms at 16 kHz,
        41 ms at other rates. One more frame of that length follows the source's last one. After an internal error the
        audio passes unfiltered, as late as before, and the error is logged once.

    Args:
        track: the source, for example of a peer connection's event `track`.
        config: model, strength and so on; rate and channels are those of the frames.
        on_error: `pass`, or `raise` for tests.
        **settings: the same by name, in place of a config.

    Raises:
        AudioFormatError: the track is not an audio track.
        ConfigError: a setting is invalid.
        ModelError: the model or the engine cannot be loaded.
    """

    kind = "audio"

    def __init__(
        self,
        track: MediaStreamTrack,
        config: EnhancerConfig | None = None,
        *,
        on_error: OnError = "pass",
        **settings: Unpack[LiveSettings],
    ) -> None:
        super().__init__()
        if track.kind != "audio":
            raise AudioFormatError(f"expected an audio track, got one of kind {track.kind!r}: pass its audio track")
        self._track = track
        self._stream = LiveStream(config, settings, type(self).__name__, logger, on_error)
        self._last: AudioFrame | None = None

    async def recv(self) -> AudioFrame:
        """Returns the next frame.

        Raises:
            MediaStreamError: the source has ended and all samples were delivered, or this track was stopped.
        """
        if self.readyState != "live":
            raise MediaStreamError
        try:
            frame = await self._track.recv()
        except MediaStreamError:
            return self._tail()
        self._last = frame
        return _frame_like(frame, self._stream.process(_samples(frame), frame.sample_rate), frame.pts)

    def _tail(self) -> AudioFrame:
        """Returns the frame after the source's last one; ends the track."""
        self.stop()
        last, rest = self._last, self._stream.flush()
        if last is None or len(rest) == 0:
            raise MediaStreamError
        return _frame_like(last, rest, None if last.pts is None else last.pts + _ticks(last))


def _samples(frame: AudioFrame) -> I16:
    """Returns the samples of a frame, `(n,)` or `(n, channels)`."""
    if frame.format.name not in ("s16", "s16p"):
        (frame,) = AudioResampler(format="s16").resample(frame)  # the format only
    array, channels = frame.to_ndarray(), len(frame.layout.channels)
    samples: I16 = array.T if frame.format.is_planar else array.reshape(-1, channels)
    return samples[:, 0] if channels == 1 else samples


def _frame_like(frame: AudioFrame, samples: I16, pts: int | None) -> AudioFrame:
    made = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=frame.layout.name)
    made.sample_rate, made.pts, made.time_base = frame.sample_rate, pts, frame.time_base
    return made


def _ticks(frame: AudioFrame) -> int:
    """Returns the length of a frame in units of its time base."""
    base = frame.time_base
    ticks: int = frame.samples
    return ticks if base is None else round(ticks * base.denominator / (frame.sample_rate * base.numerator))
