"""What a pipeline heard: segments of text, with times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gtcrn_frontend.adapters.sherpa.transcriber import confidence_of

TOKEN_S = 0.24
"""How long a token is taken to last where the recogniser says only when it began."""


@dataclass(frozen=True)
class Segment:
    """A stretch of speech between two endpoints, or of a voice activity detector, or a whole file.

    Attributes:
        index: number of the segment, from 0; a partial result has that of the final one to come.
        text: what was heard, with single spaces between words; never empty.
        start_s: when it begins, in seconds of the audio.
        end_s: when it ends. Without a detector, shortly after its last token.
        tokens: the units that the text was put together from.
        timestamps: when each token begins, in seconds of the audio; empty where the model does not say.
        confidence: mean probability per token, from 0 to 1; None where the model does not say.
        is_final: whether it is over; a partial result may change yet.
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
    """What was heard in a whole signal: final segments, and the length of the signal."""

    segments: tuple[Segment, ...]
    duration_s: float

    @property
    def text(self) -> str:
        """All segments, with single spaces between them."""
        return " ".join(segment.text for segment in self.segments)


def text_of(result: Any) -> str:
    """Returns the text of a result of sherpa-onnx, with single spaces between words."""
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
    """Returns a result of sherpa-onnx as a segment.

    Args:
        result: of an online or offline recogniser.
        index: of the segment.
        offset_s: where the audio that the recogniser heard begins in the audio.
        duration_s: of the audio so far; nothing ends later.
        bounds_s: where the segment begins and ends, if that is known; else the tokens say, or it is all the audio.
        is_final: see `Segment`.
    """
    timestamps = tuple(min(offset_s + time_s, duration_s) for time_s in result.timestamps)
    start_s, end_s = bounds_s or _spanned(timestamps, getattr(result, "durations", ())) or (offset_s, duration_s)
    return Segment(
        index,
        text_of(result),
        round(start_s, 3),
        round(min(end_s, duration_s), 3),
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
