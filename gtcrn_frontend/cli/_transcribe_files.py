"""Many files through one recogniser, several at a time: what fails is reported and left out."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from gtcrn_frontend.adapters.sherpa.pipeline import Pipeline
from gtcrn_frontend.adapters.sherpa.sessions import Session
from gtcrn_frontend.audio.io import Samples, open_audio, read_blocks
from gtcrn_frontend.cli._transcripts import Show, mono
from gtcrn_frontend.errors import AudioFormatError


@dataclass(frozen=True)
class Report:
    """What became of the files: numbers of them, seconds of audio recognised, and seconds that all took."""

    done: int
    failed: int
    audio_s: float
    took_s: float


def transcribe_files(pipelines: Sequence[Pipeline], paths: Sequence[str], show: Show, *, jobs: int) -> Report:
    """Returns what became of the files; progress, and a line for each that failed, go to stderr.

    Args:
        pipelines: each hears every file.
        paths: of audio files; more than one channel are averaged.
        show: gets the results, those of a file in order.
        jobs: files decoded in parallel, in batches.

    Raises:
        AudioFormatError: there is one file only, and it fails.
        ModelError: the recogniser fails.
    """
    start_s = time.perf_counter()
    done = failed = 0
    audio_s = 0.0
    waiting, running = iter(paths), list[_File]()
    with _progress(paths) as bar:
        while True:
            running += [_File(path, pipelines) for path in itertools.islice(waiting, jobs - len(running))]
            if not running:
                break
            for file in running:
                seconds = file.advance()
                bar.update(seconds)
                audio_s += seconds
            _decode(pipelines, running, show)
            for file in [file for file in running if file.is_over]:
                running.remove(file)
                show.end(file.path)
                if file.error is None:
                    done += 1
                    continue
                if len(paths) == 1:
                    raise file.error
                failed += 1
                reason = " ".join(str(file.error).removeprefix(f"{file.path}: ").split())
                tqdm.write(f"failed: {file.path}: {reason}", file=sys.stderr)
    return Report(done, failed, audio_s, time.perf_counter() - start_s)


class _File:
    """A file on its way through the pipelines, block by block."""

    def __init__(self, path: str, pipelines: Sequence[Pipeline]) -> None:
        self.path = path
        self.sessions: list[Session] = []
        self.is_over = False
        self.error: AudioFormatError | None = None
        self._blocks = self._read(pipelines)

    def advance(self) -> float:
        """Gives the sessions the next block, or the end; returns the seconds of audio in it."""
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
                    self._accept(mono(block))
                    yield len(block) / audio.samplerate
            except AudioFormatError as error:
                named = str(error) if str(error).startswith(self.path) else f"{self.path}: {error}"
                raise AudioFormatError(named) from error
        for session in self.sessions:
            session.input_finished()
        self.is_over = True

    def _accept(self, samples: Samples) -> None:
        for session in self.sessions:
            session.accept_waveform(samples)


def _decode(pipelines: Sequence[Pipeline], files: Sequence[_File], show: Show) -> None:
    heard = [file for file in files if file.sessions]
    for number, pipeline in enumerate(pipelines):
        found = pipeline.decode([file.sessions[number] for file in heard])
        for file, segments in zip(heard, found, strict=True):
            for segment in segments:
                show.segment(file.path, number, segment)


def _progress(paths: Sequence[str]) -> tqdm[Any]:
    """A bar over the seconds of audio, if stderr is a terminal."""
    total_s = sum(map(_duration_s, paths)) if sys.stderr.isatty() else 0.0
    layout = "{percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s of audio, {elapsed} so far, {remaining} to go"
    return tqdm(total=total_s, bar_format=layout, disable=None, leave=False)


def _duration_s(path: str) -> float:
    try:
        with open_audio(path) as audio:
            return float(audio.frames / audio.samplerate)
    except AudioFormatError:  # reported when its turn comes
        return 0.0
