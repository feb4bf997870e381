"""How long the work takes, and what one more stream costs: several contenders side by side, in one run.

Times drift with the machine's clock and load. So contenders take turns, the next one beginning each round, and what
counts are ratios. One thread each unless said otherwise; medians, and 95th percentiles, of single calls.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.pool import StreamPool

STREAMS_PER_CALL = 256
"""More streams than these a pool gets in several calls: working memory grows with the streams of a call."""

ROUNDS = 5
WEIGHED_CHUNK_MS = 100
_MOST_TOGETHER_S = 3
_STATM = Path("/proc/self/statm")  # Linux

Samples = NDArray[np.float32]
Process = Callable[[Samples], object]
P = ParamSpec("P")
R = TypeVar("R")


class Streams(Protocol):
    """A contender: streams that go through the same model."""

    def open(self) -> None:
        """Begins one more stream."""

    def process(self, chunk: Samples) -> None:
        """Gives every stream the chunk and waits for all results."""

    def state_bytes(self) -> int | None:
        """Returns the bytes of all arrays that one stream consists of, if that is known."""


class EnhancerStreams:
    """Streams as an `Enhancer` each."""

    def __init__(self, model: str | Path, engine: str) -> None:
        self._model, self._engine = model, engine
        self._enhancers: list[Enhancer] = []

    def open(self) -> None:
        """Begins one more stream."""
        self._enhancers.append(Enhancer(self._model, self._engine))

    def process(self, chunk: Samples) -> None:
        """Gives every stream the chunk."""
        for enhancer in self._enhancers:
            enhancer.process_chunk(chunk)

    def state_bytes(self) -> int | None:
        """Returns the bytes of the first stream's arrays."""
        return sum(array.nbytes for array in self._enhancers[0].get_state().arrays.values())


class PoolStreams:
    """Streams of one `StreamPool`."""

    def __init__(self, model: str | Path, engine: str, num_threads: int = 1, sample_rate: int | None = None) -> None:
        self._pool = StreamPool(model, engine, num_threads=num_threads)
        self._sample_rate = sample_rate
        self._ids: list[int] = []

    def open(self) -> None:
        """Begins one more stream."""
        self._ids.append(self._pool.open(sample_rate=self._sample_rate))

    def process(self, chunk: Samples) -> None:
        """Gives every stream the chunk."""
        for i in range(0, len(self._ids), STREAMS_PER_CALL):
            self._pool.process(dict.fromkeys(self._ids[i : i + STREAMS_PER_CALL], chunk))

    def state_bytes(self) -> int | None:
        """Returns the bytes of the first stream's arrays."""
        return sum(array.nbytes for array in self._pool.get_state(self._ids[0]).arrays.values())


@dataclass(frozen=True)
class Timing:
    """The time of one contender.

    Attributes:
        streams: how many got a chunk in a call.
        chunk_ms: length of a chunk.
        contender: whose time it is.
        median_us_per_hop: time of a call divided by the hops of audio in it, those of all streams, whatever the
            contender does inside; the median over calls.
        p95_us_per_hop: the same, 95th percentile.
        rtf: median computing time / time of the audio of all streams.
        calls: how many were timed.
        times_faster: median of the reference divided by this one's; None without a reference.
    """

    streams: int
    chunk_ms: int
    contender: str
    median_us_per_hop: float
    p95_us_per_hop: float
    rtf: float
    calls: int
    times_faster: float | None


@dataclass(frozen=True)
class StreamCost:
    """What one more stream costs.

    Attributes:
        contender: whose stream it is.
        streams: how many were opened and run to find out.
        median_open_ms: time to open one.
        p95_open_ms: the same, 95th percentile.
        process_mb: what the process has grown by, for each stream, once all have run; None where the system is not
            Linux.
        arrays_mb: arrays of one stream's state; None if not known.
    """

    contender: str
    streams: int
    median_open_ms: float
    p95_open_ms: float
    process_mb: float | None
    arrays_mb: float | None


