"""`PythonBackend`: the stages of `signal_path` around any engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.channels import join_channels, split_channels
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import Strength
from gtcrn_frontend.engines.base import Engine
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.backend import Arrays, BackendBatch, StreamBackend
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.signal_path import SignalPath
from gtcrn_frontend.streaming.stream_parameters import StreamParameters
from gtcrn_frontend.streaming.stream_state import channel_arrays, named_arrays
from gtcrn_frontend.streaming.thread_pool import Job, ThreadPool


class PythonBackend(StreamBackend):
    """A signal path and an engine state per output channel.

    Args:
        engine: runs the network.
        settings: rates, channels and automatic strength.
        strength, bypass: see `set_strength`.
    """

    def __init__(self, engine: Engine[Any], settings: StreamParameters, strength: Strength, *, bypass: bool) -> None:
        self.engine = engine
        self.settings = settings
        self._wanted = strength, bypass
        self._paths: list[SignalPath]
        self._states: list[Any]
        self.reset()

    @property
    def samples_in(self) -> int:
        """Input samples per channel so far."""
        return self._paths[0].samples_in

    @property
    def samples_out(self) -> int:
        """Output samples per channel so far."""
        return self._paths[0].samples_out

    @property
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """See `StreamBackend`."""
        return tuple(report for path in self._paths if (report := path.auto_strength_report))

    def push(self, samples: F32) -> F32:
        """See `StreamBackend`."""
        return _joined([aligned.mixed for aligned in self._run(self.jobs(samples))])

    def push_aligned(self, samples: F32) -> AlignedChunk:
        """See `StreamBackend`."""
        return _all_signals(self._run(self.jobs(samples)))

    def finish(self) -> F32:
        """See `StreamBackend`."""
        return _joined([aligned.mixed for aligned in self._run(self.last_jobs(), last=True)])

    def finish_aligned(self) -> AlignedChunk:
        """See `StreamBackend`."""
        return _all_signals(self._run(self.last_jobs(), last=True))

    def reset(self) -> None:
        """See `StreamBackend`."""
        self._paths, self._states = self._new_paths(), [self.engine.new_state() for _ in range(self.settings.paths)]

    def set_strength(self, strength: Strength, *, bypass: bool) -> None:
        """See `StreamBackend`."""
        self._wanted = strength, bypass

    def export_state(self) -> Arrays:
        """See `StreamBackend`."""
        engine_states = [self.engine.export_state(state) for state in self._states]
        return named_arrays(engine_states, [path.state for path in self._paths])

    def import_state(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See `StreamBackend`."""
        paths, states = self._new_paths(), []
        for channel, path in enumerate(paths):
            states.append(self.engine.import_state(channel_arrays(arrays, channel, "engine")))
            path.load_state(channel_arrays(arrays, channel, "path"))
        self._paths, self._states = paths, states

    @classmethod
    def batch(cls, backends: Sequence[PythonBackend], workers: ThreadPool) -> BackendBatch:
        """See `StreamBackend`."""
        return _Batch(backends, workers)

    def jobs(self, samples: F32) -> list[Job]:
        """Returns a job of the engine for each channel, possibly with 0 hops."""
        self._apply_strength()
        if len(self._paths) == 1:
            mono = samples.mean(axis=1) if samples.ndim == 2 else samples
            return [(self._paths[0].push(mono), self._states[0])]
        channels = split_channels(samples)
        hops = [path.push(channel) for path, channel in zip(self._paths, channels, strict=True)]
        return list(zip(hops, self._states, strict=True))

    def last_jobs(self) -> list[Job]:
        """Returns the last jobs, to be pulled with `last=True`."""
        self._apply_strength()
        return [(path.finish(), state) for path, state in zip(self._paths, self._states, strict=True)]

    def pull(self, enhanced: Sequence[F32], *, last: bool) -> list[AlignedChunk]:
        """Returns the complete samples per channel.

        Args:
            enhanced: output of the engine for the jobs.
            last: they were those of `last_jobs`; resets the stream.
        """
        aligned = [path.pull(each, last=last) for path, each in zip(self._paths, enhanced, strict=True)]
        if last:
            self.reset()
        return aligned

    def _run(self, jobs: list[Job], *, last: bool = False) -> list[AlignedChunk]:
        enhanced = [self.engine.process(*jobs[0])] if len(jobs) == 1 else self.engine.process_many(jobs)
        return self.pull(enhanced, last=last)

    def _apply_strength(self) -> None:
        strength, bypass = self._wanted  # read once, so that all channels get the same
        for path in self._paths:
            path.set_strength(strength, bypass=bypass)

    def _new_paths(self) -> list[SignalPath]:
        strength, bypass = self._wanted
        return [self.settings.new_path(self.engine.spec, strength, bypass=bypass) for _ in range(self.settings.paths)]


class _Batch:
    """The jobs of several streams in one call of the engine."""

    def __init__(self, backends: Sequence[PythonBackend], workers: ThreadPool) -> None:
        self._backends, self._workers = backends, workers

    def push(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """See `BackendBatch`."""
        jobs, start = [], 0
        for backend, count in zip(self._backends, counts, strict=True):
            channels = backend.settings.channels
            stop = start + count * channels
            chunk = samples[start:stop]
            jobs.append(backend.jobs(chunk if channels == 1 else chunk.reshape(count, channels)))
            start = stop
        return self._run(jobs, last=False)

    def finish(self) -> tuple[F32, list[int]]:
        """See `BackendBatch`."""
        return self._run([backend.last_jobs() for backend in self._backends], last=True)

    def _run(self, jobs: list[list[Job]], *, last: bool) -> tuple[F32, list[int]]:
        if not self._backends:
            return np.empty(0, np.float32), []
        engine = self._backends[0].engine
        enhanced = iter(self._workers.process_many(engine, list(itertools.chain.from_iterable(jobs))))
        mixed = list(self._mixed(jobs, enhanced, last=last))
        return np.concatenate([samples.reshape(-1) for samples in mixed]), list(map(len, mixed))

    def _mixed(self, jobs: list[list[Job]], enhanced: Iterator[F32], *, last: bool) -> Iterator[F32]:
        for backend, of_stream in zip(self._backends, jobs, strict=True):
            aligned = backend.pull(list(itertools.islice(enhanced, len(of_stream))), last=last)
            yield join_channels([channel.mixed for channel in aligned])


def _joined(channels: Sequence[F32]) -> F32:
    """Joins one signal of all channels, in memory of its own.

    A view would expose, and keep alive, the caller's chunk or a batch shared with other streams.
    """
    joined = join_channels(channels)
    return joined if joined.base is None else joined.copy()


def _all_signals(aligned: Sequence[AlignedChunk]) -> AlignedChunk:
    signals = ([getattr(channel, name) for channel in aligned] for name in ("dry", "enhanced", "mixed"))
    return AlignedChunk(aligned[0].start_sample, *map(_joined, signals))
