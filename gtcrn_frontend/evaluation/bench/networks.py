"""`benchmark_networks`: all networks of this package beside other products, on this machine."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.bench.benchmark import FULL, Effort, single_threaded
from gtcrn_frontend.evaluation.bench.footprint import Footprint, measure_footprint
from gtcrn_frontend.evaluation.bench.own_networks import own_networks
from gtcrn_frontend.evaluation.bench.speed import (
    ROUNDS,
    interleaved_times_s,
    median_and_p95,
    noise_bursts,
)
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, OtherEngineFactory
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.progress import LoggedProgress, Progress
from gtcrn_frontend.evaluation.report.tables import Value, fitted_table

TITLES = {
    "network": "network",
    "engine": "engine",
    "sample_rate": "Hz",
    "hop_ms": "hop ms",
    "median_us_per_hop": "us/hop",
    "ms_per_s": "ms/s",
    "first_stream_mb": "MB, 1st",
    "next_stream_mb": "MB, next",
    "latency_ms": "latency ms",
}
DIGITS = {"hop ms": 1, "us/hop": 1, "ms/s": 2, "MB, 1st": 1, "MB, next": 2, "latency ms": 1}
LEGEND = (
    "us/hop: median computing time per hop. ms/s: the same per second of audio. MB, 1st: memory of a process for the\n"
    "engine's libraries, the loaded model and its first stream. MB, next: for one more stream. latency: the longest\n"
    "that a sample waits, without computing time"
)
_WARM_UP_S = 0.5  # of audio


@dataclass(frozen=True)
class NetworkFigures:
    """Figures of one network in one engine.

    Attributes:
        name, network, engine, runs, sample_rate: see `BenchEngine`.
        hop_ms: duration of a hop, the audio of one call.
        median_us_per_hop: time of a call, median; in microseconds.
        p95_us_per_hop: the same, 95th percentile.
        ms_per_s: median computing time per second of audio, in milliseconds.
        calls: number of timed calls.
        first_stream_mb, next_stream_mb, latency_ms, latency_is_measured: see `Footprint`.
    """

    name: str
    network: str
    engine: str
    runs: str
    sample_rate: int
    hop_ms: float
    median_us_per_hop: float
    p95_us_per_hop: float
    ms_per_s: float
    calls: int
    first_stream_mb: float | None
    next_stream_mb: float | None
    latency_ms: float | None
    latency_is_measured: bool


@dataclass(frozen=True)
class NetworkBenchmark:
    """Result of `benchmark_networks`; `print` shows the environment and the table.

    Attributes:
        environment: processor and versions.
        networks: figures, those of this package first.
        left_out: why a network or product was not measured, by its name.
        settings: of the benchmark by name.
    """

    environment: Mapping[str, str]
    networks: tuple[NetworkFigures, ...]
    left_out: Mapping[str, str]
    settings: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns all figures as values that JSON holds."""
        return {
            "environment": dict(self.environment),
            "settings": dict(self.settings),
            "networks": [dataclasses.asdict(figures) for figures in self.networks],
            "left_out": dict(self.left_out),
        }

    def __str__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.environment.items()]
        rows: list[dict[str, Value]] = [
            {title: getattr(figures, name) for name, title in TITLES.items()} for figures in self.networks
        ]
        runs = [f"{figures.name} runs {figures.runs}" for figures in self.networks]
        measured = ", ".join(figures.name for figures in self.networks if figures.latency_is_measured)
        legend = f"{LEGEND}{f'; measured for {measured}' if measured else ''}."
        left_out = [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]
        table = fitted_table(rows, DIGITS) if rows else ""
        blocks = ["\n".join(lines), table, legend, "\n".join(runs), "\n".join(left_out)]
        return "\n\n".join(block for block in blocks if block)


def benchmark_networks(
    others: Sequence[OtherEngineFactory] = (), *, effort: Effort = FULL, progress: Progress | None = None
) -> NetworkBenchmark:
    """Measures computing time, memory and latency of every network of this package that is present, and of others.

    >>> print(benchmark_networks([RNNOISE, DTLN]))  # doctest: +SKIP

    All run one stream hop by hop with one thread, in one process, taking turns; before, each one's memory and latency
    are measured in a process of its own. What cannot be loaded is left out. A script that calls this function needs the
    usual `if __name__ == "__main__":`, and measures torch with one thread if it does so before it imports torch.

    Args:
        others: other products to measure beside them, such as those of `adapters.denoisers`.
        effort: of which `seconds` is the time for each one's speed, and `opened` the number of streams to open for the
            memory of one more.
        progress: receives the progress.
    """
    progress = progress or LoggedProgress()
    with single_threaded(), tempfile.TemporaryDirectory() as folder:
        engines, left_out = own_networks()
        for other in others:
            try:
                engines.append(other.prepare(Path(folder)))
            except (ImportError, ModelError) as error:
                left_out[other.name] = _one_line(error)
        progress.begin("measuring", len(engines) + 1)
        footprints: dict[str, Footprint] = {}
        for engine in engines:
            try:
                footprints[engine.name] = measure_footprint(engine, effort.opened)
            except ModelError as error:
                left_out[engine.name] = str(error)
            progress.update()
        able = [engine for engine in engines if engine.name in footprints]
        times = measure_hops(able, effort.seconds)
        progress.update()
    figures = tuple(_figures(engine, times[engine.name], footprints[engine.name]) for engine in able)
    return NetworkBenchmark(environment(), figures, left_out, {"threads": 1, "seconds": effort.seconds})


def measure_hops(engines: Sequence[BenchEngine], seconds: float) -> dict[str, list[float]]:
    """Returns the times of single hops in seconds, by the engine's name; engines take turns.

    Args:
        engines: each gets one stream, and audio at its own rate.
        seconds: approximate time for each, in `ROUNDS` turns of at least one hop, after a warm-up.
    """
    processes, chunks, warm_up = {}, {}, {}
    for engine in engines:
        streams = engine.make()
        streams.open()
        hop, rate = engine.hop_length, engine.sample_rate
        audio = noise_bursts(rate, 1)
        processes[engine.name] = streams.process
        chunks[engine.name] = [audio[i : i + hop] for i in range(0, len(audio) - hop + 1, hop)]
        warm_up[engine.name] = round(_WARM_UP_S * rate / hop)
    warm = interleaved_times_s(processes, chunks, 1, warm_up)
    calls = {name: max(1, round(seconds / ROUNDS / float(np.median(times)))) for name, times in warm.items()}
    return interleaved_times_s(processes, chunks, ROUNDS, calls)


def _figures(engine: BenchEngine, times_s: Sequence[float], footprint: Footprint) -> NetworkFigures:
    median_us, p95_us = (1e6 * value for value in median_and_p95(times_s))
    hop_s = engine.hop_length / engine.sample_rate
    return NetworkFigures(
        name=engine.name,
        network=engine.network,
        engine=engine.engine,
        runs=engine.runs,
        sample_rate=engine.sample_rate,
        hop_ms=1000 * hop_s,
        median_us_per_hop=median_us,
        p95_us_per_hop=p95_us,
        ms_per_s=median_us / 1000 / hop_s,
        calls=len(times_s),
        **dataclasses.asdict(footprint),
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