def measure_speed(
    contenders: Mapping[str, Streams],
    streams: int,
    chunk_ms: int,
    spec: ModelSpec,
    seconds: float,
    reference: str | None = None,
) -> list[Timing]:
    """Returns the time of each contender.

    Args:
        contenders: by name; `streams` streams are open in each.
        streams: number of streams.
        chunk_ms: length of a chunk, from 1.
        spec: gives the sample rate and the hop length. Where a network runs in segments, most chunks only wait: as many
            are timed together as bring a whole number of segments, or one at least where that would take too many.
        seconds: time to spend on each contender, about, in `ROUNDS` turns of one call at least, after a warm-up.
        reference: the contender that the others are compared with.
    """
    length = spec.sample_rate * chunk_ms // 1000
    timed = _timed_together(length, spec)
    hops = streams * timed / spec.hop_length
    audio = noise_bursts(spec.sample_rate, max(1.0, timed / spec.sample_rate))
    chunks = [audio[i : i + timed] for i in range(0, len(audio) - timed + 1, timed)]
    processes = {
        name: contender.process if timed == length else _in_pieces(contender.process, length)
        for name, contender in contenders.items()
    }
    # The first segment comes when the latency is over.
    waiting = 0 if spec.segments is None else -(-spec.segments.latency // timed)
    warm_up = dict.fromkeys(processes, max(2, len(chunks) // streams) + waiting)
    warm = interleaved_times_s(processes, chunks, 1, warm_up)
    calls = {name: max(1, round(seconds / ROUNDS / min(values[waiting:]))) for name, values in warm.items()}
    times = interleaved_times_s(processes, chunks, ROUNDS, calls)
    per_hop_us = {name: np.array(values) * 1e6 / hops for name, values in times.items()}
    medians_and_p95 = {name: median_and_p95(values) for name, values in per_hop_us.items()}
    return [
        Timing(
            streams=streams,
            chunk_ms=chunk_ms,
            contender=name,
            median_us_per_hop=median,
            p95_us_per_hop=p95,
            rtf=median * 1e-6 * spec.sample_rate / spec.hop_length,
            calls=len(times[name]),
            times_faster=medians_and_p95[reference][0] / median if reference in medians_and_p95 else None,
        )
        for name, (median, p95) in medians_and_p95.items()
    ]


def measure_cost(
    contender: str, make: Callable[[], Streams], sample_rate: int, *, streams: int, warm_up: int
) -> StreamCost:
    """Returns what one more stream costs; to be run in a fresh process, which has freed nothing that could be reused.

    Args:
        contender: its name.
        make: returns it without streams.
        sample_rate: of its streams in Hz.
        streams: how many to open.
        warm_up: streams that are opened and run before: working memory is then in place. It grows with the streams
            in a call, not with all there are.
    """
    contestant = make()
    chunk = noise_bursts(sample_rate, WEIGHED_CHUNK_MS / 1000)
    for _ in range(warm_up):
        contestant.open()
    for _ in range(3):
        contestant.process(chunk)
    before = _resident_bytes()
    times_ms = []
    for _ in range(streams):
        begin = time.perf_counter()
        contestant.open()
        times_ms.append((time.perf_counter() - begin) * 1e3)
    for _ in range(3):
        contestant.process(chunk)
    after = _resident_bytes()
    median, p95 = median_and_p95(times_ms)
    state_bytes = contestant.state_bytes()
    return StreamCost(
        contender=contender,
        streams=streams,
        median_open_ms=median,
        p95_open_ms=p95,
        process_mb=None if before is None or after is None else (after - before) / streams / 1e6,
        arrays_mb=None if state_bytes is None else state_bytes / 1e6,
    )


def in_fresh_process(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Returns what the function returns in a new process; everything is pickled on the way, errors too."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as fresh:
        return fresh.submit(function, *args, **kwargs).result()


def interleaved_times_s(
    processes: Mapping[str, Process],
    chunks: Sequence[Samples],
    rounds: int,
    calls: Mapping[str, int] | None = None,
) -> dict[str, list[float]]:
    """Returns the time of each call; in every round each contender has a turn, the next one starting the round.

    Args:
        processes: contenders by name.
        chunks: what they get, over and over.
        rounds: number of rounds.
        calls: in a turn, by name; without it, one for each chunk.
    """
    times: dict[str, list[float]] = {name: [] for name in processes}
    order = list(processes)
    for _ in range(rounds):
        order = order[1:] + order[:1]
        for name in order:
            process = processes[name]
            for chunk in islice(cycle(chunks), calls[name] if calls else len(chunks)):
                start = time.perf_counter()
                process(chunk)
                times[name].append(time.perf_counter() - start)
    return times


def _timed_together(length: int, spec: ModelSpec) -> int:
    """How many samples in chunks of `length` are timed together."""
    if spec.segments is None:
        return length
    exact = math.lcm(length, spec.segments.advance)
    return exact if exact <= _MOST_TOGETHER_S * spec.sample_rate else length * -(-spec.segments.advance // length)


def _in_pieces(process: Process, length: int) -> Process:
    """A process that passes on what it gets in chunks of so many samples."""

    def process_pieces(samples: Samples) -> None:
        for start in range(0, len(samples), length):
            process(samples[start : start + length])

    return process_pieces


def noise_bursts(sample_rate: int, seconds: float) -> Samples:
    """Returns noise in bursts, `(n,)`: full work for every contender, no digital silence."""
    noise = np.random.default_rng(1).standard_normal(round(seconds * sample_rate))
    bursts = 0.02 + 0.1 * np.maximum(0, np.sin(2 * np.pi * 3 * np.arange(len(noise)) / sample_rate))
    return (noise * bursts).astype(np.float32)


def median_and_p95(values: Sequence[float] | NDArray[np.floating]) -> tuple[float, float]:
    """Returns the median and the 95th percentile."""
    median, p95 = np.percentile(values, [50, 95])
    return float(median), float(p95)


def _resident_bytes() -> int | None:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if _STATM.is_file() else None
