"""Exports models for other programs: self-contained ONNX graphs, sherpa-onnx denoisers, safetensors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.onnx.loading import STREAMING_LAYOUTS
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.install_hint import install_hint
from gtcrn_frontend.model_spec import FRCRN_SPEC, GTCRN_SPEC, ULUNAS_SPEC, ModelSpec
from gtcrn_frontend.weights.checkpoint import read_checkpoint, write_safetensors
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import batch_counters

LAYOUTS = ("onnx", "sherpa-onnx", "safetensors")
"""`onnx`: any number of streams and frames per run. `sherpa-onnx`: one of each, as its denoisers require."""

_SUFFIXES = {"onnx": ".onnx", "sherpa-onnx": ".onnx", "safetensors": ".safetensors"}


def export_model(
    model: str | Path,
    output: str | Path,
    layout: str,
    *,
    strength: float = 1.0,
    force: bool = False,
    network: str = "",
) -> Origin:
    """Writes a model in another layout; returns the origin of its weights.

    The file is written atomically; a failed export leaves an existing file unchanged.

    Args:
        model: name of a registered model, or path of a checkpoint.
        output: file to write; its suffix is `.safetensors` in that layout, else `.onnx`.
        layout: one of `LAYOUTS`.
        strength: 0 (input unchanged) to 1 (full enhancement), baked into the mask of a graph: s M + (1 - s).
        force: whether to replace a file that exists.
        network: of the checkpoint, see `weights.model.load_model`.

    Raises:
        ConfigError: a setting is out of range or does not fit the layout, or the output exists or has no folder.
        ModelError: the model cannot be loaded or is an ONNX graph already, or the package `onnx` is not installed.
        OSError: the file cannot be written.
    """
    output = Path(output)
    _check(output, layout, strength, force)
    source = model_path(model)
    loaded = load_model(source, network)
    if loaded.spec is None or loaded.parameters is None:
        raise ModelError(
            f"{source}: expected a checkpoint (.safetensors, .tar), got an ONNX graph with folded parameters: "
            "export the checkpoint it was made from"
        )
    origin = Origin.of(model, loaded)
    if layout == "safetensors":
        # with the batch counters that inference does not use: torch then loads the result with strict=True
        arrays = loaded.parameters | batch_counters(read_checkpoint(source), loaded.spec.name)
        write_safetensors(output, arrays, {"architecture": loaded.spec.name} | origin.to_metadata())
        return origin
    graph = _graph(loaded.spec, loaded.parameters, layout, origin, float(strength))
    write_bytes(output, graph)
    return origin


def _graph(spec: ModelSpec, parameters: dict[str, F32], layout: str, origin: Origin, strength: float) -> bytes:
    """Returns the ONNX file; `ModelError` if this network has none in this layout."""
    if layout == "onnx" and spec.name in STREAMING_LAYOUTS:
        from gtcrn_frontend.export.streaming import streaming_graph

        return streaming_graph(STREAMING_LAYOUTS[spec.name](parameters), spec, origin, strength)
    if layout == "sherpa-onnx" and spec == ULUNAS_SPEC:
        from gtcrn_frontend.export.streaming import single_frame_streaming_graph

        return single_frame_streaming_graph(STREAMING_LAYOUTS[spec.name](parameters), spec, origin, strength)
    if layout == "onnx" and spec == FRCRN_SPEC:
        from gtcrn_frontend.export.frcrn import frcrn_graph

        return frcrn_graph(parameters, spec, origin, strength)
    if spec != GTCRN_SPEC:
        others = (*STREAMING_LAYOUTS, FRCRN_SPEC.name) if layout == "onnx" else (ULUNAS_SPEC.name,)
        able = " or ".join(["gtcrn", *others])
        raise ModelError(f"expected {able} for the layout {layout}, got a checkpoint of {spec.name}")
    folded = fold_gtcrn(parameters)
    if layout == "sherpa-onnx":
        from gtcrn_frontend.export.single_frame import single_frame_graph

        return single_frame_graph(folded, spec, origin, strength)
    from gtcrn_frontend.export.self_contained import self_contained_graph

    return self_contained_graph(folded, spec, origin, strength)


def _check(output: Path, layout: str, strength: float, force: bool) -> None:
    """Validates the arguments before anything is read or downloaded."""
    if layout not in LAYOUTS:
        raise ConfigError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}")
    _ = EnhancerConfig(strength=strength).effective_strength  # refuses `auto` and what is out of range
    if layout == "safetensors" and strength != 1:
        raise ConfigError(
            f"expected strength 1 in the layout safetensors, got {strength}: weights cannot carry a strength, "
            "set it where the model runs"
        )
    if output.suffix != _SUFFIXES[layout]:
        raise ConfigError(f"expected an output that ends in {_SUFFIXES[layout]} for the layout {layout}, got {output}")
    if not output.parent.is_dir():
        raise ConfigError(f"{output}: there is no folder {output.parent}")
    if output.is_dir():
        raise ConfigError(f"{output}: expected a file to write, got a folder")
    if output.exists() and not force:
        raise ConfigError(f"{output} exists: give --force to replace it")
    if layout != "safetensors" and importlib.util.find_spec("onnx") is None:
        raise ModelError(f"layout {layout} needs the package onnx: {install_hint('export')}")
