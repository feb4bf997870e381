"""Data-parallel training in several processes on the CPU, each on its share of every batch.

`torchrun` starts the processes and assigns their ranks. All have the same weights at every step: they start from the
same ones and average their gradients. Rank 0, the main process, validates and writes files. Batch norm uses the
statistics of each process's share until it is frozen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config import OptimConfig

LONGEST_WAIT = timedelta(hours=2)  # for a main process that validates, or one that was stopped


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process, and the number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process validates and writes files."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Returns how many of a batch's examples this process gets.

        Raises:
            ConfigError: a batch that cannot be divided evenly.
        """
        if batch_size % self.size:
            raise ConfigError(
                f"batch_size: expected a multiple of the {self.size} processes, got {batch_size}: "
                "change it, or torchrun's --nproc-per-node"
            )
        return batch_size // self.size

    def parallel(self, network: nn.Module) -> nn.Module:
        """Returns a module that runs `network` and averages its gradients over the processes in the backward pass."""
        if self.size == 1:
            return network
        # FRCRN has layers that are never used, as in the released checkpoints.
        return DistributedDataParallel(network, broadcast_buffers=False, find_unused_parameters=True)

    def mean(self, value: Tensor) -> Tensor:
        """Returns the mean of a scalar over the processes."""
        if self.size == 1:
            return value
        value = value.detach().clone()
        dist.all_reduce(value)
        return value / self.size

    def any(self, condition: bool) -> bool:
        """Returns whether the condition holds in any of the processes."""
        return condition if self.size == 1 else bool(self.mean(torch.tensor(float(condition))) > 0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Runs the body in the main process first, then in the others.

        Raises:
            ConfigError: in the others, if it failed in the main process.
        """
        if not self.is_main and self.any(False):
            raise ConfigError("the main process could not begin: see its error message")
        failed = True
        try:
            yield
            failed = False
        finally:
            if self.is_main:
                self.any(failed)


SINGLE_PROCESS = ProcessGroup()


def current_process_group() -> ProcessGroup:
    """Returns rank and size that torchrun assigned to this process; `SINGLE_PROCESS` without torchrun."""
    if not dist.is_torchelastic_launched():  # other launchers set variables of the same names
        return SINGLE_PROCESS
    return ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def join_process_group(config: OptimConfig) -> Iterator[ProcessGroup]:
    """Connects the processes for the duration of the context.

    Raises:
        ConfigError: several processes on another device than the CPU, or a batch that they cannot divide.
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
