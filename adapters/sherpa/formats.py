"""Output formats of segments: text, JSON lines, SubRip and WebVTT subtitles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gtcrn_frontend.adapters.sherpa.results import Segment
from gtcrn_frontend.parsing import json_line_of

FORMS = ("text", "json", "srt", "vtt")
HEADINGS = {"vtt": "WEBVTT\n"}
"""What stands before the first segment."""


def segment_lines(form: str, segment: Segment, name: str = "") -> str:
    """Returns a segment in one of `FORMS`, without the last line break; text and JSON have the name of the file."""
    if form == "json":
        return json_line(segment, name)
    return text_line(segment, name) if form == "text" else {"srt": srt_block, "vtt": vtt_block}[form](segment)


def transcript(form: str, segments: Sequence[Segment], name: str) -> str:
    """Returns the content of a file in one of `FORMS`."""
    lines = [HEADINGS[form]] if form in HEADINGS else []
    lines += [segment_lines(form, segment, name if form == "json" else "") for segment in segments]
    return "".join(f"{line}\n" for line in lines)


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
    return json_line_of(({"file": name} if name else {}) | dataclasses.asdict(segment))


def srt_block(segment: Segment) -> str:
    """Returns a segment as a block of a SubRip file: number, times, text, an empty line.

    >>> print(srt_block(Segment(0, "seven three", 0.36, 3723.5)))
    1
    00:00:00,360 --> 01:02:03,500
    seven three
    <BLANKLINE>
    """
    return f"{segment.index + 1}\n{_time(segment.start_s, ',')} --> {_time(segment.end_s, ',')}\n{segment.text}\n"


def vtt_block(segment: Segment) -> str:
    """Returns a segment as a cue of a WebVTT file: times, text, an empty line.

    >>> print(vtt_block(Segment(0, "R & B", 0.36, 3723.5)))
    00:00:00.360 --> 01:02:03.500
    R &amp; B
    <BLANKLINE>
    """
    text = segment.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{_time(segment.start_s, '.')} --> {_time(segment.end_s, '.')}\n{text}\n"


def _time(time_s: float, point: str) -> str:
    seconds, milliseconds = divmod(round(1000 * time_s), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"
