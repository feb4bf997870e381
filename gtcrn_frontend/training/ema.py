"""Exponential moving average of weights, and batch-norm statistics that fit a set of weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the parameters of `average` towards those of `network`, faster in the first steps of a run.

    Batch-norm statistics are not averaged: they fit no network, see `recompute_norms`.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)


def recompute_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the batch-norm statistics of `network` to their mean over these batches of its input."""
    update_bn(batches, network)


def copy_norms(source: nn.Module, target: nn.Module) -> None:
    """Copies the batch-norm statistics of `source` to `target`."""
    for mine, theirs in zip(norm_layers(target), norm_layers(source), strict=True):
        for name, buffer in mine.named_buffers():
            buffer.copy_(theirs.get_buffer(name))


def freeze_norms(network: nn.Module) -> None:
    """Makes batch norm use its running statistics, while the rest of `network` stays in training mode."""
    for norm in norm_layers(network):
        norm.eval()


def norm_layers(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Returns the batch-norm layers of `network` in order."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
