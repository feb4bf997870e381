"""Several processes that train one network together on the CPU: each learns from its share of every batch.

`torchrun` starts them and tells each its rank. All have the same weights at every step, since they start from the same
ones and take the same mean of their gradients; the first, the leader, does what is done once: validation and files.
Batch norm, until it is frozen, takes the statistics of each process's share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config import OptimConfig

LONGEST_WAIT = timedelta(hours=2)  # for a leader that validates, or a process that was stopped


@dataclass(frozen=True)
class ProcessGroup:
    """This process's place among those that train together; alone, rank 0 of 1."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process does what is done once."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Returns how many of a batch's examples are this process's.

        Raises:
            ConfigError: a batch that cannot be divided evenly.
        """
        if batch_size % self.size:
            raise ConfigError(
                f"batch_size: expected a multiple of the {self.size} processes, got {batch_size}: "
                "change it, or torchrun's --nproc-per-node"
            )
        return batch_size // self.size

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its mean over all processes, the same to the bit in each of them."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def any(self, condition: bool) -> bool:
        """Returns whether the condition holds in one of the processes."""
        if self.size == 1:
            return condition
        votes = torch.tensor(float(condition))
        dist.all_reduce(votes)
        return bool(votes > 0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Lets the others wait before the body until the leader has done it.

        Raises:
            ConfigError: in the others, where the leader has failed.
        """
        if not self.is_main and self.any(False):
            raise ConfigError("the first process could not begin: see what it says")
        failed = True
        try:
            yield
            failed = False
        finally:
            if self.is_main:
                self.any(failed)


SINGLE_PROCESS = ProcessGroup()


def current_process_group() -> ProcessGroup:
    """Returns the place that torchrun gave to this process; `SINGLE_PROCESS` without it."""
    if not dist.is_torchelastic_launched():  # other launchers leave variables of the same names
        return SINGLE_PROCESS
    return ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def join_process_group(config: OptimConfig) -> Iterator[ProcessGroup]:
    """Connects the processes for the duration of the context.

    Raises:
        ConfigError: several processes on another device than the CPU, or a batch that they cannot share.
    """
    process_group = current_process_group()
    process_group.share(config.batch_size)
    if process_group.size == 1:
        yield process_group
        return
    if config.device != "cpu":
        raise ConfigError(f"device: several processes train on the cpu only, got {config.device}: use one process")
    dist.init_process_group("gloo", timeout=LONGEST_WAIT)
    try:
        yield process_group
    finally:
        dist.destroy_process_group()
