"""`FrontendVad`: sherpa-onnx's VAD with an enhancer; enhanced or raw audio for detection and for segments."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.fail_open import FailOpenEnhancer, OnError
from gtcrn_frontend.adapters.sherpa.streams import EnhancerControls, as_float32, new_enhancer
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.streaming.mixer import AlignedChunk

DEFAULT_ROUTE = "enhanced_to_both"
ROUTES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        DEFAULT_ROUTE: ("mixed", "mixed"),
        "enhanced_to_vad_raw_to_asr": ("mixed", "dry"),
        "enhanced_to_vad_mixed_to_asr": ("enhanced", "mixed"),
        "raw_to_vad_enhanced_to_asr": ("dry", "mixed"),
        "raw_to_both": ("dry", "dry"),
    }
)
"""Routes: the signal of an `AlignedChunk` for detection, and the one for the segments.

"Enhanced" means at the strength that is set; only in the route with "mixed" is detection at full strength.
"""

_LOOK_BACK_S = 1.0
"""Samples to keep beyond the minimum speech duration, for segments that begin before the last sample: more than three
windows of any detector; two are needed."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A speech segment, like sherpa-onnx's `SpeechSegment`.

    Attributes:
        start: index of its first sample since the detector's reset.
        waveform: float32 `(n,)`, at the detector's rate.
    """

    start: int
    waveform: F32

    @property
    def samples(self) -> list[float]:
        """The waveform as a list, as `SpeechSegment` has it."""
        samples: list[float] = self.waveform.tolist()
        return samples


class FrontendVad(EnhancerControls):
    """A `VoiceActivityDetector` that enhances its input; otherwise delegates to the host.

    Segment bounds come from the detector; the samples are those of the route's signal, aligned to the sample. The
    detector receives one window at a time, so that its decisions do not depend on the chunking.

    Args:
        host: the detector.
        template: source of the settings and of the current strength and bypass. Its `sample_rate` is that of the input;
            None: the detector's.
        route: a key of `ROUTES`.
        on_error: after an internal error, `pass` the input on until `flush` or `reset`, or `raise` the exception.

    Raises:
        ConfigError: the template's output is not at the detector's rate; or its input is not, with `pass`.
    """

    __slots__ = (
        "__weakref__",
        "_enhancer",
        "_host",
        "_look_back_samples",
        "_recent",
        "_route",
        "_samples_fed",
        "_segments",
        "_window_size",
    )

    def __init__(self, host: Any, template: Enhancer, route: str, on_error: OnError = "raise") -> None:
        rate = host.config.sample_rate
        if template.config.output_sample_rate not in (None, rate):
            raise ConfigError(
                f"expected output_sample_rate to be that of the detector, {rate} Hz, or none, got "
                f"{template.config.output_sample_rate} Hz"
            )
        if on_error == "pass" and template.config.sample_rate not in (None, rate):
            raise ConfigError(
                f"expected input at the detector's {rate} Hz with on_error='pass', got {template.config.sample_rate} "
                "Hz: resample it, since the detector must be able to take it unfiltered"
            )
        model = host.config.silero_vad if host.config.silero_vad.model else host.config.ten_vad
        self._host = host
        self._route = route
        self._on_error = on_error
        self._use(new_enhancer(template, template.config.sample_rate or rate, rate))
        self._window_size = model.window_size
        self._look_back_samples = int((model.min_speech_duration + _LOOK_BACK_S) * rate)
        self._begin()

    @property
    def failed(self) -> bool:
        """Whether the detector receives the input, as the enhancer has failed: with `on_error="pass"`."""
        return isinstance(self._processor, FailOpenEnhancer) and self._processor.failed

    @property
    def front(self) -> Segment:
        """The first queued segment.

        Raises:
            IndexError: the queue is empty.
        """
        self._check_not_empty()
        return self._segments[0]

    @property
    def current_segment(self) -> Segment:
        """The speech in progress; without samples and with start -1 if there is none."""
        segment = self._host.current_segment
        if segment.start < 0:
            return Segment(segment.start, np.empty(0, np.float32))
        return self._segment(segment)

    def accept_waveform(self, samples: npt.ArrayLike) -> None:
        """Enhances samples and passes those that are complete to the detector.

        Args:
            samples: `(n,)`, n >= 0: floats in [-1, 1], also in a list, or int16, which is scaled to that.

        Raises:
            AudioFormatError: the samples cannot be processed. The detector is unchanged.
        """
        self._hear(self._processor.process_aligned(as_float32(samples, self._enhancer)))

    def flush(self) -> None:
        """Flushes the enhancer and ends the speech in progress."""
        self._hear(self._processor.flush_aligned())
        self._host.flush()
        self._collect()

    def reset(self) -> None:
        """Resets detector and enhancer; buffered audio and queued segments are lost."""
        self._host.reset()
        self._processor.reset()
        self._begin()

    def empty(self) -> bool:
        """Whether the queue of segments is empty."""
        return not self._segments

    def pop(self) -> None:
        """Removes the first queued segment.

        Raises:
            IndexError: the queue is empty.
        """
        self._check_not_empty()
        self._segments.popleft()

    def __getattr__(self, name: str) -> Any:
        """Delegates to the host."""
        if name.startswith("_"):  # own attributes that are not set yet: copying looks them up before `__init__`
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._host, name)

    def __repr__(self) -> str:
        return f"<{type(self._host).__name__} with {self._enhancer!r}, {self._route}>"

    def _begin(self) -> None:
        self._samples_fed = 0  # samples passed to the detector
        self._recent = _Recent()
        self._segments: deque[Segment] = deque()

    def _hear(self, chunk: AlignedChunk) -> None:
        to_vad, to_asr = ROUTES[self._route]
        if self.bypass and to_vad == "enhanced":
            to_vad = "mixed"  # which is the input
        heard: F32 = getattr(chunk, to_vad)
        self._recent.append(getattr(chunk, to_asr))
        for begin in range(0, len(heard), self._window_size):
            # At most one window per call: the detector makes a single decision for all windows of a call.
            self._host.accept_waveform(heard[begin : begin + self._window_size])
            self._collect()
        self._samples_fed += len(heard)
        if not self._host.is_speech_detected():
            self._recent.drop_before(self._samples_fed - self._look_back_samples)

    def _collect(self) -> None:
        while not self._host.empty():
            self._segments.append(self._segment(self._host.front))
            self._host.pop()

    def _segment(self, segment: Any) -> Segment:
        return Segment(segment.start, self._recent.read(segment.start, len(segment.samples)))

    def _check_not_empty(self) -> None:
        if not self._segments:
            raise IndexError("expected a queued segment, got none: check empty() first")


class _Recent:
    """A buffer of the last samples of a signal, addressed by absolute index."""

    def __init__(self) -> None:
        self._chunks: deque[F32] = deque()
        self._start = 0

    def append(self, chunk: F32) -> None:
        if len(chunk):
            self._chunks.append(chunk)

    def drop_before(self, sample: int) -> None:
        """Discards whole chunks before a sample."""
        while self._chunks and self._start + len(self._chunks[0]) <= sample:
            self._start += len(self._chunks.popleft())

    def read(self, start: int, count: int) -> F32:
        """Returns `count` samples from index `start` on."""
        first = start - self._start
        return np.concatenate(self._chunks)[first : first + count].copy()
