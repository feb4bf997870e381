"""Speed and memory of streams, measured side by side in one run.

Times drift with the machine's clock and load: engines take turns, each round beginning with the next one, and ratios
are what counts. One thread each unless stated otherwise; medians and 95th percentiles of single calls.
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
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import Streams
from gtcrn_frontend.model_spec import ModelSpec

ROUNDS = 5
COST_CHUNK_MS = 100
_MAX_TOGETHER_S = 3
_STATM = Path("/proc/self/statm")  # Linux

Process = Callable[[F32], object]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Timing:
    """Speed of one engine.

    Attributes:
        streams: number of streams that get a chunk in a call.
        chunk_ms: length of a chunk.
        engine: its name.
        median_us_per_hop: time of a call divided by the number of hops in its audio, over all streams; median over
            calls, in microseconds.
        p95_us_per_hop: the same, 95th percentile.
        rtf: real-time factor: median computing time / duration of the audio of all streams.
        calls: number of timed calls.
        times_faster: median of the reference divided by this median; None without a reference.
    """

    streams: int
    chunk_ms: int
    engine: str
    median_us_per_hop: float
    p95_us_per_hop: float
    rtf: float
    calls: int
    times_faster: float | None


@dataclass(frozen=True)
class StreamCost:
    """Cost of one more stream.

    Attributes:
        engine: name of the engine, and the sample rate of the stream.
        streams: number of streams that were opened and run.
        median_open_ms: time to open one; median, in milliseconds.
        p95_open_ms: the same, 95th percentile.
        process_mb: growth of the process per stream, once all have run, in MB; None on systems other than Linux.
        arrays_mb: size of one stream's state in MB; None if unknown.
    """

    engine: str
    streams: int
    median_open_ms: float
    p95_open_ms: float
    process_mb: float | None
    arrays_mb: float | None


def measure_speed(
    engines: Mapping[str, Streams],
    streams: int,
    chunk_ms: int,
    spec: ModelSpec,
    seconds: float,
    reference: str | None = None,
) -> list[Timing]:
    """Returns the speed of each engine.

    Args:
        engines: by name, each with `streams` open streams.
        streams: number of streams.
        chunk_ms: length of a chunk, >= 1.
        spec: sample rate and hop length. A network that runs in segments only buffers most chunks: as many chunks are
            timed together as make a whole number of segments, or at least one if that would take too many.
        seconds: approximate time for each engine, in `ROUNDS` turns of at least one call, after a warm-up.
        reference: name of the engine that the others are compared with.
    """
    length = spec.sample_rate * chunk_ms // 1000
    timed = _timed_together(length, spec)
    hops = streams * timed / spec.hop_length
    audio = noise_bursts(spec.sample_rate, max(1.0, timed / spec.sample_rate))
    chunks = [audio[i : i + timed] for i in range(0, len(audio) - timed + 1, timed)]
    processes = {
        name: engine.process if timed == length else _in_pieces(engine.process, length)
        for name, engine in engines.items()
    }
    # The first segment is complete after the latency.
    waiting = 0 if spec.segments is None else -(-spec.segments.latency // timed)
    warm_up = dict.fromkeys(processes, max(2, len(chunks) // streams) + waiting)
    inputs = dict.fromkeys(processes, chunks)
    warm = interleaved_times_s(processes, inputs, 1, warm_up)
    calls = {name: max(1, round(seconds / ROUNDS / min(values[waiting:]))) for name, values in warm.items()}
    times = interleaved_times_s(processes, inputs, ROUNDS, calls)
    per_hop_us = {name: np.array(values) * 1e6 / hops for name, values in times.items()}
    medians_and_p95 = {name: median_and_p95(values) for name, values in per_hop_us.items()}
    return [
        Timing(
            streams=streams,
            chunk_ms=chunk_ms,
            engine=name,
            median_us_per_hop=median,
            p95_us_per_hop=p95,
            rtf=median * 1e-6 * spec.sample_rate / spec.hop_length,
            calls=len(times[name]),
            times_faster=medians_and_p95[reference][0] / median if reference in medians_and_p95 else None,
        )
        for name, (median, p95) in medians_and_p95.items()
    ]


def measure_cost(
    engine: str, make: Callable[[], Streams], sample_rate: int, *, streams: int, warm_up: int
) -> StreamCost:
    """Returns the cost of one more stream; to be run in a fresh process, which has no freed memory to reuse.

    Args:
        engine: its name.
        make: returns the engine without streams.
        sample_rate: of its streams in Hz.
        streams: number of streams to open.
        warm_up: number of streams that are opened and run before, so that working memory is allocated; it grows with
            the streams in a call, not with all open ones.
    """
    opened = make()
    chunk = noise_bursts(sample_rate, COST_CHUNK_MS / 1000)
    for _ in range(warm_up):
        opened.open()
    for _ in range(3):
        opened.process(chunk)
    before = resident_bytes()
    times_ms = []
    for _ in range(streams):
        begin = time.perf_counter()
        opened.open()
        times_ms.append((time.perf_counter() - begin) * 1e3)
    for _ in range(3):
        opened.process(chunk)
    after = resident_bytes()
    median, p95 = median_and_p95(times_ms)
    state_bytes = opened.state_bytes()
    return StreamCost(
        engine=engine,
        streams=streams,
        median_open_ms=median,
        p95_open_ms=p95,
        process_mb=None if before is None or after is None else (after - before) / streams / 1e6,
        arrays_mb=None if state_bytes is None else state_bytes / 1e6,
    )


def in_fresh_process(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Returns the result of a function that runs in a new process; arguments, result and errors are pickled."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as fresh:
        return fresh.submit(function, *args, **kwargs).result()


def interleaved_times_s(
    processes: Mapping[str, Process],
    chunks: Mapping[str, Sequence[F32]],
    rounds: int,
    calls: Mapping[str, int] | None = None,
) -> dict[str, list[float]]:
    """Returns the time of each call in seconds; engines take turns, each round beginning with the next one.

    Args:
        processes: functions that process a chunk, by name.
        chunks: the input of each, by name, repeated.
        rounds: number of rounds.
        calls: calls per turn, by name; None for one per chunk.
    """
    times: dict[str, list[float]] = {name: [] for name in processes}
    order = list(processes)
    for _ in range(rounds):
        order = order[1:] + order[:1]
        for name in order:
            process = processes[name]
            for chunk in islice(cycle(chunks[name]), calls[name] if calls else len(chunks[name])):
                start = time.perf_counter()
                process(chunk)
                times[name].append(time.perf_counter() - start)
    return times


def _timed_together(length: int, spec: ModelSpec) -> int:
    """Number of samples, in chunks of `length`, that are timed together."""
    if spec.segments is None:
        return length
    exact = math.lcm(length, spec.segments.advance)
    return exact if exact <= _MAX_TOGETHER_S * spec.sample_rate else length * -(-spec.segments.advance // length)


def _in_pieces(process: Process, length: int) -> Process:
    """A function that processes its input in chunks of `length` samples."""

    def process_pieces(samples: F32) -> None:
        for start in range(0, len(samples), length):
            process(samples[start : start + length])

    return process_pieces


def noise_bursts(sample_rate: int, seconds: float) -> F32:
    """Returns bursts of noise, `(n,)`: full load for every engine, without digital silence."""
    noise = np.random.default_rng(1).standard_normal(round(seconds * sample_rate))
    bursts = 0.02 + 0.1 * np.maximum(0, np.sin(2 * np.pi * 3 * np.arange(len(noise)) / sample_rate))
    return (noise * bursts).astype(np.float32)


def median_and_p95(values: Sequence[float] | NDArray[np.floating]) -> tuple[float, float]:
    """Returns the median and the 95th percentile."""
    median, p95 = np.percentile(values, [50, 95])
    return float(median), float(p95)


def resident_bytes() -> int | None:
    """Returns the memory of this process; None on systems other than Linux."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if _STATM.is_file() else None
