"""Random weights, selected by names such as `random:frcrn`; for tests and for benchmarks without trained weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.networks import NETWORKS
from gtcrn_frontend.weights.param_shapes import Shape

PREFIX = "random:"


def random_network(model: str) -> str:
    """Returns the network of a model name such as `random:frcrn`; empty for every other name or path.

    Raises:
        ModelError: the network does not exist, or is supported as an ONNX graph only.
    """
    if not model.startswith(PREFIX):
        return ""
    name = model.removeprefix(PREFIX)
    able = [network.spec.name for network in NETWORKS.values() if network.module]
    if name not in able:
        raise ModelError(f"expected {PREFIX}NETWORK with a network out of {', '.join(able)}, got {model!r}")
    return name


def random_parameters(shapes: Mapping[str, Shape]) -> dict[str, F32]:
    """Returns a reproducible random state dict: the output is meaningless, the run time that of trained weights.

    Matrices and kernels are uniform within +-1 / sqrt(inputs), norms and slopes have their initial values, biases are
    zero.

    Args:
        shapes: of each tensor, by name, see `Network.parameters`.
    """
    rng = np.random.default_rng(0)
    return {name: _tensor(name, shape, rng) for name, shape in shapes.items()}


def _tensor(name: str, shape: Shape, rng: np.random.Generator) -> F32:
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return np.ones(shape, np.float32)
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)
