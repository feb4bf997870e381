"""The reference's generated weights: see `../shared/reference/README.md`."""

import json

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def generated_state_dict(shared):
    """A function that returns the state dict whose golden outputs are known, by network."""

    def generate(network: str) -> dict[str, torch.Tensor]:
        shapes = json.loads((shared / f"reference/{network}.keys.json").read_text())
        return {name: torch.from_numpy(_values(i, name, shapes[name])) for i, name in enumerate(sorted(shapes))}

    return generate


def _values(position: int, name: str, shape: list[int]) -> np.ndarray:
    v = np.random.default_rng([20261120, position]).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        v = 1 + 0.1 * np.abs(v)
    elif name.endswith("running_mean"):
        v = 0.1 * v
    elif len(shape) >= 2:
        v = v / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):
        v = 1 + 0.1 * v
    else:
        v = 0.05 * v
    return np.asarray(v, np.float32)
