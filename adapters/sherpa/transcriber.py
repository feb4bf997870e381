"""`SherpaRecognizer`: a sherpa-onnx recogniser with this package's `Recognizer` interface."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.validation import check_chunk
from gtcrn_frontend.evaluation.asr.recognizer import Transcript

F32 = npt.NDArray[np.float32]

BATCH_SIZE = 16
SHORTEST_S = 0.03
"""Minimum duration: shorter audio has no 25 ms feature frame, and models differ in how they fail."""

# The minimum covers the model's delay after a chunk; chunks of published models take up to 1.4 s.
_LEAST_PADDING_S, _MOST_PADDING_S, _PADDING_STEP_S = 0.6, 4.0, 0.2


class SherpaRecognizer:
    """Transcribes whole utterances with an `OnlineRecognizer` or `OfflineRecognizer`, bare or with a front-end.

    Examples:
        >>> recognizer = SherpaRecognizer(sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(...))  # doctest: +SKIP
        >>> recognizer(samples, 16000).text  # doctest: +SKIP
        'seven three one'

    Endpoints are ignored: an utterance gives one transcript, however long its pauses. The confidence is the geometric
        mean of the token probabilities if the model reports log probabilities, else None.

    Args:
        recognizer: a sherpa-onnx recogniser, or one wrapped by `with_frontend`.
    """

    def __init__(self, recognizer: Any) -> None:
        self._recognizer = recognizer
        self._is_online = is_online(recognizer)

    def __call__(self, samples: F32, sample_rate: int) -> Transcript:
        """Returns the transcript of samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        return self.transcribe_many([samples], sample_rate)[0]

    def transcribe_many(
        self, signals: Sequence[F32], sample_rate: int, *, batch_size: int = BATCH_SIZE
    ) -> list[Transcript]:
        """Returns a transcript for each signal, decoded in batches of similar length.

        Args:
            signals: `(n,) float32` in [-1, 1] each, of any length.
            sample_rate: of all of them, in Hz.
            batch_size: signals decoded at a time, >= 1.
        """
        # Offline batches are padded to the longest signal: similar lengths waste least and are affected least.
        order = sorted(range(len(signals)), key=lambda i: len(signals[i]))
        long_enough = [i for i in order if len(signals[i]) >= SHORTEST_S * sample_rate]
        transcripts = [Transcript("", confidence=None) for _ in signals]
        for start in range(0, len(long_enough), batch_size):
            batch = long_enough[start : start + batch_size]
            decoded = self._decode([signals[i] for i in batch], sample_rate)
            for i, transcript in zip(batch, decoded, strict=True):
                transcripts[i] = transcript
        return transcripts

    def _decode(self, signals: Iterable[F32], sample_rate: int) -> list[Transcript]:
        recognizer, streams = self._recognizer, []
        for samples in signals:
            checked, _ = check_chunk(samples)
            streams.append(recognizer.create_stream())
            streams[-1].accept_waveform(sample_rate, checked)
        if not self._is_online:
            recognizer.decode_streams(streams)
            return [_transcript(stream.result) for stream in streams]
        self._decode_ready(streams)
        for stream in streams:
            finish_online(recognizer, stream, sample_rate)
        self._decode_ready(streams)
        return [_transcript(recognizer.get_result_all(stream)) for stream in streams]

    def _decode_ready(self, streams: Sequence[Any]) -> None:
        while ready := [stream for stream in streams if self._recognizer.is_ready(stream)]:
            self._recognizer.decode_streams(ready)


def is_online(recognizer: Any) -> bool:
    """Whether a sherpa-onnx recogniser is streaming (online)."""
    return hasattr(recognizer, "is_ready")


def finish_online(recognizer: Any, stream: Any, sample_rate: int) -> None:
    """Ends the input of an online stream, after enough silence for all of its audio to be decoded.

    Recognisers decode whole chunks only, and the last one extends beyond the end of the audio.

    Args:
        recognizer: of sherpa-onnx, or what `with_frontend` made of one.
        stream: one of its streams that is not ready, so that less than a chunk is left to decode.
        sample_rate: of its audio in Hz.
    """
    padded_s = 0.0
    while padded_s < _LEAST_PADDING_S or (padded_s < _MOST_PADDING_S and not recognizer.is_ready(stream)):
        stream.accept_waveform(sample_rate, np.zeros(round(_PADDING_STEP_S * sample_rate), np.float32))
        padded_s += _PADDING_STEP_S
    stream.input_finished()


def confidence_of(result: Any) -> float | None:
    """Returns the geometric mean of the probabilities of a result's tokens, 0 to 1; None where there are none."""
    log_probs = getattr(result, "ys_probs", None) or getattr(result, "ys_log_probs", None)
    return math.exp(min(0.0, math.fsum(log_probs) / len(log_probs))) if log_probs else None


def _transcript(result: Any) -> Transcript:
    return Transcript(" ".join(result.text.split()), tuple(result.tokens), confidence_of(result))
