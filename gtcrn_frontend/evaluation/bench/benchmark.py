"""`benchmark`: speed and memory of all engines on this machine."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import ENGINES, LoadedModel, load
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.bench.speed import StreamCost, Timing, in_fresh_process, measure_cost, measure_speed
from gtcrn_frontend.evaluation.bench.streams import (
    STREAMS_PER_CALL,
    BenchEngine,
    EnhancerStreams,
    OtherEngineFactory,
    PoolStreams,
    Streams,
)
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.progress import LoggedProgress, Progress
from gtcrn_frontend.evaluation.report.tables import Value, fitted_table
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.weights.model import model_path

RESAMPLED_HZ = 48_000  # streams with resamplers cost more

SPEED_TITLES = {
    "streams": "streams",
    "chunk_ms": "chunk ms",
    "engine": "engine",
    "median_us_per_hop": "us/hop",
    "p95_us_per_hop": "us/hop p95",
    "rtf": "RTF",
    "calls": "calls",
}
COST_TITLES = {
    "engine": "one more stream of",
    "streams": "streams",
    "median_open_ms": "ms to open",
    "p95_open_ms": "ms p95",
    "process_mb": "MB of process",
    "arrays_mb": "MB of state",
}
SPEEDUP = "speedup"
DIGITS = {"us/hop": 1, "us/hop p95": 1, "RTF": 5, SPEEDUP: 2} | {
    COST_TITLES[name]: 3 for name in ("median_open_ms", "p95_open_ms", "process_mb", "arrays_mb")
}


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        streams: numbers of streams.
        chunk_ms: lengths of chunks in milliseconds.
        seconds: approximate time for each figure of an engine.
        opened: number of streams to open for the cost of one more.
    """

    streams: tuple[int, ...]
    chunk_ms: tuple[int, ...]
    seconds: float
    opened: int


FULL = Effort((1, 16, 256), (16, 100, 1000), seconds=1.0, opened=2000)
QUICK = Effort((1, 16), (16, 100), seconds=0.2, opened=500)


@dataclass(frozen=True)
class Benchmark:
    """Result of `benchmark`; `print(benchmark)` shows the environment and the tables.

    Attributes:
        environment: processor and versions.
        model: name or path of the model.
        speed: of each engine, for each number of streams and length of chunks.
        cost: of one more stream of each engine.
        left_out: why an engine was not measured, by its name.
        settings: of the benchmark by name.
        others: model that each other product ran, by the product's name; the first one is what `times_faster`
            compares with.
    """

    environment: Mapping[str, str]
    model: str
    speed: tuple[Timing, ...]
    cost: tuple[StreamCost, ...]
    left_out: Mapping[str, str]
    settings: Mapping[str, Any]
    others: Mapping[str, str | None]

    def to_dict(self) -> dict[str, Any]:
        """Returns all figures as values that JSON holds."""
        return {
            "environment": dict(self.environment),
            "settings": {"model": self.model, **self.others, **self.settings},
            "speed": [dataclasses.asdict(row) for row in self.speed],
            "cost": [dataclasses.asdict(row) for row in self.cost],
            "left_out": dict(self.left_out),
        }

    def __str__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.environment.items()]
        runs = "".join(f"; in {name}: {runs or '-'}" for name, runs in self.others.items())
        titles, legend = SPEED_TITLES, "us/hop: median time per hop and stream"
        if self.others:
            titles, legend = titles | {"times_faster": SPEEDUP}, f"{legend}; {SPEEDUP}: over {next(iter(self.others))}"
        speed, cost = _table(self.speed, titles), _table(self.cost, COST_TITLES)
        left_out = [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]
        heading = "\n".join([*lines, f"model: {self.model}{runs}"])
        return "\n\n".join([heading, f"{speed}\n{legend}.", cost, *left_out])


def benchmark(
    model: str | Path | EnhancerConfig = EnhancerConfig.model,
    *,
    engines: Sequence[str] = (),
    others: Sequence[OtherEngineFactory] = (),
    effort: Effort = FULL,
    threads: Sequence[int] = (1,),
    progress: Progress | None = None,
) -> Benchmark:
    """Measures the time per hop of a model in all engines, and the cost of one more stream.

    >>> print(benchmark(effort=QUICK))  # doctest: +SKIP

    Engines take turns, with one thread each unless stated otherwise. A single stream is an `Enhancer`, several are a
    `StreamPool`. New processes are started: a script that calls this function needs the usual
    `if __name__ == "__main__":`, and measures torch with one thread if it does so before it imports torch.

    Args:
        model: name or path; or settings of the streams, whose rates and channels are ignored.
        engines: names; empty for that of the settings, and if it is `auto` for all that run the model here.
        others: other products to measure beside them, such as `adapters.sherpa.bench_streams.SherpaDenoiser`.
        effort: what is measured, and for how long.
        threads: numbers of threads of a pool, each measured on its own.
        progress: receives the progress.

    Raises:
        ConfigError: another product that is required is not installed.
        ModelError: a model cannot be loaded, or a named engine is not present.
    """
    progress = progress or LoggedProgress()
    with single_threaded(), tempfile.TemporaryDirectory() as folder:
        config = model if isinstance(model, EnhancerConfig) else EnhancerConfig(model=model)
        runner = _Runner(config, engines, others, Path(folder))
        costs = runner.costs(effort.opened)
        speed: list[Timing] = []
        cost: list[StreamCost] = []
        progress.begin("measuring", len(effort.streams) * len(effort.chunk_ms) + len(costs))
        for streams in effort.streams:
            opened = runner.opened(streams, threads)
            for chunk_ms in effort.chunk_ms:
                speed += measure_speed(opened, streams, chunk_ms, runner.spec, effort.seconds, runner.reference)
                progress.update()
            del opened  # before the next ones are opened
        for measure in costs:
            cost.append(measure())
            progress.update()
    settings = {"threads": list(threads), "seconds": effort.seconds, "strength": config.strength_or_auto}
    return Benchmark(
        environment(), str(config.model), tuple(speed), tuple(cost), runner.left_out, settings, runner.runs_in_others
    )


