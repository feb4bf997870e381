"""`transcribe`: audio files through a pipeline of front-end and recogniser, several at a time."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gtcrn_frontend.adapters.sherpa.formats import text_line
from gtcrn_frontend.adapters.sherpa.pipeline import Pipeline, load_pipeline
from gtcrn_frontend.adapters.sherpa.results import Segment
from gtcrn_frontend.adapters.sherpa.sessions import Session
from gtcrn_frontend.audio.io import Samples, open_audio, read_blocks
from gtcrn_frontend.audio.validation import INT16_SCALE
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.evaluation.progress import LoggedProgress, Progress

HEADINGS = ("with front-end", "without front-end")
WIDTH = 120
"""Characters in a line of two results side by side."""


@dataclass(frozen=True)
class FileTranscript:
    """Results for one file.

    Attributes:
        path: of the file.
        segments: final results.
        without_frontend: final results of the same recogniser without front-end; None without a comparison.
        error: why there are no results, or not all of them; None otherwise.
    """

    path: str
    segments: tuple[Segment, ...]
    without_frontend: tuple[Segment, ...] | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The text of all segments, with single spaces between them."""
        return " ".join(segment.text for segment in self.segments)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as values that JSON holds."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Transcription:
    """Results of `transcribe`; `print(transcription)` shows a line for each segment.

    Attributes:
        files: one entry per file, in the order of the arguments.
        audio_s: duration of the recognised audio in seconds.
        took_s: time that it took in seconds.
    """

    files: tuple[FileTranscript, ...]
    audio_s: float
    took_s: float

    @property
    def failed(self) -> int:
        """Number of files that failed."""
        return sum(file.error is not None for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as values that JSON holds."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines: list[str] = []
        for file in self.files:
            if file.without_frontend is not None:
                lines += side_by_side(file.path, file.segments, file.without_frontend, WIDTH)
            else:
                name = file.path if len(self.files) > 1 else ""
                lines += [text_line(segment, name) for segment in file.segments]
        return "\n".join(lines)


class TranscriptSink(Protocol):
    """Receives results while files are transcribed."""

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        """Receives a partial or final result of a file; `pipeline` is 0, or 1 for the one without front-end."""

    def end(self, name: str, error: str = "") -> None:
        """Is told that there are no more results of a file, and why if it failed."""


class _Nowhere:
    """A sink that drops its results."""

    def segment(self, name: str, pipeline: int, segment: Segment) -> None:
        pass

    def end(self, name: str, error: str = "") -> None:
        pass


def transcribe(
    pipeline: Pipeline | str | Path,
    files: Sequence[str | Path],
    *,
    compare: bool = False,
    jobs: int = 8,
    sink: TranscriptSink | None = None,
    progress: Progress | None = None,
) -> Transcription:
    """Transcribes audio files; a file that fails is reported and does not end the others.

    >>> transcription = transcribe("pipeline.yaml", ["monday.wav", "tuesday.mp3"])  # doctest: +SKIP
    >>> transcription.files[0].text  # doctest: +SKIP
    'seven three one'

    Args:
        pipeline: pipeline file, see `load_pipeline`, or a loaded pipeline.
        files: audio files that libsndfile reads; channels are averaged.
        compare: also recognise without front-end.
        jobs: files that are decoded in parallel, in batches.
        sink: receives partial and final results as they come; those of a file in order.
        progress: counts seconds of audio, and reports files that failed.

    Raises:
        AudioFormatError: there is only one file, and it fails.
        ConfigError: the pipeline file is wrong.
        ImportError: sherpa-onnx is not installed.
        ModelError: a model cannot be loaded, or the recogniser fails.
    """
    loaded = pipeline if isinstance(pipeline, Pipeline) else load_pipeline(pipeline)
    pipelines = [loaded, *([loaded.without_frontend()] if compare else [])]
    sink, progress = sink or _Nowhere(), progress or LoggedProgress()
    paths = [str(file) for file in files]
    began, audio_s = time.perf_counter(), 0.0
    waiting = iter([_File(path, pipelines) for path in paths])
    all_files, running = list[_File](), list[_File]()
    while True:
        started = list(itertools.islice(waiting, jobs - len(running)))
        all_files += started
        running += started
        if not running:
            break
        for file in running:
            seconds = file.advance()
            progress.update(seconds)
            audio_s += seconds
        _decode(pipelines, running, sink)
        for file in [file for file in running if file.is_over]:
            running.remove(file)
            sink.end(file.path, file.reason)
            if file.error is not None:
                if len(paths) == 1:
                    raise file.error
                progress.message(f"failed: {file.path}: {file.reason}")
    return Transcription(tuple(file.transcript for file in all_files), audio_s, time.perf_counter() - began)


def side_by_side(name: str, left: Sequence[Segment], right: Sequence[Segment], width: int) -> list[str]:
    """Returns lines with the results of two pipelines beside each other, below the name of the file.

    Args:
        name: of the file.
        left: results with front-end.
        right: results without.
        width: characters in a line.
    """
    column = (width - 3) // 2
    cells = ([heading, *_wrapped(segments, column)] for heading, segments in zip(HEADINGS, (left, right), strict=True))
    pairs = itertools.zip_longest(*cells, fillvalue="")
    return [name, *(f"{a:{column}} | {b}".rstrip() for a, b in pairs)]


def mono(samples: Samples) -> Samples:
    """Returns samples `(n,)` or `(n, channels)` as float32 `(n,)`, channels averaged, integers scaled to [-1, 1]."""
    scaled = samples.astype(np.float32) / np.float32(INT16_SCALE) if samples.dtype == np.int16 else samples
    return scaled if scaled.ndim == 1 else scaled.mean(axis=1, dtype=np.float32)


class _File:
    """A file on its way through the pipelines, block by block."""

    def __init__(self, path: str, pipelines: Sequence[Pipeline]) -> None:
        self.path = path
        self.sessions: list[Session] = []
        self.is_over = False
        self.error: AudioFormatError | None = None
        self.final: list[list[Segment]] = [[] for _ in pipelines]
        self._blocks = self._read(pipelines)

    @property
    def reason(self) -> str:
        """Why the file failed, without its name; empty if it did not."""
        return " ".join(str(self.error or "").removeprefix(f"{self.path}: ").split())

    @property
    def transcript(self) -> FileTranscript:
        """The results."""
        segments, *others = map(tuple, self.final)
        return FileTranscript(self.path, segments, others[0] if others else None, self.reason or None)

    def advance(self) -> float:
        """Gives the sessions the next block, or ends them; returns the seconds of audio in the block."""
        try:
            return next(self._blocks, 0.0)
        except AudioFormatError as error:
            self.is_over, self.error = True, error
            return 0.0

    def _read(self, pipelines: Sequence[Pipeline]) -> Iterator[float]:
        with open_audio(self.path) as audio:
            try:
                self.sessions = [pipeline.session(audio.samplerate) for pipeline in pipelines]
                for block in read_blocks(audio):
                    samples = mono(block)
                    for session in self.sessions:
                        session.accept_waveform(samples)
                    yield len(block) / audio.samplerate
            except AudioFormatError as error:
                named = str(error) if str(error).startswith(self.path) else f"{self.path}: {error}"
                raise AudioFormatError(named) from error
        for session in self.sessions:
            session.input_finished()
        self.is_over = True


def _decode(pipelines: Sequence[Pipeline], files: Sequence[_File], sink: TranscriptSink) -> None:
    opened = [file for file in files if file.sessions]
    for number, pipeline in enumerate(pipelines):
        decoded = pipeline.decode([file.sessions[number] for file in opened])
        for file, segments in zip(opened, decoded, strict=True):
            for segment in segments:
                sink.segment(file.path, number, segment)
                if segment.is_final:
                    file.final[number].append(segment)


def _wrapped(segments: Sequence[Segment], width: int) -> list[str]:
    lines = (f"{segment.start_s:7.2f} - {segment.end_s:7.2f}  {segment.text}" for segment in segments)
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent=" " * 19)]
