"""`Stream`: what `Enhancer` and `StreamPool` share: the channels of one stream, on their way to an engine and back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.channels import join_channels, split_channels
from gtcrn_frontend.audio.pcm import frame_bytes, pcm_bytes, whole_frames
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import DTYPES, check_chunk, restore_type
from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.engines.base import check_hops
from gtcrn_frontend.engines.direct_path import DirectPath
from gtcrn_frontend.engines.loading import LoadedModel
from gtcrn_frontend.errors import ModelError, StateError, StreamBusyError
from gtcrn_frontend.one_at_a_time import OneAtATime
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.signal_path import SignalPath

Samples = npt.NDArray[Any]
Job = tuple[F32, Any]
"""Hops of one channel, and the engine state they belong to."""


class Stream(OneAtATime):
    """The signal paths and engine states of one stream, one of each per channel of its output.

    `process` and `flush` are all of it, and go whole or not at all: a second call while one runs is a
    `StreamBusyError`, and a call that does not end in a result, as of an engine that fails or an interrupt from the
    keyboard, leaves a stream that begins anew. In parts, its jobs go through the engine together with those of many
    other streams, by `run`, whose caller sees to it that no stream is in two calls at once.

    Strength and bypass are plain attributes that take effect with the next samples: they may be set from another
    thread while samples are on their way.

    Args:
        loaded: the model, and the engine that runs it.
        config: its rates, channels, strength and bypass count; model and engine are those of `loaded`.

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
        self.dtype: np.dtype[Any] = np.dtype(np.float32)  # of the last chunk: the tail comes in it
        self.pending_bytes = b""  # of 16-bit PCM: the beginning of a frame
        self._paths = self._new_paths()
        self._states = self._new_states()
        self._direct: DirectPath | None = None  # while it is there, the signal is on it, and the path is behind
        self._direct_strength: Strength = self.strength

    @property
    def latency_samples(self) -> int:
        """The longest time that a sample waits until it comes out, in samples of the input."""
        return self._paths[0].latency_samples

    @property
    def lag_samples(self) -> int:
        """The most samples of the output that are missing behind the input."""
        return self._paths[0].lag_samples

    @property
    def samples_in(self) -> int:
        """Samples per channel that the stream has taken."""
        return (self._direct or self._paths[0]).samples_in

    @property
    def samples_out(self) -> int:
        """Samples per channel that the stream has delivered."""
        return (self._direct or self._paths[0]).samples_out

    @property
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """What the guard of each channel knows; empty while it is off, and until the next chunk once it is on."""
        if self.strength != "auto":  # also before the next chunk switches it off
            return ()
        return tuple(report for path in self._paths if (report := path.auto_strength_report))

    def check(self, chunk: npt.ArrayLike) -> tuple[F32, np.dtype[Any]]:
        """Returns the arguments for `push`; raises `AudioFormatError` for a bad chunk. Nothing is consumed."""
        return check_chunk(chunk, self.config.channels)

    def direct_path(self) -> DirectPath | None:
        """Returns the engine's own way for the next samples, if it has one and they need nothing else."""
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
        """Returns what is complete, mixed, in the type of the input; takes what `check` has returned."""
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:  # as in `_whole`, without the cost of its calls
            if self._is_torn:
                self._begin()
            self._is_torn = True
            if (direct := self.direct_path()) is None:
                result = self.mixed(self.advance(self.push(samples, dtype)))
            else:
                self.dtype = dtype
                result = restore_type(direct.advance(samples), dtype)
            self._is_torn = False
            return result
        except BaseException:
            self._begin()
            raise
        finally:
            self._is_busy = False

    def process_aligned(self, samples: F32, dtype: np.dtype[Any]) -> AlignedChunk:
        """Returns what is complete, all signals, in the type of the input."""
        return self._whole(lambda: self.aligned(self.advance(self.push(samples, dtype))))

    def process_bytes(self, pcm16: bytes) -> bytes:
        """Returns what is complete as 16-bit PCM; of a call that fails, only the bytes of the last frame are kept."""

        def process() -> bytes:
            samples, self.pending_bytes = whole_frames(self.pending_bytes + pcm16, "s16le", self.config.channels)
            return pcm_bytes(self._process(*self.check(samples)), "s16le")

        return self._whole(process)

    def flush(self) -> Samples:
        """Returns the rest, mixed, in the type of the last chunk; the stream is then as new."""
        return self._whole(lambda: self.mixed(self.advance(self.finish(), last=True)))

    def flush_aligned(self) -> AlignedChunk:
        """Returns the rest, all signals; the stream is then as new."""
        return self._whole(lambda: self.aligned(self.advance(self.finish(), last=True)))

    def push(self, samples: F32, dtype: np.dtype[Any]) -> list[Job]:
        """Returns a job for each channel, maybe without hops."""
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
        """Returns what `pull` does, with the jobs through the engine.

        Args:
            jobs: what `push` or `finish` has returned.
            last: the jobs are those of `finish`.
        """
        engine = self.loaded.engine
        enhanced = [engine.process(*jobs[0])] if len(jobs) == 1 else engine.process_many(jobs)
        return self.pull(enhanced, last=last)

    def pull(self, enhanced: Sequence[F32], *, last: bool = False) -> list[AlignedChunk]:
        """Returns what is complete, per channel, in float32.

        Args:
            enhanced: what the engine made of the jobs.
            last: they were those of `finish`; the stream is then as new.
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
        """Returns the mixed signal of all channels in the type of the input, in memory of its own."""
        return self._joined([channel.mixed for channel in aligned])

    def aligned(self, aligned: Sequence[AlignedChunk]) -> AlignedChunk:
        """Returns all signals of all channels in the type of the input, each in memory of its own."""
        signals = ([getattr(channel, name) for channel in aligned] for name in ("dry", "enhanced", "mixed"))
        return AlignedChunk(aligned[0].start_sample, *(self._joined(signal) for signal in signals))

    def reset(self) -> None:
        """Begins a new stream; what was not delivered is lost."""

        def begin() -> None:
            self._begin()
            self.pending_bytes = b""

        self._alone(begin)

    def move_to(self, loaded: LoadedModel) -> None:
        """Goes on in another engine for the same model; raises `ModelError` if it is for another one."""
        if loaded.model.digest != self.loaded.model.digest:
            raise ModelError(
                f"{loaded.model.source} holds other weights than when this stream began: begin a new stream with them"
            )
        if self.loaded.process_id != os.getpid() and self._is_busy:
            self.after_fork()

        def move() -> None:
            self._leave_direct()
            exported = [self.loaded.engine.export_state(state) for state in self._states]
            states = [loaded.engine.import_state(arrays) for arrays in exported]
            self._states, self.loaded = states, loaded

        self._alone(move)

    def after_fork(self) -> None:
        """Begins a new stream in the child: whatever moved samples in the parent does not exist here."""
        self._is_busy = False
        self.reset()

    def copy(self) -> Stream:
        """Returns a stream that is where this one is, and goes on by itself."""
        state = self.get_state()
        twin = copy(self)
        twin._is_busy = False
        twin.set_state(state)
        return twin

    def get_state(self) -> StreamState:
        """Returns a copy of the state."""
        return self._alone(self._state)

    def _state(self) -> StreamState:
        self._leave_direct()
        arrays: dict[str, Samples] = {
            "pending_bytes": np.frombuffer(self.pending_bytes, np.uint8),
            "dtype": np.frombuffer(self.dtype.name.encode(), np.uint8),
        }
        for channel, (path, state) in enumerate(zip(self._paths, self._states, strict=True)):
            exported = self.loaded.engine.export_state(state)
            arrays |= {f"{channel}.engine.{name}": array for name, array in exported.items()}
            arrays |= {f"{channel}.path.{name}": array for name, array in path.state.items()}
        return StreamState(self._facts(), arrays)

    def set_state(self, state: StreamState) -> None:
        """Goes on where `state` was taken, towards the strength that is set here.

        Raises:
            StateError: the state is of another model, of other rates, channels or segment latency, or damaged. The
                stream is unchanged.
        """
        if not isinstance(state, StreamState):
            raise StateError(f"expected a StreamState, got {type(state).__name__}: StreamState.from_bytes reads bytes")
        facts = self._facts()
        differing = [
            f"{name} {facts[name]}, got {state.facts.get(name)}"
            for name in facts
            if state.facts.get(name) != facts[name]
        ]
        if differing:
            raise StateError(f"expected a state of {'; '.join(differing)}")
        paths, states = self._new_paths(), []
        engine = self.loaded.engine
        for channel, path in enumerate(paths):
            of_engine = _of_part(state, f"{channel}.engine.")
            states.append(engine.import_state(of_engine))
            path.load_state(_of_part(state, f"{channel}.path."))
            check_hops(of_engine, engine.spec, path.hops)
            if path.samples_in != paths[0].samples_in:
                raise StateError(
                    f"expected equally many samples in all channels, got {paths[0].samples_in} and {path.samples_in}"
                )
        pending_bytes, dtype = self._pending_bytes_of(state), _dtype_of(state)

        def go_on() -> None:
            self._paths, self._states, self._direct, self._is_torn = paths, states, None, False
            self.pending_bytes, self.dtype = pending_bytes, dtype

        self._alone(go_on)

    def _pending_bytes_of(self, state: StreamState) -> bytes:
        pending = state.arrays.get("pending_bytes")
        limit = frame_bytes("s16le", self.config.channels)
        if pending is None or pending.ndim != 1 or pending.dtype != np.uint8 or len(pending) >= limit:
            raise StateError(f"expected fewer than {limit} pending bytes, got {pending!r}")
        return pending.tobytes()

    def _process(self, samples: F32, dtype: np.dtype[Any]) -> Samples:
        direct = self.direct_path()
        if direct is None:
            return self.mixed(self.advance(self.push(samples, dtype)))
        self.dtype = dtype
        return restore_type(direct.advance(samples), dtype)

    def _begin(self) -> None:
        """Begins anew, at once: an interrupt comes before or after it."""
        paths, states = self._new_paths(), self._new_states()
        self._paths, self._states, self._direct, self._is_torn = paths, states, None, False

    def _leave_direct(self) -> None:
        if self._direct is not None:
            self._paths[0].resume(self._direct.position)
            self._direct = None

    def _update_strength(self) -> None:
        strength, bypass = self.strength, self.bypass  # read once: all channels get the same
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
        # A view would show, and keep alive, the caller's own chunk or a batch that other streams have part in.
        return joined if joined.base is None else joined.copy()

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "model": self.loaded.model.digest,
            "sample_rate": self.sample_rate,
            "output_sample_rate": self.output_sample_rate,
            "channels": len(self._paths),
        }
        spec = self.loaded.engine.spec
        if spec.segments is not None:
            facts["segment_latency_ms"] = 1000 * spec.segments.latency // spec.sample_rate
        return facts


def run(
    streams: Sequence[Stream],
    jobs: Callable[[], Sequence[list[Job]]],
    process_many: Callable[[list[Job]], list[F32]],
    *,
    last: bool = False,
) -> list[Samples]:
    """Returns the mixed samples that are complete, for each stream: their jobs go through the engine together.

    If anything fails, all these streams begin anew: some have moved on and others have not, and a gap is better than
    input and output out of step.

    Args:
        streams: any number, all with the same engine, none of them in another call.
        jobs: returns what `push` or `finish` does, for each stream.
        process_many: that of the engine.
        last: the jobs are those of `finish`.
    """
    try:
        of_streams = jobs()
        enhanced = iter(process_many(list(itertools.chain.from_iterable(of_streams))))
        return [
            stream.mixed(stream.pull(list(itertools.islice(enhanced, len(of_stream))), last=last))
            for stream, of_stream in zip(streams, of_streams, strict=True)
        ]
    except BaseException:  # an interrupt from the keyboard, too
        for stream in streams:
            stream.reset()
        raise


def _dtype_of(state: StreamState) -> np.dtype[Any]:
    name = state.arrays.get("dtype")
    for dtype in DTYPES:
        if name is not None and name.dtype == np.uint8 and name.tobytes() == dtype.name.encode():
            return dtype
    raise StateError(f"expected the name of a sample type in the state, got {name!r}")


def _of_part(state: StreamState, prefix: str) -> dict[str, Samples]:
    return {name.removeprefix(prefix): array for name, array in state.arrays.items() if name.startswith(prefix)}
