"""`StreamPool`: speech enhancement of many audio streams in batches."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Unpack
from weakref import WeakSet

import numpy.typing as npt

from gtcrn_frontend.config import EngineSettings, EnhancerConfig, StreamSettings, Strength
from gtcrn_frontend.deprecation import renamed_arguments
from gtcrn_frontend.engines.loading import LoadedModel, load
from gtcrn_frontend.errors import AudioFormatError, StateError
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.settings import check_keywords, check_value
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.stream import Samples, Stream
from gtcrn_frontend.streaming.stream_batch import StreamBatch
from gtcrn_frontend.streaming.stream_info import StreamInfo, stream_info
from gtcrn_frontend.streaming.thread_pool import ThreadPool


class StreamPool:
    """Enhances many streams with one loaded model, each like an `Enhancer` of its own.

    Examples:
        >>> pool = StreamPool()
        >>> call, meeting = pool.open(), pool.open(sample_rate=48_000, channels=2, strength=0.8)
        >>> chunks = {call: np.zeros(1600, np.float32), meeting: np.zeros((4800, 2), np.float32)}
        >>> {stream_id: samples.shape for stream_id, samples in pool.process(chunks).items()}
        {0: (1280,), 1: (2856, 2)}
        >>> pool.flush(call).shape
        (320,)
        >>> pool.close(call)

    Streams with equally many hops in a call are batched, which is faster than one by one: collect the chunks of many
        streams before a call. The output does not depend on the batch: with `onnx` it is bit-identical as far as
        measured, and with any engine it differs by less than 1e-6 of full scale.

    All methods are thread-safe. Calls that process or copy samples (`process`, `flush`, `reset`, `get_state`,
    `set_state`) are serialised; the others never block, so an event loop may open, close and adjust streams while a
    worker thread processes. Like an `Enhancer`, a pool continues in a forked child.

    Args:
        model: name of a registered model, or path of a checkpoint or streaming ONNX file.
        engine: `auto` (the fastest available), `native`, `onnx` or `torch`.
        **settings: `num_threads`, `providers` and `segment_latency_ms` of `EnhancerConfig`. The threads share the
            streams of a call, which pays off from about 32 hops per call.

    Raises:
        ConfigError: a setting is invalid, or does not apply to the model (segment latency, providers).
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
        self._lock = Lock()
        self._running: list[Stream] = []  # streams of the call in progress
        self._batch: StreamBatch | None = None  # of the last call: the next one is often for the same streams
        _pools.add(self)

    @property
    def spec(self) -> ModelSpec:
        """Properties of the model."""
        return self._loaded.engine.spec

    @property
    def engine(self) -> str:
        """Name of the engine in use."""
        return self._loaded.engine.name

    @renamed_arguments(guard="auto_strength")
    def open(self, **settings: Unpack[StreamSettings]) -> int:
        """Opens a stream; returns its id, which is never reused.

        Args:
            **settings: sample rates, channels, strength and bypass, see `EnhancerConfig`; the engine's settings are
                those of the pool.

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
        """Closes a stream; samples not delivered are lost, except those of a `process` call in progress.

        Raises:
            StateError: no stream with this id is open (as in all methods with an id).
        """
        if self._streams.pop(stream_id, None) is None:
            raise self._not_open(stream_id)
        self._batch = None  # would keep the stream in memory

    def process(self, chunks: Mapping[int, npt.ArrayLike]) -> dict[int, Samples]:
        """Returns the complete enhanced samples of each stream that has a chunk, in the type of its chunk.

        Args:
            chunks: chunks of any length (including 0) by stream id; see `Enhancer.process_chunk`.

        Raises:
            AudioFormatError: a chunk is invalid; the message names the stream. No stream has changed: call again
                without that chunk.
            StateError: no stream with an id is open. No stream has changed.
        """
        if not isinstance(chunks, Mapping):
            raise AudioFormatError(f"expected chunks by stream id, got {type(chunks).__name__}")
        opened = self._streams
        try:
            streams = [opened[stream_id] for stream_id in chunks]
        except KeyError as error:
            raise self._not_open(error.args[0]) from None
        running: list[Stream] = []
        try:
            with self._lock:
                self._reset_interrupted()
                batch = self._batch_of(streams)
                checked = batch.check(list(chunks.values()), chunks)
                self._running = running = streams  # in case the engine fails
                results = batch.process(checked)
                self._running = []
                return dict(zip(chunks, results, strict=True))
        except BaseException:  # includes KeyboardInterrupt, possibly just before the return
            if running:
                with self._lock:
                    self._running = running
                    self._reset_interrupted()
            raise

    def flush(self, stream_id: int) -> Samples:
        """Returns the remaining samples of a stream, in the type of its last chunk, and resets it."""
        stream = self._stream(stream_id)
        with self._lock:
            self._reset_interrupted()
            self._move_here([stream])
            self._running = [stream]
            rest = stream.flush()
            self._running = []
            return rest

    def reset(self, stream_id: int) -> None:
        """Resets a stream; samples not delivered are lost."""
        stream = self._stream(stream_id)
        with self._lock:
            self._reset_interrupted()
            self._move_here([stream])
            stream.reset()

    def set_strength(self, stream_id: int, strength: Strength) -> None:
        """Sets the strength of a stream, 0 to 1 or `auto`; ramps over one hop."""
        self._stream(stream_id).strength = check_value(EnhancerConfig, "strength", strength)

    def set_bypass(self, stream_id: int, bypass: bool) -> None:
        """Switches bypass of a stream, which delivers the aligned input; the network keeps running."""
        self._stream(stream_id).bypass = check_value(EnhancerConfig, "bypass", bypass)

    def get_state(self, stream_id: int) -> StreamState:
        """Returns the state of a stream, compatible with that of `Enhancer.get_state`."""
        stream = self._stream(stream_id)
        with self._lock:
            self._reset_interrupted()
            self._move_here([stream])
            return stream.get_state()

    def set_state(self, stream_id: int, state: StreamState) -> None:
        """Restores the state of a stream; strength and bypass remain those set here.

        Raises:
            StateError: the state is of another model, of other rates, channels or segment latency, or damaged. The
                stream is unchanged.
        """
        stream = self._stream(stream_id)
        with self._lock:
            self._reset_interrupted()
            self._move_here([stream])
            stream.set_state(state)

    def info(self, stream_id: int) -> StreamInfo:
        """Returns the rates, settings and counts of a stream."""
        return stream_info(self._stream(stream_id))

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._streams

    def __iter__(self) -> Iterator[int]:
        """Iterates over the ids of open streams, in order of opening."""
        return iter(list(self._streams))

    def _load(self) -> LoadedModel:
        # One thread per run of the network: the pool's threads process different streams.
        config = self._config
        return load(config.model, config.engine, 1, config.providers, config.segment_latency_ms)

    def _loaded_here(self) -> LoadedModel:
        """Returns the model, loaded again after a fork."""
        if self._loaded.process_id != os.getpid():
            self._loaded = self._load()
            self._workers = ThreadPool(self._config.num_threads)
        return self._loaded

    def _batch_of(self, streams: list[Stream]) -> StreamBatch:
        """Returns the batch for a call; that of the last call if the streams are the same."""
        self._move_here(streams)
        if self._batch is None or self._batch.streams != streams:
            self._batch = StreamBatch(streams, self._workers)
        return self._batch

    def _reset_interrupted(self) -> None:
        """Resets the streams of an interrupted call; the caller holds the lock."""
        for stream in self._running:
            stream.reset()
        self._running = []

    def _move_here(self, streams: Iterable[Stream]) -> None:
        loaded = self._loaded_here()
        for stream in streams:
            if stream.loaded is not loaded:
                self._batch = None  # it has the stream's former backend
                stream.move_to(loaded)

    def _stream(self, stream_id: int) -> Stream:
        try:
            stream = self._streams.get(stream_id)
        except TypeError:  # not hashable
            stream = None
        if stream is None:
            raise self._not_open(stream_id)
        return stream

    def _not_open(self, stream_id: object) -> StateError:
        return StateError(
            f"expected the id of an open stream, got {stream_id!r}: it was closed, or never opened in this pool"
        )

    def _after_fork(self) -> None:
        """Replaces the lock, whose owner may not exist in the child; resets the streams of a call in progress."""
        self._lock = Lock()
        self._batch = None
        for stream in self._running:
            stream.after_fork()
        self._running = []


_pools: WeakSet[StreamPool] = WeakSet()


def _after_fork_in_child() -> None:
    for pool in _pools:
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