class _Runner:
    """The engines with the model loaded, and the reasons why others are left out."""

    def __init__(
        self, config: EnhancerConfig, engines: Sequence[str], others: Sequence[OtherEngineFactory], folder: Path
    ) -> None:
        self._config = dataclasses.replace(config, sample_rate=None, output_sample_rate=None, channels=1, downmix=False)
        self.left_out: dict[str, str] = {}
        self._loaded = self._load(engines or [config.engine] if config.engine != "auto" else engines)
        self.reference = others[0].name if others else None
        self.runs_in_others: dict[str, str | None] = {}
        self._others: list[BenchEngine] = []
        for other in others:
            self._prepare(other, folder)

    @property
    def spec(self) -> ModelSpec:
        """Sample rate, hop length and segments of the model."""
        return next(iter(self._loaded.values())).engine.spec

    def opened(self, streams: int, threads: Sequence[int]) -> dict[str, Streams]:
        """Returns the engines, by name, with so many open streams each: an `Enhancer` or a pool."""
        engines: dict[str, Streams] = {}
        for engine in self._loaded:
            if streams == 1:
                engines[engine] = EnhancerStreams(self._config_of(engine))
                continue
            for number in threads:
                name = engine if number == 1 else f"{engine}, {number} threads"
                engines[name] = PoolStreams(self._config_of(engine, number))
        for other in self._others:
            if streams <= other.max_streams:
                engines[other.name] = other.make()
            else:
                self.left_out[f"{other.name} with {streams} streams"] = f"measured up to {other.max_streams} streams"
        for each in engines.values():
            for _ in range(streams):
                each.open()
        return engines

    def costs(self, streams: int) -> list[Callable[[], StreamCost]]:
        """Returns measurements of the cost of one more stream, each in a new process that opens so many."""
        rate = self.spec.sample_rate
        measures = [self._pool_cost(engine, rate, streams) for engine in self._loaded]
        measures.insert(1, self._pool_cost(next(iter(self._loaded)), RESAMPLED_HZ, streams))
        for other in self._others:
            few = min(streams, other.max_streams)
            measure = functools.partial(measure_cost, streams=few, warm_up=1)
            measures.append(functools.partial(in_fresh_process, measure, other.name, other.make, other.sample_rate))
        return measures

    def _pool_cost(self, engine: str, sample_rate: int, streams: int) -> Callable[[], StreamCost]:
        make = functools.partial(PoolStreams, self._config_of(engine, sample_rate=sample_rate))
        measure = functools.partial(measure_cost, streams=streams, warm_up=STREAMS_PER_CALL)
        return functools.partial(in_fresh_process, measure, f"{engine}, {sample_rate} Hz", make, sample_rate)

    def _config_of(self, engine: str, num_threads: int = 1, sample_rate: int | None = None) -> EnhancerConfig:
        return dataclasses.replace(self._config, engine=engine, num_threads=num_threads, sample_rate=sample_rate)

    def _load(self, engines: Sequence[str]) -> dict[str, LoadedModel]:
        """The engines; kept, so that streams find the model loaded."""
        model_path(str(self._config.model))  # a wrong model is not the engines' fault
        if engines:
            return {engine: load(self._config.model, engine) for engine in engines}
        loaded = {}
        for engine in ENGINES:
            try:
                loaded[engine] = load(self._config.model, engine)
            except ModelError as error:
                self.left_out[engine] = str(error)
        if not loaded:
            raise ModelError(f"no engine runs {self._config.model}: {'; '.join(self.left_out.values())}")
        return loaded

    def _prepare(self, other: OtherEngineFactory, folder: Path) -> None:
        self.runs_in_others[other.name] = None
        try:
            prepared = other.prepare(folder)
        except (ImportError, ModelError) as error:
            if other.is_required:
                raise ConfigError(str(error)) if isinstance(error, ImportError) else error from error
            self.left_out[other.name] = str(error)
        else:
            self._others.append(prepared)
            self.runs_in_others[other.name] = prepared.runs


def _table(rows: Sequence[Timing] | Sequence[StreamCost], titles: Mapping[str, str]) -> str:
    titled: list[dict[str, Value]] = [
        {title: dataclasses.asdict(row)[name] for name, title in titles.items()} for row in rows
    ]
    return fitted_table(titled, DIGITS)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Sets the number of threads that torch reads when it is imported, here and in new processes."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
