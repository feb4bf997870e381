"""`Stream`: all channels of one stream, with signal paths and engine states; used by `Enhancer` and `StreamPool`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.channels import join_channels, split_channels
from gtcrn_frontend.audio.pcm import pcm_bytes, whole_frames
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk, restore_type
from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.engines.direct_path import DirectPath
from gtcrn_frontend.engines.loading import LoadedModel
from gtcrn_frontend.errors import ModelError, StreamBusyError
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.exclusive import ExclusiveCalls
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.signal_path import SignalPath
from gtcrn_frontend.streaming.stream_state import export_stream, import_stream, stream_facts

Samples = npt.NDArray[Any]
Job = tuple[F32, Any]
"""Hops of one channel, and its engine state."""


class Stream(ExclusiveCalls):
    """One stream: a signal path and an engine state per output channel.

    Calls are exclusive and atomic: a second call while one is running raises `StreamBusyError`, and a call that fails
        or is interrupted resets the stream. `run_streams` batches the jobs of many streams into one call of the engine;
        its caller must not use a stream in two calls at once.

    Strength and bypass are plain attributes that apply to the next samples; they may be set from another thread during
    a call.

    Args:
        loaded: the model and its engine.
        config: rates, channels, strength and bypass are used; model and engine are those of `loaded`.

    Raises:
        ConfigError: a rate is out of range.
    """

    def __init__(self, loaded: LoadedModel, config: EnhancerConfig) -> None:
        super().__init__()
        self.loaded = loaded
        self.config = config
        self.sample_rate = config.sample_rate or loaded.engine.spec.sample_rate
        self.output_sample_rate = config.output_sample_rate or self.sample_rate
        self.strength = config.strength_or_auto
        self.bypass = config.bypass
        self.dtype: np.dtype[Any] = np.dtype(np.float32)  # of the last chunk, and so of the flushed samples
        self.pending_bytes = b""  # incomplete frame of 16-bit PCM
        self._paths = self._new_paths()
        self._states = self._new_states()
        self._direct: DirectPath | None = None  # if set, it holds the signal, and the signal path is out of date
        self._direct_strength: Strength = self.strength

    @property
    def latency_samples(self) -> int:
        """Worst-case latency in samples of the input."""
        return self._paths[0].latency_samples

    @property
    def lag_samples(self) -> int:
        """Most output samples that may be outstanding."""
        return self._paths[0].lag_samples

    @property
    def samples_in(self) -> int:
        """Input samples per channel so far."""
        return (self._direct or self._paths[0]).samples_in

    @property
    def samples_out(self) -> int:
        """Output samples per channel so far."""
        return (self._direct or self._paths[0]).samples_out

    @property
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """State of `strength="auto"` per channel; empty while it is off, and before its first chunk."""
        if self.strength != "auto":  # also if the next chunk has yet to switch it off
            return ()
        return tuple(report for path in self._paths if (report := path.auto_strength_report))

    def check(self, chunk: npt.ArrayLike) -> tuple[F32, np.dtype[Any]]:
        """Returns the arguments for `push`; raises `AudioFormatError` for an invalid chunk. The stream is unchanged."""
        return check_chunk(chunk, self.config.channels)

    def direct_path(self) -> DirectPath | None:
        """Returns the engine's direct path for the next samples, if it has one and the settings allow it."""
        strength = self.strength
        if self._direct is not None:
            return self._direct if strength == self._direct_strength and not self.bypass else None
        if self.bypass or self.config.channels > 1:
            return None
        if (position := self._paths[0].direct_position(strength)) is not None:
            self._direct_strength = strength
            self._direct = self.loaded.engine.direct_path(self._states[0], position)
        return self._direct

    def process(self, samples: F32, dtype: np.dtype[Any]) -> Samples:
        """Returns the complete mixed samples in the type of the input; arguments come from `check`."""
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:  # as in `_transaction`, without the cost of its calls
            if self._is_inconsistent:
                self._restart()
            self._is_inconsistent = True
            result = self._process(samples, dtype)
            self._is_inconsistent = False
            return result
        except BaseException:
            self._restart()
            raise
        finally:
            self._is_busy = False

    def process_aligned(self, samples: F32, dtype: np.dtype[Any]) -> AlignedChunk:
        """Returns all signals of the complete samples, in the type of the input."""
        return self._transaction(lambda: self.aligned(self.advance(self.push(samples, dtype))))

    def process_bytes(self, pcm16: bytes) -> bytes:
        """Returns the complete samples as 16-bit PCM; after a failed call, only the last incomplete frame is kept."""

        def process() -> bytes:
            samples, self.pending_bytes = whole_frames(self.pending_bytes + pcm16, "s16le", self.config.channels)
            return pcm_bytes(self._process(*self.check(samples)), "s16le")

        return self._transaction(process)

    def flush(self) -> Samples:
        """Returns the remaining mixed samples, in the type of the last chunk; resets the stream."""
        return self._transaction(lambda: self.mixed(self.advance(self.finish(), last=True)))

    def flush_aligned(self) -> AlignedChunk:
        """Returns all signals of the remaining samples; resets the stream."""
        return self._transaction(lambda: self.aligned(self.advance(self.finish(), last=True)))

    def push(self, samples: F32, dtype: np.dtype[Any]) -> list[Job]:
        """Returns a job for each channel, possibly with 0 hops."""
        self.dtype = dtype
        self._leave_direct()
        self._update_strength()
        if len(self._paths) == 1:
            return [(self._paths[0].push(samples.mean(axis=1) if samples.ndim == 2 else samples), self._states[0])]
        channels = split_channels(samples)
        hops = [path.push(channel) for path, channel in zip(self._paths, channels, strict=True)]
        return list(zip(hops, self._states, strict=True))

    def finish(self) -> list[Job]:
        """Returns the last jobs, to be pulled with `last=True`."""
        self._leave_direct()
        self._update_strength()
        return [(path.finish(), state) for path, state in zip(self._paths, self._states, strict=True)]

    def advance(self, jobs: list[Job], *, last: bool = False) -> list[AlignedChunk]:
        """Runs jobs through the engine; returns the result of `pull`.

        Args:
            jobs: result of `push` or `finish`.
            last: the jobs are those of `finish`.
        """
        engine = self.loaded.engine
        enhanced = [engine.process(*jobs[0])] if len(jobs) == 1 else engine.process_many(jobs)
        return self.pull(enhanced, last=last)

    def pull(self, enhanced: Sequence[F32], *, last: bool = False) -> list[AlignedChunk]:
        """Returns the complete samples per channel, in float32.

        Args:
            enhanced: output of the engine for the jobs.
            last: the jobs were those of `finish`; resets the stream.
        """
        if len(self._paths) == 1:
            aligned = [self._paths[0].pull(enhanced[0], last=last)]
        else:
            aligned = [path.pull(each, last=last) for path, each in zip(self._paths, enhanced, strict=True)]
        if last:
            self._states = self._new_states()
            self.pending_bytes = b""
        return aligned

    def mixed(self, aligned: Sequence[AlignedChunk]) -> Samples:
        """Joins the mixed signals of all channels, in the type of the input; a copy."""
        return self._joined([channel.mixed for channel in aligned])

    def aligned(self, aligned: Sequence[AlignedChunk]) -> AlignedChunk:
        """Joins all signals of all channels, in the type of the input; copies."""
        signals = ([getattr(channel, name) for channel in aligned] for name in ("dry", "enhanced", "mixed"))
        return AlignedChunk(aligned[0].start_sample, *(self._joined(signal) for signal in signals))

    def reset(self) -> None:
        """Resets the stream; samples not delivered are lost."""

        def restart() -> None:
            self._restart()
            self.pending_bytes = b""

        self._exclusive(restart)

    def move_to(self, loaded: LoadedModel) -> None:
        """Moves the stream to another engine with the same weights; raises `ModelError` if they differ."""
        if loaded.model.digest != self.loaded.model.digest:
            raise ModelError(f"{loaded.model.source} has changed since this stream was started: start a new stream")
        if self.loaded.process_id != os.getpid() and self._is_busy:
            self.after_fork()

        def move() -> None:
            self._leave_direct()
            exported = [self.loaded.engine.export_state(state) for state in self._states]
            states = [loaded.engine.import_state(arrays) for arrays in exported]
            self._states, self.loaded = states, loaded

        self._exclusive(move)

    def after_fork(self) -> None:
        """Resets the stream in a forked child: a call in progress exists only in the parent."""
        self._is_busy = False
        self.reset()

    def copy(self) -> Stream:
        """Returns an independent copy of the stream."""
        state = self.get_state()
        twin = copy(self)
        twin._is_busy = False
        twin.set_state(state)
        return twin

    def get_state(self) -> StreamState:
        """Returns a copy of the state."""

        def export() -> StreamState:
            self._leave_direct()
            parts = self._paths, self._states, self.pending_bytes, self.dtype
            return export_stream(self._facts(), self.loaded.engine, *parts)

        return self._exclusive(export)

    def set_state(self, state: StreamState) -> None:
        """Restores a state; continues towards the strength that is set here.

        Raises:
            StateError: the state does not fit or is damaged. The stream is unchanged.
        """
        paths, channels = self._new_paths(), self.config.channels
        states, pending_bytes, dtype = import_stream(state, self._facts(), self.loaded.engine, paths, channels)

        def restore() -> None:
            self._paths, self._states, self._direct, self._is_inconsistent = paths, states, None, False
            self.pending_bytes, self.dtype = pending_bytes, dtype

        self._exclusive(restore)

    def _process(self, samples: F32, dtype: np.dtype[Any]) -> Samples:
        direct = self.direct_path()
        if direct is None:
            return self.mixed(self.advance(self.push(samples, dtype)))
        self.dtype = dtype
        return restore_type(direct.advance(samples), dtype)

    def _restart(self) -> None:
        """Resets the stream atomically: an interrupt happens before or after."""
        paths, states = self._new_paths(), self._new_states()
        self._paths, self._states, self._direct, self._is_inconsistent = paths, states, None, False

    def _leave_direct(self) -> None:
        if self._direct is not None:
            self._paths[0].resume(self._direct.position)
            self._direct = None

    def _update_strength(self) -> None:
        strength, bypass = self.strength, self.bypass  # read once, so that all channels get the same
        for path in self._paths:
            path.set_strength(strength, bypass=bypass)

    def _new_paths(self) -> list[SignalPath]:
        count = 1 if self.config.downmix else self.config.channels
        spec, auto_strength = self.loaded.engine.spec, self.config.auto_strength_config
        rates = self.sample_rate, self.output_sample_rate
        return [SignalPath(spec, *rates, self.strength, auto_strength, bypass=self.bypass) for _ in range(count)]

    def _new_states(self) -> list[Any]:
        return [self.loaded.engine.new_state() for _ in self._paths]

    def _joined(self, channels: Sequence[npt.NDArray[Any]]) -> Samples:
        joined = restore_type(join_channels(channels), self.dtype)
        # A view would expose, and keep alive, the caller's chunk or a batch shared with other streams.
        return joined if joined.base is None else joined.copy()

    def _facts(self) -> dict[str, Any]:
        return stream_facts(self.loaded, self.sample_rate, self.output_sample_rate, len(self._paths))
