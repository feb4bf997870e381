"""sherpa-onnx's own denoiser in `gtcrn_frontend.evaluation.benchmark`, beside the engines of this package."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, Samples, SeparateStreams
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.weights.model import load_model, model_path

NAME = "sherpa-onnx"
MAX_STREAMS = 16
"""Each stream loads the model again: 256 would take ten seconds to open, and gigabytes."""


def _new_stream(model: Path) -> Callable[[F32], Samples]:
    """Opens an `OnlineSpeechDenoiser`."""
    from gtcrn_frontend.adapters.sherpa.denoiser import online_denoiser

    denoiser = online_denoiser(model)

    def process(chunk: F32) -> Samples:
        # Faster with a list than with an array, conversion included; reading the samples is part of the work.
        samples: Samples = denoiser.run(chunk.tolist(), GTCRN_SPEC.sample_rate).samples
        return samples

    return process


def _streams(model: Path) -> SeparateStreams:
    return SeparateStreams(functools.partial(_new_stream, model))


class SherpaDenoiser:
    """Prepares sherpa-onnx's denoiser for a benchmark.

    Args:
        model: name or path of the model, exported for sherpa-onnx if it is not an ONNX graph.
        graph: file in sherpa-onnx's layout to run instead; the benchmark then fails if that is impossible.
    """

    name = NAME

    def __init__(self, model: str | Path = EnhancerConfig.model, graph: Path | None = None) -> None:
        self._model = str(model)
        self._graph = graph

    @property
    def is_required(self) -> bool:
        """Whether the benchmark fails without sherpa-onnx: if a graph for it was named."""
        return self._graph is not None

    def prepare(self, folder: Path) -> BenchEngine:
        """Returns the denoiser with a model file in `folder`.

        Raises:
            ImportError: sherpa-onnx, or onnx for the export, is not installed.
            ModelError: the denoiser cannot run the model.
        """
        from gtcrn_frontend.adapters.sherpa.denoiser import check_installed, with_metadata

        try:
            check_installed()
            target = folder / "gtcrn.onnx"
            graph = self._graph or model_path(self._model)
            if self._graph is None and graph.suffix != ".onnx":
                export_model(self._model, target, "sherpa-onnx")
                file, runs, spec = target, f"{self._model}, exported for it", load_model(graph).spec or GTCRN_SPEC
            else:
                file, runs, spec = with_metadata(graph, target), str(graph), GTCRN_SPEC
        except ImportError as error:
            named = f"--sherpa-model {self._graph}: {error}" if self._graph else str(error)
            raise ImportError(named) from error
        make = functools.partial(_streams, file)
        return BenchEngine(NAME, spec.name, NAME, runs, make, spec.sample_rate, spec.hop_length, MAX_STREAMS)
