"""Who takes part in `bench`: every engine of ours, and sherpa-onnx's own denoiser."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gtcrn_frontend.engines.loading import ENGINES, LoadedModel, load
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.bench.speed import (
    STREAMS_PER_CALL,
    EnhancerStreams,
    PoolStreams,
    Samples,
    StreamCost,
    Streams,
    in_fresh_process,
    measure_cost,
)
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import GTCRN_SPEC, ModelSpec
from gtcrn_frontend.weights.model import model_path

SHERPA = "sherpa-onnx"
# It loads the model again for each stream: 256 would take ten seconds to open, and gigabytes.
SHERPA_MAX_STREAMS = 16
RESAMPLED_HZ = 48_000  # streams with resamplers cost more


class SherpaStreams:
    """Streams as an `OnlineSpeechDenoiser` each; see `evaluation.speed.Streams`."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._denoisers: list[Any] = []

    def open(self) -> None:
        """Begins one more stream."""
        from gtcrn_frontend.adapters.sherpa.denoiser import online_denoiser

        self._denoisers.append(online_denoiser(self._model))

    def process(self, chunk: Samples) -> None:
        """Gives every stream the chunk."""
        for denoiser in self._denoisers:
            # It takes a list faster than an array, conversion included; reading the samples is part of getting them.
            _ = denoiser.run(chunk.tolist(), GTCRN_SPEC.sample_rate).samples

    def state_bytes(self) -> int | None:
        """Returns None: it does not show its state."""
        return None


class BenchEngines:
    """Engines with the model loaded, and a model file for sherpa-onnx.

    Args:
        model: name or path, for our engines.
        engines: names; None for all that run it here.
        sherpa_model: file for sherpa-onnx; None for `model`, exported for it, if sherpa-onnx is installed.
        folder: for what is exported; to be kept as long as this object.

    Attributes:
        left_out: why somebody does not take part, by name.
        sherpa_runs: what sherpa-onnx runs, in words; None if it does not take part.

    Raises:
        ConfigError: `sherpa_model` is given, and sherpa-onnx is not installed.
        ModelError: a model cannot be loaded, or an engine that was named is not present.
    """

    def __init__(self, model: str, engines: Sequence[str] | None, sherpa_model: Path | None, folder: Path) -> None:
        self._model = model
        self.left_out: dict[str, str] = {}
        self._loaded = self._load(engines)
        self._sherpa_file: Path | None = None
        self.sherpa_runs: str | None = None
        try:
            self._prepare_sherpa(sherpa_model, folder)
        except ImportError as error:
            if sherpa_model:
                raise ConfigError(f"--sherpa-model {sherpa_model}: {error}") from error
            self.left_out[SHERPA] = str(error)
        except ModelError as error:  # its denoiser runs GTCRN, and no other network of ours
            if sherpa_model:
                raise
            self.left_out[SHERPA] = str(error)

    @property
    def spec(self) -> ModelSpec:
        """The facts of the model."""
        return next(iter(self._loaded.values())).engine.spec

    def opened(self, streams: int, threads: Sequence[int]) -> dict[str, Streams]:
        """Returns those that take part with so many streams, opened, by name.

        Args:
            streams: one is an `Enhancer`, more are a pool.
            threads: of a pool; each number is a contender.
        """
        contenders: dict[str, Streams] = {}
        for engine in self._loaded:
            if streams == 1:
                contenders[engine] = EnhancerStreams(self._model, engine)
                continue
            for number in threads:
                name = engine if number == 1 else f"{engine}, {number} threads"
                contenders[name] = PoolStreams(self._model, engine, number)
        if self._sherpa_file:
            if streams <= SHERPA_MAX_STREAMS:
                contenders[SHERPA] = SherpaStreams(self._sherpa_file)
            else:
                self.left_out[f"{SHERPA} with {streams} streams"] = "it loads the model again for each"
        for contender in contenders.values():
            for _ in range(streams):
                contender.open()
        return contenders

    def costs(self, streams: int) -> list[Callable[[], StreamCost]]:
        """Returns measurements of what one more stream costs, each of which opens up to so many, in a new process."""
        rate = self.spec.sample_rate
        measures = [self._pool_cost(engine, rate, streams) for engine in self._loaded]
        measures.insert(1, self._pool_cost(next(iter(self._loaded)), RESAMPLED_HZ, streams))
        if self._sherpa_file:
            make = functools.partial(SherpaStreams, self._sherpa_file)
            few = min(streams, SHERPA_MAX_STREAMS)
            measures.append(
                functools.partial(in_fresh_process, measure_cost, SHERPA, make, rate, streams=few, warm_up=1)
            )
        return measures

    def _pool_cost(self, engine: str, sample_rate: int, streams: int) -> Callable[[], StreamCost]:
        make = functools.partial(PoolStreams, self._model, engine, sample_rate=sample_rate)
        name = f"{engine}, {sample_rate} Hz"
        return functools.partial(
            in_fresh_process, measure_cost, name, make, sample_rate, streams=streams, warm_up=STREAMS_PER_CALL
        )

    def _load(self, engines: Sequence[str] | None) -> dict[str, LoadedModel]:
        """The engines that take part; kept, so that streams find the model loaded."""
        model_path(self._model)  # what is wrong with the model is no engine's reason
        if engines:
            return {engine: load(self._model, engine) for engine in engines}
        loaded = {}
        for engine in ENGINES:
            try:
                loaded[engine] = load(self._model, engine)
            except ModelError as error:
                self.left_out[engine] = str(error)
        if not loaded:
            raise ModelError(f"no engine runs {self._model}: {'; '.join(self.left_out.values())}")
        return loaded

    def _prepare_sherpa(self, sherpa_model: Path | None, folder: Path) -> None:
        """Finds or makes the file for `SherpaStreams`."""
        from gtcrn_frontend.adapters.sherpa.denoiser import check_installed, with_metadata

        check_installed()
        target = folder / "gtcrn.onnx"
        graph = sherpa_model or model_path(self._model)
        if sherpa_model is None and graph.suffix != ".onnx":
            export_model(self._model, target, "sherpa-onnx")
            self._sherpa_file, self.sherpa_runs = target, f"{self._model}, exported for it"
        else:
            self._sherpa_file, self.sherpa_runs = with_metadata(graph, target), str(graph)
