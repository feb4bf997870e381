"""Transcripts on stdout as they come: line by line, or two pipelines side by side."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

from tqdm import tqdm

from gtcrn_frontend.adapters.sherpa.file_transcription import HEADINGS, WIDTH, side_by_side
from gtcrn_frontend.adapters.sherpa.formats import json_line, srt_block, text_line
from gtcrn_frontend.adapters.sherpa.results import Segment


class Lines:
    """Prints each result as it comes; see `TranscriptSink`.

    Args:
        form: `text`, `json` or `srt`.
        only_final: leave out partial results; `srt` always does.
        with_names: begin lines of text with the name of the file; `json` always has it.
    """

    def __init__(self, form: str, *, only_final: bool, with_names: bool) -> None:
        self._form = form
        self._only_final = only_final or form == "srt"
        self._with_names = with_names

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """See `TranscriptSink`."""
        if not segment.is_final and self._only_final:
            return
        if self._form == "text":
            _print(text_line(segment, name if self._with_names else ""))
        else:
            _print(json_line(segment, name) if self._form == "json" else srt_block(segment))

    def end(self, name: str) -> None:
        """See `TranscriptSink`."""


class Comparison:
    """Prints the final results of two pipelines side by side, file by file; see `TranscriptSink`.

    Args:
        form: `text` for two columns, or `json` for a line with two lists.
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._segments: dict[str, tuple[list[Segment], list[Segment]]] = {}

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """See `TranscriptSink`."""
        if segment.is_final:
            self._segments.setdefault(name, ([], []))[pipeline].append(segment)

    def end(self, name: str) -> None:
        """See `TranscriptSink`."""
        both = self._segments.pop(name, ([], []))
        if self._form == "json":
            lists = ([dataclasses.asdict(segment) for segment in segments] for segments in both)
            keys = (heading.replace(" ", "_").replace("-", "") for heading in HEADINGS)
            _print(json.dumps({"file": name, **dict(zip(keys, lists, strict=True))}, ensure_ascii=False))
            return
        for line in side_by_side(name, *both, shutil.get_terminal_size((WIDTH, 24)).columns):
            _print(line)


def _print(line: str) -> None:
    """Prints a line at once, above the progress bar if there is one."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()
