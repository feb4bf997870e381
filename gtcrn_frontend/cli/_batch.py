"""Many files, several at a time: what fails is reported and skipped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any

from tqdm import tqdm

from gtcrn_frontend.atomic_write import remove_leftovers
from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.cli._file_plan import Task
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError, GtcrnFrontendError
from gtcrn_frontend.file_enhancement import enhancer_for, write_enhanced_audio


@dataclass(frozen=True)
class Existing:
    """What to do where the output exists: replace it, take it for finished, or, without either, report it."""

    replace: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Report:
    """What became of the files: numbers of them, seconds of audio enhanced, and seconds that all took."""

    done: int
    skipped: int
    failed: int
    audio_s: float
    took_s: float
    engine: str


def enhance_tasks(
    tasks: Sequence[Task], config: EnhancerConfig, existing: Existing, *, jobs: int = 1, stop_at_error: bool = False
) -> Report:
    """Returns what became of the files; progress, and a line for each that failed, go to stderr.

    The jobs are threads: sampled, one spends over 90 % of its time in the engine, numpy and libsndfile, which let other
    threads run; and all share one model.

    Args:
        tasks: see `plan`.
        config: settings; sample rate and channels are those of each file.
        existing: what to do with outputs that are there already.
        jobs: files at a time, >= 1.
        stop_at_error: raise instead of going on with the other files.

    Raises:
        ConfigError: a setting is out of range for any file.
        ModelError: the model or the engine cannot be loaded.
    """
    loaded = Enhancer.from_config(config)  # here a wrong setting ends it all, and from here on the model stays loaded
    to_do = [task for task in tasks if not (existing.keep and _is_finished(task))]
    if existing.keep:
        remove_leftovers(task.output for task in tasks)
    stop, failed, start_s = Event(), 0, time.perf_counter()
    with _progress(to_do) as meter, ThreadPoolExecutor(jobs) as executor:
        futures = {executor.submit(_enhance, task, config, existing, meter, stop): task for task in to_do}
        try:
            for future in as_completed(futures):
                failed += _has_failed(future, futures[future], stop_at_error)
        finally:  # also after Ctrl-C: what runs ends at its next block and removes its half file
            stop.set()
            executor.shutdown(cancel_futures=True)
    took_s = time.perf_counter() - start_s
    skipped = len(tasks) - len(to_do)
    return Report(len(to_do) - failed, skipped, failed, meter.audio_s, took_s, loaded.engine)


class _Stopped(Exception):  # noqa: N818  no error
    """Another thread wants this one to end."""


class _Meter:
    """Counts seconds of audio, from any thread."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self.audio_s = 0.0
        self._bar = bar
        self._lock = Lock()

    def add(self, seconds: float) -> None:
        with self._lock:
            self.audio_s += seconds
            self._bar.update(seconds)


def _enhance(task: Task, config: EnhancerConfig, existing: Existing, meter: _Meter, stop: Event) -> None:
    if task.output.exists() and not existing.replace:
        raise ConfigError(f"{task.output} exists: give --force to replace it or --resume to keep it")
    with open_audio(task.source) as audio:
        enhancer = enhancer_for(audio, config)

        def progress(frames: int) -> None:
            if stop.is_set():
                raise _Stopped
            meter.add(frames / enhancer.sample_rate)

        task.output.parent.mkdir(parents=True, exist_ok=True)
        write_enhanced_audio(audio, task.output, enhancer, progress)


def _has_failed(future: Future[None], task: Task, stop_at_error: bool) -> bool:
    try:
        future.result()
    except (GtcrnFrontendError, OSError) as error:
        if stop_at_error:
            raise
        reason = " ".join(str(error).removeprefix(f"{task.source}: ").split())
        tqdm.write(f"failed: {task.source}: {reason}", file=sys.stderr)
        return True
    return False


def _is_finished(task: Task) -> bool:
    if not task.output.exists():
        return False
    if task.source.exists() and task.output.samefile(task.source):
        raise ConfigError(f"{task.source} would become itself: --resume cannot tell whether it is finished")
    return True


@contextmanager
def _progress(tasks: Sequence[Task]) -> Iterator[_Meter]:
    """A bar over the seconds of audio, if stderr is a terminal."""
    total_s = sum(map(_duration_s, tasks)) if sys.stderr.isatty() else 0.0
    layout = "{percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s of audio, {elapsed} so far, {remaining} to go"
    bar: tqdm[Any]
    with tqdm(total=total_s, bar_format=layout, disable=None, leave=False) as bar:
        yield _Meter(bar)


def _duration_s(task: Task) -> float:
    if not task.source.is_file():  # a pipe can be read only once
        return 0.0
    try:
        with open_audio(task.source) as audio:
            return float(audio.frames / audio.samplerate)
    except AudioFormatError:  # reported when its turn comes
        return 0.0
