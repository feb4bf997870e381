"""The moving average of weights, and the batch-norm statistics that belong to a set of weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the parameters of `average` towards those of `network`; faster in the first steps.

    Batch-norm statistics are left alone: averaged ones belong to no network, see `recompute_norms`.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)


@torch.no_grad()
def recompute_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the batch-norm statistics of `network` to the plain mean over these batches of its input."""
    norms = norm_layers(network)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = network.training
    network.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)


def copy_norms(source: nn.Module, target: nn.Module) -> None:
    """Gives `target` the batch-norm statistics of `source`."""
    for mine, theirs in zip(norm_layers(target), norm_layers(source), strict=True):
        for name, buffer in mine.named_buffers():
            buffer.copy_(theirs.get_buffer(name))


def freeze_norms(network: nn.Module) -> None:
    """Lets batch norm use its statistics instead of the batch's, while the rest stays in training mode."""
    for norm in norm_layers(network):
        norm.eval()


def norm_layers(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Returns the batch-norm layers below `network`, in order."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
