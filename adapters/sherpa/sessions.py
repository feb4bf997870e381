"""Recognition sessions: one signal through a pipeline, with a uniform interface for all kinds of recognisers.

A session accepts samples, lists streams that are ready to be decoded, and converts results into segments. Decoding
itself is left to `decode`, which batches many sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.sherpa.results import Segment, segment_of, text_of
from gtcrn_frontend.adapters.sherpa.transcriber import BATCH_SIZE, SHORTEST_S, finish_online
from gtcrn_frontend.adapters.sherpa.vad_config import SAMPLE_RATE as VAD_RATE
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk
from gtcrn_frontend.errors import ModelError


class Session(Protocol):
    """One signal, from its first sample to its last."""

    def accept_waveform(self, samples: npt.ArrayLike) -> None:
        """Takes samples `(n,)`: floats in [-1, 1] or int16; raises `AudioFormatError` for other input."""

    def input_finished(self) -> None:
        """Marks the end of the input."""

    def ready(self) -> Sequence[Any]:
        """Returns the streams that are ready for one decoding step."""

    def collect(self) -> Iterator[Segment]:
        """Returns new segments, after the ready streams have been decoded."""

    def conclude(self) -> Iterator[Segment]:
        """Returns the last segment, once, when the input is finished and no stream is ready."""


def decode(recognizer: Any, sessions: Sequence[Session]) -> list[list[Segment]]:
    """Decodes all ready streams in batches; returns the new segments of each session.

    Args:
        recognizer: sherpa-onnx recogniser of the sessions' streams.
        sessions: any number.

    Raises:
        ModelError: sherpa-onnx fails, for example because model, tokens and settings do not match.
    """
    segments: list[list[Segment]] = [[] for _ in sessions]
    while ready := {i: streams for i, session in enumerate(sessions) if (streams := session.ready())}:
        streams = [stream for each in ready.values() for stream in each]
        with _as_model_error():
            for start in range(0, len(streams), BATCH_SIZE):
                recognizer.decode_streams(streams[start : start + BATCH_SIZE])
            for i in ready:
                segments[i] += sessions[i].collect()
    for found, session in zip(segments, sessions, strict=True):
        found += session.conclude()
    return segments


class OnlineSession:
    """Session of an `OnlineRecognizer`: partial results as audio arrives, final ones at endpoints and at the end."""

    def __init__(self, recognizer: Any, stream: Any, sample_rate: int) -> None:
        self._recognizer = recognizer
        self._stream = stream
        self._sample_rate = sample_rate
        self._samples = 0
        self._index = 0
        self._partial = ""
        self._is_finished = self._is_padded = self._is_concluded = False

    def accept_waveform(self, samples: npt.ArrayLike) -> None:
        """See `Session`."""
        checked, _ = check_chunk(samples)
        self._samples += len(checked)
        self._stream.accept_waveform(self._sample_rate, checked)

    def input_finished(self) -> None:
        """See `Session`."""
        self._is_finished = True

    def ready(self) -> Sequence[Any]:
        """See `Session`."""
        if self._is_finished and not self._is_padded and not self._recognizer.is_ready(self._stream):
            finish_online(self._recognizer, self._stream, self._sample_rate)
            self._is_padded = True
        return [self._stream] if self._recognizer.is_ready(self._stream) else []

    def collect(self) -> Iterator[Segment]:
        """See `Session`."""
        if self._recognizer.is_endpoint(self._stream):
            yield from self._final()
            self._recognizer.reset(self._stream)
            return
        result = self._recognizer.get_result_all(self._stream)
        text = text_of(result)
        if text and text != self._partial:
            self._partial = text
            yield self._segment(result, is_final=False)

    def conclude(self) -> Iterator[Segment]:
        """See `Session`."""
        if self._is_finished and not self._is_concluded:
            self._is_concluded = True
            yield from self._final()

    def _final(self) -> Iterator[Segment]:
        result = self._recognizer.get_result_all(self._stream)
        self._partial = ""
        if text_of(result):
            yield self._segment(result, is_final=True)
            self._index += 1

    def _segment(self, result: Any, *, is_final: bool) -> Segment:
        duration_s = self._samples / self._sample_rate
        return segment_of(result, self._index, offset_s=result.start_time, duration_s=duration_s, is_final=is_final)


class OfflineSession:
    """Session of an `OfflineRecognizer` without VAD: buffers all audio and returns one segment at the end."""

    def __init__(self, create_stream: Callable[[], Any], sample_rate: int) -> None:
        self._create_stream = create_stream
        self._sample_rate = sample_rate
        self._chunks: list[F32] = []
        self._duration_s = 0.0
        self._streams: list[Any] = []

    def accept_waveform(self, samples: npt.ArrayLike) -> None:
        """See `Session`."""
        checked, _ = check_chunk(samples)
        self._chunks.append(checked.copy())  # the caller may reuse its buffer

    def input_finished(self) -> None:
        """See `Session`."""
        samples = np.concatenate([np.empty(0, np.float32), *self._chunks])
        self._duration_s = len(samples) / self._sample_rate
        self._chunks.clear()
        if self._duration_s >= SHORTEST_S:
            self._streams = [self._create_stream()]
            self._streams[0].accept_waveform(self._sample_rate, samples)

    def ready(self) -> Sequence[Any]:
        """See `Session`."""
        return self._streams

    def collect(self) -> Iterator[Segment]:
        """See `Session`."""
        result = self._streams.pop().result
        if text_of(result):
            yield segment_of(result, 0, offset_s=0.0, duration_s=self._duration_s)

    def conclude(self) -> Iterator[Segment]:
        """See `Session`."""
        yield from ()


class VadSession:
    """Session of an `OfflineRecognizer` behind a `VoiceActivityDetector`: one segment per VAD segment.

    Args:
        create_stream: the recogniser's `create_stream`, without front-end.
        vad: detector wrapped by `with_frontend`, for input at `sample_rate`; its route selects the recogniser's input.
        sample_rate: of the input in Hz.
    """

    def __init__(self, create_stream: Callable[[], Any], vad: Any, sample_rate: int) -> None:
        self._create_stream = create_stream
        self._vad = vad
        self._sample_rate = sample_rate
        self._samples = 0
        self._index = 0
        self._speech: list[tuple[Any, tuple[float, float]]] = []  # streams, with start and end

    def accept_waveform(self, samples: npt.ArrayLike) -> None:
        """See `Session`."""
        checked, _ = check_chunk(samples)
        self._samples += len(checked)
        with _as_model_error():
            self._vad.accept_waveform(checked)
        self._take_speech()

    def input_finished(self) -> None:
        """See `Session`."""
        with _as_model_error():
            self._vad.flush()
        self._take_speech()

    def ready(self) -> Sequence[Any]:
        """See `Session`."""
        return [stream for stream, _ in self._speech]

    def collect(self) -> Iterator[Segment]:
        """See `Session`."""
        duration_s = self._samples / self._sample_rate
        for stream, (start_s, end_s) in self._speech:
            if text_of(stream.result):
                bounds_s = start_s, end_s
                yield segment_of(stream.result, self._index, offset_s=start_s, duration_s=duration_s, bounds_s=bounds_s)
                self._index += 1
        self._speech.clear()

    def conclude(self) -> Iterator[Segment]:
        """See `Session`."""
        yield from ()

    def _take_speech(self) -> None:
        while not self._vad.empty():
            speech = self._vad.front
            stream = self._create_stream()
            stream.accept_waveform(VAD_RATE, speech.waveform)
            start_s = speech.start / VAD_RATE
            self._speech.append((stream, (start_s, start_s + len(speech.waveform) / VAD_RATE)))
            self._vad.pop()


@contextmanager
def _as_model_error() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, IndexError) as error:  # from ONNX Runtime, and for a token missing from tokens.txt
        hint = "do model, tokens and settings belong together?"
        raise ModelError(f"sherpa-onnx fails on this audio: {error}: {hint}") from error
