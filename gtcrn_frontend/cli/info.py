"""The command `info`: versions, available engines, and size and cost of a network."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import ENGINES, absent_engines, load
from gtcrn_frontend.install_hint import install_hint
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.native.binding import instruction_sets
from gtcrn_frontend.weights.model import installed_registry
from gtcrn_frontend.weights.networks import NETWORKS
from gtcrn_frontend.weights.random import PREFIX

_PACKAGES = ("gtcrn-frontend", "numpy", "onnxruntime", "soundfile", "torch", "sherpa-onnx", "speechbrain")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "info",
        help="show versions, engines, and size and cost of the network",
        description="Shows versions, the engines that are present or why not, and the size and cost of a network.",
    )
    parser.add_argument(
        "model", nargs="?", default=EnhancerConfig.model, help="model name or path (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints one fact per line."""
    for name, value in _facts(args.model):
        print(f"{name:<14} {value}")
    return 0


def _facts(model_name: str) -> list[tuple[str, str]]:
    registered = installed_registry().models.get(model_name)
    supply = registered.supply if registered else ""
    loaded = load(f"{PREFIX}{registered.network}" if registered and supply else model_name)
    spec, source = loaded.engine.spec, f"weights to be supplied: {supply}" if supply else loaded.model.source
    facts = [(name, _version(name)) for name in _PACKAGES]
    facts += [("python", f"{platform.python_version()} on {platform.platform()}"), ("cpu", _cpu())]
    absent = absent_engines()
    facts += [(f"engine {name}", absent.get(name) or _present(name)) for name in ENGINES]
    facts += [("engine auto", f"{loaded.engine.name}: {loaded.engine.description}")]
    latency = f"{spec.latency_ms:g} ms at {spec.sample_rate} Hz"
    if spec.segments:
        latency += ", or segment_latency_ms"
    facts += [
        ("model", f"{model_name} ({', '.join(filter(None, (spec.name, spec.licence)))}), {source}"),
        ("transform", f"{spec.sample_rate} Hz, n_fft {spec.n_fft}, hop {spec.hop_length}"),
        ("latency", latency),
    ]
    return facts + _complexity(spec)


def _present(engine: str) -> str:
    return f"present: {', '.join(instruction_sets())}" if engine == "native" else "present"


def _complexity(spec: ModelSpec) -> list[tuple[str, str]]:
    in_torch = spec.name in NETWORKS and bool(NETWORKS[spec.name].module)
    if "torch" in absent_engines() or not in_torch:
        hint = f"needs torch to be computed: {install_hint('torch')}"
        parameters = "not in the file" if spec.parameters is None else f"{spec.parameters:,}"
        return [("parameters", parameters), ("MAC/s", hint if in_torch else "unknown for a graph")]
    from gtcrn_frontend.nets.complexity import network_complexity  # torch takes seconds to import

    counted = network_complexity(spec.name)
    published, weights = counted.operations_per_s / 1e6, counted.macs_per_s / 1e6
    return [
        ("parameters", f"{counted.parameters:,} ({counted.trainable:,} trainable)"),
        ("MAC/s", f"{published:.1f} M as published, {weights:.1f} M in weights alone"),
    ]


def _cpu() -> str:
    # Portable: numpy detects the features of the processor on import.
    simd: Any = np.show_config(mode="dicts").get("SIMD Extensions", {})
    features = [*simd.get("baseline", []), *simd.get("found", [])]
    return f"{os.cpu_count()} x {platform.machine()}, {' '.join(features)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
