"""Results on stdout: line by line, or two pipelines side by side."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sys
import textwrap
from typing import Protocol

import numpy as np
from tqdm import tqdm

from gtcrn_frontend.adapters.sherpa.formats import json_line, srt_block, text_line
from gtcrn_frontend.adapters.sherpa.results import Segment
from gtcrn_frontend.audio.io import Samples
from gtcrn_frontend.audio.validation import INT16_SCALE

HEADINGS = ("with front-end", "without front-end")


class Show(Protocol):
    """Where results go."""

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """Takes a result of the file `name` by the pipeline with that number."""

    def end(self, name: str) -> None:
        """Takes notice that there is no more of the file `name`."""


class Lines:
    """Prints each result as it comes.

    Args:
        form: `text`, `json` or `srt`.
        only_final: leave partial results out; `srt` always does.
        with_names: begin lines of text with the name of the file; `json` always has it.
    """

    def __init__(self, form: str, *, only_final: bool, with_names: bool) -> None:
        self._form = form
        self._only_final = only_final or form == "srt"
        self._with_names = with_names

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """See `Show`."""
        if not segment.is_final and self._only_final:
            return
        if self._form == "text":
            say(text_line(segment, name if self._with_names else ""))
        else:
            say(json_line(segment, name) if self._form == "json" else srt_block(segment))

    def end(self, name: str) -> None:
        """See `Show`."""


class Comparison:
    """Prints the final results of two pipelines beside each other, file by file.

    Args:
        form: `text` for two columns, or `json` for a line with two lists.
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._segments: dict[str, tuple[list[Segment], list[Segment]]] = {}

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """See `Show`."""
        if segment.is_final:
            self._segments.setdefault(name, ([], []))[pipeline].append(segment)

    def end(self, name: str) -> None:
        """See `Show`."""
        both = self._segments.pop(name, ([], []))
        if self._form == "json":
            lists = ([dataclasses.asdict(segment) for segment in segments] for segments in both)
            keys = (heading.replace(" ", "_").replace("-", "") for heading in HEADINGS)
            say(json.dumps({"file": name, **dict(zip(keys, lists, strict=True))}, ensure_ascii=False))
            return
        width = (shutil.get_terminal_size((120, 24)).columns - 3) // 2
        left, right = ([heading, *_wrapped(segments, width)] for heading, segments in zip(HEADINGS, both, strict=True))
        say(name)
        for cells in itertools.zip_longest(left, right, fillvalue=""):
            say(f"{cells[0]:{width}} | {cells[1]}".rstrip())


def say(line: str) -> None:
    """Prints a line on stdout at once, above the progress bar if there is one."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def mono(samples: Samples) -> Samples:
    """Returns samples `(n,)` or `(n, channels)` as float32 `(n,)`, channels averaged, integers scaled to [-1, 1]."""
    scaled = samples.astype(np.float32) / np.float32(INT16_SCALE) if samples.dtype == np.int16 else samples
    return scaled if scaled.ndim == 1 else scaled.mean(axis=1, dtype=np.float32)


def _wrapped(segments: list[Segment], width: int) -> list[str]:
    lines = (f"{segment.start_s:7.2f} - {segment.end_s:7.2f}  {segment.text}" for segment in segments)
    return [piece for line in lines for piece in textwrap.wrap(line, width, subsequent_indent=" " * 19)]
