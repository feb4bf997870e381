"""The networks that run here, and how a checkpoint tells which it is of: `NETWORKS`.

A network is added by
- a `ModelSpec` in `model_spec.py`, with `segments` if it needs the future;
- names and shapes of its parameters in `weights/param_shapes.py`, or in a file of its own;
- a torch module in `nets/`, made without arguments, whose state dict has these names (see `nets/__init__.py` for the
  methods that it needs);
- an entry below, which makes checkpoints, engines, `Enhancer`, training and the command line know it.

Beyond that, ONNX Runtime runs ready streaming graphs of any network, and checkpoints of those that have a graph without
weights (`engines.onnx.STREAMING_LAYOUTS`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import (
    FRCRN_CAUSAL_SPEC,
    FRCRN_SPEC,
    GTCRN_SPEC,
    LITE_RTSE_SPEC,
    ULUNAS_SPEC,
    WAVECRN_SPEC,
    ModelSpec,
)
from gtcrn_frontend.weights import frcrn
from gtcrn_frontend.weights.param_shapes import Shape, gtcrn_parameters, lite_rtse_parameters
from gtcrn_frontend.weights.ulunas import ulunas_parameters
from gtcrn_frontend.weights.validate import check_parameters
from gtcrn_frontend.weights.wavecrn import wavecrn_parameters

Arrays = Mapping[str, npt.NDArray[Any]]

PREFIXES = ("module.", "net.", "_orig_mod.", "model.", "generator.")
"""What may stand before names, also one behind another: that of torch's DataParallel, of a front-end in SpeechBrain, of
`torch.compile`, of Lightning and the like, of adversarial training. Tensors without it belong to something else."""

_MAX_PREFIXES = 3


def _no_parameters() -> dict[str, Shape]:
    return {}


def _as_they_are(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    return dict(arrays)


@dataclass(frozen=True)
class Network:
    """What is known of a network without torch.

    Attributes:
        spec: its facts.
        engines: that run its checkpoints, the fastest first; a ready graph runs in ONNX Runtime whatever it is of.
        module: its torch module as `package.module:Class`; empty where only ready graphs are known.
        parameters: returns the shape of each tensor of a state dict, by name; batch counters left out.
        prefixes: that its names may have in released checkpoints, beside `PREFIXES`; they are taken away.
        own_names: returns a state dict under the names of `parameters`, where released checkpoints have others.
    """

    spec: ModelSpec
    engines: tuple[str, ...] = ("onnx",)
    module: str = ""
    parameters: Callable[[], dict[str, Shape]] = _no_parameters
    prefixes: tuple[str, ...] = ()
    own_names: Callable[[Arrays], dict[str, npt.NDArray[Any]]] = _as_they_are


_OF_FRCRN = (frcrn.frcrn_parameters, frcrn.PREFIXES, frcrn.with_first_names)

NETWORKS = {
    network.spec.name: network
    for network in (
        Network(GTCRN_SPEC, ("native", "onnx", "torch"), "gtcrn_frontend.nets.gtcrn:GTCRN", gtcrn_parameters),
        Network(LITE_RTSE_SPEC, ("onnx", "torch"), "gtcrn_frontend.nets.lite_rtse:LiteRTSE", lite_rtse_parameters),
        Network(ULUNAS_SPEC, ("native", "onnx", "torch"), "gtcrn_frontend.nets.ulunas:ULUNAS", ulunas_parameters),
        Network(FRCRN_SPEC, ("torch",), "gtcrn_frontend.nets.frcrn:FRCRN", *_OF_FRCRN),
        # The same weights: chosen by name only, as a checkpoint of FRCRN is the usual one unless it says so.
        Network(FRCRN_CAUSAL_SPEC, ("torch",), "gtcrn_frontend.nets.frcrn_causal:CausalFRCRN", *_OF_FRCRN),
        Network(WAVECRN_SPEC, ("torch",), "gtcrn_frontend.nets.wavecrn:WaveCRN", wavecrn_parameters),
    )
}


def find_network(name: str) -> Network:
    """Returns the network of a name; `ModelError` names those there are."""
    if name not in NETWORKS:
        raise ModelError(f"expected a network out of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]


def recognise(arrays: Mapping[str, npt.NDArray[Any]], architecture: str = "") -> tuple[ModelSpec, dict[str, F32]]:
    """Returns the facts of the network that a checkpoint is of, and its checked parameters under their own names.

    Args:
        arrays: the state dict.
        architecture: name of the network if the file tells it; else it is the one that shares most names.

    Raises:
        ModelError: the tensors are of none of the networks, or not those of the one they seem to be of.
    """
    known = [find_network(architecture)] if architecture else [n for n in NETWORKS.values() if n.module]
    best, found, shared = known[0], dict(arrays), -1
    for network in known:
        renamed, count = _under_own_names(arrays, network)
        if count > shared:
            best, found, shared = network, renamed, count
    if shared == 0:
        names = ", ".join(f"{network.spec.name} ({next(iter(network.parameters()))}, ...)" for network in known)
        raise ModelError(f"expected the tensors of {names}; got {len(arrays)}, such as {', '.join(list(arrays)[:3])}")
    return best.spec, check_parameters(found, best.parameters(), best.spec.name)


def batch_counters(arrays: Mapping[str, npt.NDArray[Any]], network: str) -> dict[str, npt.NDArray[Any]]:
    """Returns the batch counters of a checkpoint of this network, which checked parameters lack, by name."""
    renamed, _ = _under_own_names(arrays, find_network(network))
    return {name: array for name, array in renamed.items() if name.endswith("num_batches_tracked")}


def _under_own_names(arrays: Arrays, network: Network) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """The arrays under the names of a network, without the prefix that hides most of these, and how many it has."""
    expected = network.parameters().keys()
    renamed = [
        network.own_names({name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)})
        for prefix in _prefixes(arrays, (*PREFIXES, *network.prefixes))
    ]
    best = max(renamed, key=lambda names: len(expected & names.keys()))
    return best, len(expected & best.keys())


def _prefixes(arrays: Arrays, known: tuple[str, ...]) -> list[str]:
    """Returns the combinations of known prefixes that names begin with, the shortest first; the first is empty."""
    found = [""]
    for _ in range(_MAX_PREFIXES):
        longer = [f"{first}{more}" for first in found for more in known]
        found += [p for p in dict.fromkeys(longer) if p not in found and any(name.startswith(p) for name in arrays)]
    return found
