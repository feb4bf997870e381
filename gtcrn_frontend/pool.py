"""`StreamPool`: many streams of audio through one model."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Unpack
from weakref import WeakSet

import numpy.typing as npt

from gtcrn_frontend.config import EngineSettings, EnhancerConfig, StreamSettings, Strength
from gtcrn_frontend.deprecation import renamed_arguments, renamed_attribute
from gtcrn_frontend.engines.loading import LoadedModel, load
from gtcrn_frontend.errors import AudioFormatError, StateError
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.settings import check_keywords, check_value
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.stream import Samples, Stream
from gtcrn_frontend.streaming.stream_batch import StreamBatch
from gtcrn_frontend.streaming.thread_pool import ThreadPool


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a pool at one moment; see the properties of `Enhancer` by the same names.

    Attributes:
        sample_rate: rate of the input in Hz.
        output_sample_rate: rate of the output in Hz.
        channels: channels of the input.
        strength: 0 (input unchanged) to 1 (full enhancement), or `auto`.
        bypass: whether the aligned input is delivered.
        latency_samples: the longest time that a sample waits until it comes out, in samples of the input.
        lag_samples: the most samples of the output that are missing behind the input.
        samples_in: samples per channel taken since the stream began.
        samples_out: samples per channel delivered since the stream began.
        auto_strength_reports: what the guard of each channel knows; empty while it is off.
    """

    sample_rate: int
    output_sample_rate: int
    channels: int
    strength: Strength
    bypass: bool
    latency_samples: int
    lag_samples: int
    samples_in: int
    samples_out: int
    auto_strength_reports: tuple[AutoStrengthReport, ...]

    guards = renamed_attribute("guards", "auto_strength_reports")

    @property
    def latency_ms(self) -> float:
        """The longest time that a sample waits until it comes out, in milliseconds; computing not counted."""
        return 1000 * self.latency_samples / self.sample_rate


