"""sherpa-onnx's GTCRN denoiser with any streaming GTCRN in its layout, for comparisons."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.install_hint import install_hint
from gtcrn_frontend.model_spec import GTCRN_SPEC


def check_installed() -> None:
    """Raises `ImportError` if a package that this module needs is not installed."""
    _package("sherpa_onnx")
    _package("onnx")


def online_denoiser(model: Path) -> Any:
    """Returns sherpa-onnx's `OnlineSpeechDenoiser` with one thread; each loads its own copy of the model.

    Args:
        model: result of `with_metadata`, or an export in the layout `sherpa-onnx`; other files may end the process.

    Raises:
        ImportError: sherpa-onnx is not installed.
    """
    sherpa_onnx = _package("sherpa_onnx")
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(str(model))
    model_config = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn, num_threads=1)
    return sherpa_onnx.OnlineSpeechDenoiser(sherpa_onnx.OnlineSpeechDenoiserConfig(model=model_config))


def with_metadata(model: str | Path, target: Path) -> Path:
    """Returns a path that sherpa-onnx can load: `model` itself, or `target`, a copy with the missing metadata.

    `gtcrn_simple.onnx` lacks them as released by its author, and has them as distributed by sherpa-onnx.

    Raises:
        ImportError: the package onnx is not installed.
        ModelError: the file cannot be read or is not a streaming GTCRN.
    """
    onnx = _package("onnx")
    from gtcrn_frontend.export.origin import Origin
    from gtcrn_frontend.export.single_frame import CACHES, sherpa_metadata

    model = Path(model)
    try:
        content = model.read_bytes()
        proto = onnx.load_from_string(content)
    except OSError as error:
        raise ModelError(f"cannot read {model}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's DecodeError depends on the installed implementation
        raise ModelError(f"expected a streaming GTCRN in {model}, it is not an ONNX file: {error}") from error

    expected = {"mix": (1, GTCRN_SPEC.n_bins, 1, 2), **CACHES}
    shapes = {i.name: tuple(size.dim_value for size in i.type.tensor_type.shape.dim) for i in proto.graph.input}
    if shapes != expected:
        raise ModelError(
            f"expected a streaming GTCRN with the inputs {expected} in {model}, got {shapes}: "
            "give gtcrn_simple.onnx, or what `gtcrn-frontend export --layout sherpa-onnx` wrote"
        )
    present = {entry.key for entry in proto.metadata_props}
    origin = Origin(model.name, hashlib.sha256(content).hexdigest())
    metadata = sherpa_metadata(GTCRN_SPEC, origin, strength=1.0)
    if present.issuperset(metadata):
        return model
    for key, value in metadata.items():
        if key not in present:
            proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, target)
    return target


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"sherpa-onnx's denoiser needs the packages sherpa-onnx and onnx ({error}): "
            f"{install_hint('sherpa', 'export')}",
            name=name,
        ) from error
