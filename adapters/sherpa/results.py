"""Recognition results: text segments with times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gtcrn_frontend.adapters.sherpa.transcriber import confidence_of

TOKEN_S = 0.24
"""Assumed duration of a token, for recognisers that report only start times."""


@dataclass(frozen=True)
class Segment:
    """Transcribed speech between two endpoints, from a VAD segment, or of a complete file.

    Attributes:
        index: number of the segment, from 0; partial results have that of the final one.
        text: transcript, with single spaces between words; never empty.
        start_s: start time in seconds of the audio.
        end_s: end time; without a VAD, shortly after the last token. At least `TOKEN_S` later, or the whole audio.
        tokens: tokens of the text.
        timestamps: start of each token in seconds of the audio; empty if the model does not report it.
        confidence: mean probability per token, from 0 to 1; None if the model does not report it.
        is_final: whether the result is final; partial results may change.
    """

    index: int
    text: str
    start_s: float
    end_s: float
    tokens: tuple[str, ...] = ()
    timestamps: tuple[float, ...] = ()
    confidence: float | None = None
    is_final: bool = True


@dataclass(frozen=True)
class Result:
    """Result for a complete signal: final segments and the duration of the signal."""

    segments: tuple[Segment, ...]
    duration_s: float

    @property
    def text(self) -> str:
        """The text of all segments, joined by single spaces."""
        return " ".join(segment.text for segment in self.segments)


def text_of(result: Any) -> str:
    """Returns the text of a sherpa-onnx result, with single spaces between words."""
    return " ".join(result.text.split())


def segment_of(
    result: Any,
    index: int,
    *,
    offset_s: float,
    duration_s: float,
    bounds_s: tuple[float, float] | None = None,
    is_final: bool = True,
) -> Segment:
    """Converts a sherpa-onnx result to a segment.

    Args:
        result: of an online or offline recogniser.
        index: of the segment.
        offset_s: start of the recogniser's input within the audio.
        duration_s: duration of the audio so far, upper limit of the end time.
        bounds_s: start and end of the segment, if known; else they come from the tokens, or span all the audio.
        is_final: see `Segment`.
    """
    timestamps = tuple(min(offset_s + time_s, duration_s) for time_s in result.timestamps)
    start_s, end_s = bounds_s or _spanned(timestamps, getattr(result, "durations", ())) or (offset_s, duration_s)
    end_s = min(end_s, duration_s)
    # A token in the last frames is reported at the end of the audio: such a segment would last no time.
    start_s = min(start_s, max(0.0, end_s - TOKEN_S))
    return Segment(
        index,
        text_of(result),
        round(start_s, 3),
        round(end_s, 3),
        tuple(result.tokens),
        tuple(round(time_s, 3) for time_s in timestamps),
        confidence_of(result),
        is_final,
    )


def _spanned(timestamps: Sequence[float], durations: Sequence[float]) -> tuple[float, float] | None:
    if not timestamps:
        return None
    last_s = durations[-1] if len(durations) == len(timestamps) else TOKEN_S
    return timestamps[0], timestamps[-1] + last_s