class StreamPool:
    """Enhances many streams through one loaded model, each as an `Enhancer` of its own would.

    Examples:
        >>> pool = StreamPool()
        >>> call, meeting = pool.open(), pool.open(sample_rate=48_000, channels=2, strength=0.8)
        >>> chunks = {call: np.zeros(1600, np.float32), meeting: np.zeros((4800, 2), np.float32)}
        >>> {stream_id: samples.shape for stream_id, samples in pool.process(chunks).items()}
        {0: (1280,), 1: (2856, 2)}
        >>> pool.flush(call).shape
        (320,)
        >>> pool.close(call)

    Streams with equally many hops in a call go through the network together, which is faster than one by one: collect
    the chunks of many streams before a call. What comes out does not depend on the company: with `onnx` not to the last
    bit, as far as measured, and with any engine by less than 1e-6 of full scale.

    Any method may be called from any thread. Calls that move or copy samples (`process`, `flush`, `reset`, `get_state`,
    `set_state`) take turns; the others never wait for them, so an event loop may open, close and adjust streams while
    a worker thread processes. Like an `Enhancer`, a pool goes on in a forked child.

    Args:
        model: name of a registered model, or path of a checkpoint or streaming ONNX file.
        engine: `auto` (the fastest present), `native`, `onnx` or `torch`.
        **settings: `num_threads`, `providers` and `segment_latency_ms` of `EnhancerConfig`. The threads divide the
            streams of a call among them; they pay from about 32 hops in a call.

    Raises:
        ConfigError: a setting is out of range, or a segment latency is given for a network that runs frame by frame.
        ModelError: the model or the engine cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path = EnhancerConfig.model,
        engine: str = EnhancerConfig.engine,
        **settings: Unpack[EngineSettings],
    ) -> None:
        check_keywords(settings, EngineSettings.__annotations__, "StreamPool")
        self._config = EnhancerConfig(model, engine, **settings)
        self._loaded = self._load()
        self._workers = ThreadPool(self._config.num_threads)
        self._ids = itertools.count()
        self._streams: dict[int, Stream] = {}
        self._turn = Lock()
        self._running: list[Stream] = []  # those on their way through the engine
        self._company: StreamBatch | None = None  # of the last call
        self._changes = object()  # another one after each change that the company of the last call does not know of
        _pools.add(self)

    @property
    def spec(self) -> ModelSpec:
        """The facts of the model."""
        return self._loaded.engine.spec

    @property
    def engine(self) -> str:
        """Name of the engine that runs."""
        return self._loaded.engine.name

    @renamed_arguments(guard="auto_strength")
    def open(self, **settings: Unpack[StreamSettings]) -> int:
        """Returns the id of a new stream; an id is never given twice.

        Args:
            **settings: rates, channels, strength and so on: fields of `EnhancerConfig`, but for those of the engine,
                which all streams share.

        Raises:
            ConfigError: a setting is out of range.
        """
        check_keywords(settings, StreamSettings.__annotations__, "StreamPool.open")
        config = dataclasses.replace(self._config, **settings)
        stream = Stream(self._loaded_here(), config)
        stream_id = next(self._ids)
        self._streams[stream_id] = stream
        return stream_id

    def close(self, stream_id: int) -> None:
        """Ends a stream; what was not delivered is lost, except to a call that is processing it.

        Raises:
            StateError: as in all methods that take an id: no stream with this id is open.
        """
        if self._streams.pop(stream_id, None) is None:
            raise self._not_open(stream_id)
        self._changed()

    def process(self, chunks: Mapping[int, npt.ArrayLike]) -> dict[int, Samples]:
        """Returns the enhanced samples that are complete, for each stream that has a chunk, in the type of its chunk.

        Args:
            chunks: by stream id, of any length, also 0; see `Enhancer.process_chunk`.

        Raises:
            AudioFormatError: a chunk is bad; the message names the stream. No stream has changed: leave that chunk
                out, and call again.
            StateError: no stream with an id is open. No stream has changed.
        """
        if not isinstance(chunks, Mapping):
            raise AudioFormatError(f"expected chunks by stream id, got {type(chunks).__name__}")
        opened = self._streams
        try:
            streams = {stream_id: opened[stream_id] for stream_id in chunks}
        except KeyError as error:
            raise self._not_open(error.args[0]) from None
        moved: list[Stream] = []
        try:
            with self._turn:
                self._begin_torn()
                changes = self._changes  # what changes from here on is for the next call
                company = self._company_of(streams, changes)
                checked = company.check(chunks)
                moved = company.streams
                self._running, self._company = moved, None  # should the engine fail
                results = company.process(checked)
                self._running = []
                if changes is self._changes and company.is_lasting:
                    self._company = company
                return results
        except BaseException:  # an interrupt from the keyboard, too, maybe when all but the return is done
            if moved:
                with self._turn:
                    self._running = moved
                    self._begin_torn()
            raise

    def flush(self, stream_id: int) -> Samples:
        """Returns the rest of a stream, in the type of its last chunk; it stays open and is as new."""
        stream = self._stream(stream_id)
        with self._turn:
            self._begin_torn()
            self._move_here([stream])
            self._changed()
            self._running = [stream]
            rest = stream.flush()
            self._running = []
            return rest

    def reset(self, stream_id: int) -> None:
        """Begins a stream anew under its id; what was not delivered is lost."""
        stream = self._stream(stream_id)
        with self._turn:
            self._begin_torn()
            self._move_here([stream])
            self._changed()
            stream.reset()

    def set_strength(self, stream_id: int, strength: Strength) -> None:
        """Sets the strength of a stream, a number or `auto`; takes effect over one hop."""
        self._stream(stream_id).strength = check_value(EnhancerConfig, "strength", strength)
        self._changed()

    def set_bypass(self, stream_id: int, bypass: bool) -> None:
        """Delivers a stream's aligned input, or the enhanced signal again: the network keeps running."""
        self._stream(stream_id).bypass = check_value(EnhancerConfig, "bypass", bypass)
        self._changed()

    def get_state(self, stream_id: int) -> StreamState:
        """Returns the state of a stream, as `Enhancer.get_state` does: a stream can move between the two."""
        stream = self._stream(stream_id)
        with self._turn:
            self._begin_torn()
            self._move_here([stream])
            self._changed()
            return stream.get_state()

    def set_state(self, stream_id: int, state: StreamState) -> None:
        """Lets a stream go on where `state` was taken; strength and bypass stay those set here.

        Raises:
            StateError: the state is of another model, of other rates, channels or segment latency, or damaged. The
                stream is unchanged.
        """
        stream = self._stream(stream_id)
        with self._turn:
            self._begin_torn()
            self._move_here([stream])
            self._changed()
            stream.set_state(state)

    def info(self, stream_id: int) -> StreamInfo:
        """Returns the rates, settings and counts of a stream."""
        stream = self._stream(stream_id)
        samples_out = stream.samples_out  # first: more may come in meanwhile
        return StreamInfo(
            sample_rate=stream.sample_rate,
            output_sample_rate=stream.output_sample_rate,
            channels=stream.config.channels,
            strength=stream.strength,
            bypass=stream.bypass,
            latency_samples=stream.latency_samples,
            lag_samples=stream.lag_samples,
            samples_in=stream.samples_in,
            samples_out=samples_out,
            auto_strength_reports=stream.auto_strength_reports,
        )

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._streams

    def __iter__(self) -> Iterator[int]:
        """The ids of the streams that are open now, in order of opening."""
        return iter(list(self._streams))

    def _load(self) -> LoadedModel:
        # One thread per run of the network: the threads of this pool have streams of their own to run.
        config = self._config
        return load(config.model, config.engine, 1, config.providers, config.segment_latency_ms)

    def _loaded_here(self) -> LoadedModel:
        """The model in an engine of this process: after `fork`, the parent's cannot be used."""
        if self._loaded.process_id != os.getpid():
            self._loaded = self._load()
            self._workers = ThreadPool(self._config.num_threads)
        return self._loaded

    def _company_of(self, streams: dict[int, Stream], changes: object) -> StreamBatch:
        """The streams of a call, in this process; those of the last call are ready if nothing has changed."""
        company = self._company
        if company is not None and company.ids == list(streams) and company.changes is changes and company.is_here:
            return company
        self._move_here(streams.values())
        return StreamBatch(streams, self._loaded, self._workers, self._config.num_threads, changes)

    def _begin_torn(self) -> None:
        """Begins the streams anew whose call did not end in a result; to be called by whoever has the turn."""
        if self._running:
            self._changed()
            for stream in self._running:
                stream.reset()
            self._running = []

    def _changed(self) -> None:
        """To be called with a change of any stream, but for samples that go through `process`.

        Before a change that may fail half-way, after one that another thread could overlook.
        """
        self._changes = object()
        self._company = None  # it would keep a closed stream in memory

    def _move_here(self, streams: Iterable[Stream]) -> None:
        loaded = self._loaded_here()
        for stream in streams:
            if stream.loaded is not loaded:
                stream.move_to(loaded)

    def _stream(self, stream_id: int) -> Stream:
        try:
            stream = self._streams.get(stream_id)
        except TypeError:  # not even hashable
            stream = None
        if stream is None:
            raise self._not_open(stream_id)
        return stream

    def _not_open(self, stream_id: object) -> StateError:
        return StateError(
            f"expected the id of an open stream, got {stream_id!r}: it was closed, or never opened in this pool"
        )

    def _after_fork(self) -> None:
        """Lets go of a lock whose thread does not exist in the child; what it was processing begins anew."""
        self._turn = Lock()
        for stream in self._running:
            stream.after_fork()
        self._running = []
        self._changed()


_pools: WeakSet[StreamPool] = WeakSet()


def _after_fork_in_child() -> None:
    for pool in _pools:
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
