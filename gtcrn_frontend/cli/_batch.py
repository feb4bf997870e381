"""Enhances many files, several at a time; files that fail are reported and skipped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from threading import Event, Lock

from gtcrn_frontend.atomic_write import remove_leftovers
from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.cli._file_plan import Task
from gtcrn_frontend.cli._progress import ProgressBar, audio_bar
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus.local import Stopped, in_threads
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError, GtcrnFrontendError
from gtcrn_frontend.file_enhancement import enhancer_for, write_enhanced_audio


@dataclass(frozen=True)
class Existing:
    """What to do if an output exists: replace it, keep it as finished, or, without either, report an error."""

    replace: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Report:
    """Numbers of files by outcome, duration of the enhanced audio in seconds, and time that it took."""

    done: int
    skipped: int
    failed: int
    audio_s: float
    took_s: float
    engine: str


def enhance_tasks(
    tasks: Sequence[Task], config: EnhancerConfig, existing: Existing, *, jobs: int = 1, stop_at_error: bool = False
) -> Report:
    """Enhances files; progress, and a line for each file that failed, go to stderr.

    The jobs are threads that share one model: over 90 % of the time is spent in the engine, numpy and libsndfile, which
    release the GIL.

    Args:
        tasks: see `plan`.
        config: settings; sample rate and channels are those of each file.
        existing: what to do with existing outputs.
        jobs: files in parallel, >= 1.
        stop_at_error: raise an error instead of continuing with the other files.

    Raises:
        ConfigError: a setting is out of range for any file.
        ModelError: the model or the engine cannot be loaded.
    """
    loaded = Enhancer.from_config(config)  # wrong settings raise here, and the model stays loaded
    to_do = [task for task in tasks if not (existing.keep and _is_finished(task))]
    if existing.keep:
        remove_leftovers(task.output for task in tasks)
    failed, start_s = 0, time.perf_counter()
    with audio_bar(task.source for task in to_do) as bar:
        meter = _Meter(bar)

        def work(task: Task, stop: Event) -> None:
            _enhance(task, config, existing, meter, stop)

        # After Ctrl-C, too, running files end at their next block and remove their incomplete output.
        with closing(in_threads(work, to_do, jobs)) as results:
            for task, future in results:
                failed += _has_failed(future, task, bar, stop_at_error)
    took_s = time.perf_counter() - start_s
    skipped = len(tasks) - len(to_do)
    return Report(len(to_do) - failed, skipped, failed, meter.audio_s, took_s, loaded.engine)


class _Meter:
    """Counts seconds of audio, from any thread."""

    def __init__(self, bar: ProgressBar) -> None:
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
                raise Stopped
            meter.add(frames / enhancer.sample_rate)

        task.output.parent.mkdir(parents=True, exist_ok=True)
        write_enhanced_audio(audio, task.output, enhancer, progress)


def _has_failed(future: Future[None], task: Task, bar: ProgressBar, stop_at_error: bool) -> bool:
    try:
        future.result()
    except (GtcrnFrontendError, OSError) as error:
        if stop_at_error:
            raise
        reason = " ".join(str(error).removeprefix(f"{task.source}: ").split())
        bar.message(f"failed: {task.source}: {reason}")
        return True
    return False


def _is_finished(task: Task) -> bool:
    if not task.output.exists():
        return False
    if task.source.exists() and task.output.samefile(task.source):
        raise ConfigError(f"{task.source} is input and output: --resume cannot tell whether it is finished")
    return True
