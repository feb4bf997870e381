"""Perceptual loss of recognisers: distance between their hidden features of the estimate and of clean speech.

Enhancement that lowers signal-level errors often raises word errors (Iwamoto et al., "How bad are artifacts?", 2022).
Features of a recogniser are closer to what it will transcribe. Source: the perceptual loss of Johnson et al. (ECCV
2016), with a recogniser in place of the image classifier.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.training.config import RecognizerConfig
from gtcrn_frontend.training.losses.whisper_encoder import SAMPLE_RATE, load_whisper_encoder

SILENT_POWER = 1e-9  # mean square below which a target counts as silence
POWER_FLOOR = 1e-6  # of features; avoids a division by zero

FeatureNetwork = Callable[[Tensor], Sequence[Tensor]]
"""Samples `(B, n)` to features `(B, T, channels)` of one or more layers, the last one last."""


class RecognizerDistance:
    """Weighted sum of the feature distances of several recognisers."""

    def __init__(
        self, recognizers: Sequence[RecognizerConfig], sample_rate: int, device: str | torch.device = "cpu"
    ) -> None:
        """Loads the recognisers; their weights are fixed.

        Args:
            recognizers: the recognisers and their weights.
            sample_rate: of the samples in Hz.
            device: of the samples.

        Raises:
            ModelError: a model or factory that cannot be loaded.
        """
        self.device = torch.device(device)
        self._terms = [(item, _load(item, sample_rate, device)) for item in recognizers]

    def __call__(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Returns the distance `(B,)` of samples `(B, n)`: 0 for equal ones, about 1 per weight for unrelated ones.

        For each recogniser `weight * (d_last + mean of d over the layers before)`, with d the squared error of a layer
        divided by the variance over time of the target's features in it. 0 where the target is silence: there the
        recogniser's normalisation would amplify any residue.
        """
        total = estimate.new_zeros(len(estimate))
        for config, network in self._terms:
            with torch.no_grad():
                reference = network(target)
            features = network(estimate)
            distances = [feature_distance(*pair) for pair in zip(features, reference, strict=True)]
            total = total + config.weight * distances[-1]
            if config.layers == "all" and len(distances) > 1:
                total = total + config.weight * torch.stack(distances[:-1]).mean(0)
        return total * (target.square().mean(-1) > SILENT_POWER)


def feature_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Returns the squared error of features `(B, T, channels)` divided by the target's variance along T, `(B,)`."""
    estimate, target = estimate.float(), target.float()
    power = (target - target.mean(1, keepdim=True)).square().mean((1, 2))
    return (estimate - target).square().mean((1, 2)) / power.clamp_min(POWER_FLOOR)


def _load(config: RecognizerConfig, sample_rate: int, device: str | torch.device) -> FeatureNetwork:
    if config.whisper is not None:
        if sample_rate != SAMPLE_RATE:
            raise ModelError(f"recognizers: Whisper expects {SAMPLE_RATE} Hz, got a network at {sample_rate} Hz")
        # Half precision suffices for gradients, and takes two fifths of the time on a CPU that supports it.
        return load_whisper_encoder(config.whisper, torch.bfloat16).to(device)
    network = _from_factory(str(config.factory), sample_rate)
    if isinstance(network, nn.Module):
        network = network.to(device).requires_grad_(False)
    return network


def _from_factory(name: str, sample_rate: int) -> FeatureNetwork:
    place, _, function = name.rpartition(":")
    try:
        factory = getattr(
            _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place), function
        )
        network = factory(sample_rate)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise ModelError(
            f"recognizers: factory {name!r}: expected package.module:function or file.py:function, called with the "
            f"sample rate ({error})"
        ) from error
    if not callable(network):
        raise ConfigError(f"recognizers: factory {name!r} must return a torch module, got {type(network).__name__}")
    return network  # type: ignore[no-any-return]


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
