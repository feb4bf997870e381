"""Output formats of segments: text, JSON lines, SubRip subtitles."""

from __future__ import annotations

import dataclasses
import json

from gtcrn_frontend.adapters.sherpa.results import Segment


def text_line(segment: Segment, name: str = "") -> str:
    """Returns times and text on one line; a partial result has three dots after its times.

    >>> text_line(Segment(0, "seven three", 0.36, 1.04))
    '   0.36 -    1.04      seven three'
    """
    mark = "   " if segment.is_final else "..."
    prefix = f"{name}: " if name else ""
    return f"{prefix}{segment.start_s:7.2f} - {segment.end_s:7.2f}  {mark} {segment.text}"


def json_line(segment: Segment, name: str = "") -> str:
    """Returns all fields of a segment as one line of JSON."""
    source = {"file": name} if name else {}
    return json.dumps(source | dataclasses.asdict(segment), ensure_ascii=False)


def srt_block(segment: Segment) -> str:
    """Returns a segment as a block of a SubRip file: number, times, text, an empty line.

    >>> print(srt_block(Segment(0, "seven three", 0.36, 3723.5)))
    1
    00:00:00,360 --> 01:02:03,500
    seven three
    <BLANKLINE>
    """
    return f"{segment.index + 1}\n{_srt_time(segment.start_s)} --> {_srt_time(segment.end_s)}\n{segment.text}\n"


def _srt_time(time_s: float) -> str:
    seconds, milliseconds = divmod(round(1000 * time_s), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02},{milliseconds:03}"
