"""Streams of an engine, as the benchmark opens and runs them: `Enhancer`, `StreamPool`, or another product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.pool import StreamPool

Samples = F32 | list[float]
"""Output of a stream, as its engine returns it."""

STREAMS_PER_CALL = 256
"""A pool gets more streams in several calls, because its working memory grows with the streams of a call."""


class Streams(Protocol):
    """Open streams of one engine."""

    def open(self) -> None:
        """Opens one more stream."""

    def process(self, chunk: F32) -> Samples:
        """Processes the chunk in every stream, waits for all results, and returns that of the first one."""
        ...

    def state_bytes(self) -> int | None:
        """Returns the size of one stream's state in bytes; None if it is unknown."""


class SeparateStreams:
    """Streams that share nothing but what `new_stream` has loaded.

    Args:
        new_stream: opens a stream; returns the function that processes a chunk in it.
    """

    def __init__(self, new_stream: Callable[[], Callable[[F32], Samples]]) -> None:
        self._new_stream = new_stream
        self._streams: list[Callable[[F32], Samples]] = []

    def open(self) -> None:
        """Opens one more stream."""
        self._streams.append(self._new_stream())

    def process(self, chunk: F32) -> Samples:
        """Processes the chunk in every stream; returns the output of the first one."""
        outputs = [stream(chunk) for stream in self._streams]
        return outputs[0]

    def state_bytes(self) -> int | None:
        """Returns None: it is unknown."""
        return None


class EnhancerStreams(SeparateStreams):
    """Streams with one `Enhancer` each.

    Args:
        config: their settings.
    """

    def __init__(self, config: EnhancerConfig) -> None:
        self._enhancers: list[Enhancer] = []
        self._config = config
        super().__init__(self._new_enhancer)

    def state_bytes(self) -> int | None:
        """Returns the size of the first stream's state in bytes."""
        return sum(array.nbytes for array in self._enhancers[0].get_state().arrays.values())

    def _new_enhancer(self) -> Callable[[F32], Samples]:
        self._enhancers.append(Enhancer.from_config(self._config))
        return self._enhancers[-1].process_chunk


class PoolStreams:
    """Streams of one `StreamPool`.

    Args:
        config: settings of the pool and its streams.
    """

    def __init__(self, config: EnhancerConfig) -> None:
        self._config = config
        self._pool = StreamPool(config.model, config.engine, **config.engine_settings)
        self._ids: list[int] = []

    def open(self) -> None:
        """Opens one more stream."""
        self._ids.append(self._pool.open(**self._config.stream_settings))

    def process(self, chunk: F32) -> F32:
        """Processes the chunk in every stream; returns the output of the first one."""
        outputs: dict[int, F32] = {}
        for i in range(0, len(self._ids), STREAMS_PER_CALL):
            outputs |= self._pool.process(dict.fromkeys(self._ids[i : i + STREAMS_PER_CALL], chunk))
        return outputs[self._ids[0]]

    def state_bytes(self) -> int | None:
        """Returns the size of the first stream's state in bytes."""
        return sum(array.nbytes for array in self._pool.get_state(self._ids[0]).arrays.values())


@dataclass(frozen=True)
class BenchEngine:
    """What is measured: a network in an engine of this package, or in another product.

    Attributes:
        name: of the product; the network's if it is this package.
        network: what runs in it.
        engine: what executes the network.
        runs: description of the model that it runs.
        make: returns it without streams; must be picklable.
        sample_rate: of its streams in Hz.
        hop_length: samples at that rate between two runs of the network.
        max_streams: number of streams up to which it is measured.
        latency_ms: the longest that a sample waits, without computing time; None if that has to be measured.
    """

    name: str
    network: str
    engine: str
    runs: str
    make: Callable[[], Streams]
    sample_rate: int
    hop_length: int
    max_streams: int
    latency_ms: float | None = None


class OtherEngineFactory(Protocol):
    """Prepares another product for a benchmark."""

    @property
    def name(self) -> str:
        """Name of the product."""
        ...

    @property
    def is_required(self) -> bool:
        """Whether the benchmark fails without it, instead of leaving it out."""
        ...

    def prepare(self, folder: Path) -> BenchEngine:
        """Returns the product, not yet loaded.

        Args:
            folder: for temporary files; exists until the benchmark ends.

        Raises:
            ImportError: the product is not installed; the message names what to install.
            ModelError: it cannot run the model.
        """
        ...
