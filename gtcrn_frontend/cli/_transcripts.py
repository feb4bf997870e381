"""Transcripts on stdout as they come, line by line or two pipelines side by side, and in files."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from gtcrn_frontend.adapters.sherpa import formats
from gtcrn_frontend.adapters.sherpa.file_transcription import HEADINGS, WIDTH, side_by_side
from gtcrn_frontend.adapters.sherpa.results import Segment
from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.cli._file_plan import is_folder
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import json_line_of

SUFFIXES = {"text": ".txt", "json": ".jsonl", "srt": ".srt", "vtt": ".vtt"}


def form_of(output: str) -> str:
    """Returns the format that the suffix of an output stands for; `text` for any other suffix."""
    suffix = Path(output).suffix.lower()
    return next((form for form, known in SUFFIXES.items() if suffix in (known, f".{form}")), "text")


def transcript_files(inputs: Sequence[str], output: str, form: str, *, overwrite: bool) -> dict[str, Path]:
    """Returns the file to write for each input.

    Args:
        inputs: audio files, or what stands for a live stream.
        output: a file for one input, else a folder, which is created.
        form: format, whose suffix files in a folder get.
        overwrite: whether files may exist.

    Raises:
        ConfigError: a file exists, two inputs would go to the same one, or the output is a file and should be a folder.
    """
    target = Path(output)
    if len(inputs) == 1 and not is_folder(output):
        files = {inputs[0]: target}
    elif target.exists() and not target.is_dir():
        raise ConfigError(f"expected a folder for several transcripts, got the file {output}")
    else:
        files = {name: target / f"{Path(name).stem}{SUFFIXES[form]}" for name in inputs}
    sources: dict[Path, str] = {}
    for name, path in files.items():
        if sources.setdefault(path, name) != name:
            raise ConfigError(f"{sources[path]} and {name} have the same output {path}: transcribe them separately")
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists: give --force to replace it")
        path.parent.mkdir(parents=True, exist_ok=True)
    return files


class Lines:
    """Prints each result as it comes; see `TranscriptSink`.

    Args:
        form: one of `formats.FORMS`.
        only_final: leave out partial results; subtitles always do.
        with_names: begin lines of text with the name of the file; `json` always has it.
    """

    def __init__(self, form: str, *, only_final: bool, with_names: bool) -> None:
        self._form = form
        self._only_final = only_final or form in ("srt", "vtt")
        self._with_names = with_names
        if form in formats.HEADINGS:
            _print(formats.HEADINGS[form])

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """See `TranscriptSink`."""
        if not segment.is_final and self._only_final:
            return
        has_name = self._form == "json" or self._with_names
        _print(formats.segment_lines(self._form, segment, name if has_name else ""))

    def end(self, name: str, error: str = "") -> None:
        """See `TranscriptSink`."""


class TranscriptFiles:
    """Writes the final results of each input to a file of its own once it is complete; see `TranscriptSink`.

    Args:
        form: one of `formats.FORMS`.
        files: to write, by the name of the input.
    """

    def __init__(self, form: str, files: Mapping[str, Path]) -> None:
        self._form, self._files = form, files
        self._segments: dict[str, list[Segment]] = {}

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """See `TranscriptSink`."""
        if segment.is_final:
            self._segments.setdefault(name, []).append(segment)

    def end(self, name: str, error: str = "") -> None:
        """See `TranscriptSink`; of an input that failed there is no file."""
        segments = self._segments.pop(name, [])
        if not error:
            write_text(self._files[name], formats.transcript(self._form, segments, name))


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

    def end(self, name: str, error: str = "") -> None:
        """See `TranscriptSink`."""
        both = self._segments.pop(name, ([], []))
        if self._form == "json":
            lists = ([dataclasses.asdict(segment) for segment in segments] for segments in both)
            keys = (heading.replace(" ", "_").replace("-", "") for heading in HEADINGS)
            _print(json_line_of({"file": name, **dict(zip(keys, lists, strict=True))}))
            return
        for line in side_by_side(name, *both, shutil.get_terminal_size((WIDTH, 24)).columns):
            _print(line)


def _print(line: str) -> None:
    """Prints a line at once, above the progress bar if there is one."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()
