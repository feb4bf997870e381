"""Training batches made ahead of time by a worker process, in the order of their steps.

The queue is bounded: while training pauses, also after SIGSTOP, the worker soon waits as well.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

from torch.utils.data import DataLoader, Dataset

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.distillation import Teacher

Batch = tuple[F32, ...]
"""Noisy and target, and the teachers' output if there is one, `(B, n) float32` each."""

AHEAD = 6  # batches


class MixtureBatches(Dataset[Batch]):
    """Whole batches by the number of their step; equal numbers give equal batches.

    Args:
        mixer: makes the mixtures.
        batch_size: examples per batch, those of this process.
        seed: of the run.
        teacher: for distillation.
        rank: of this process among several, which then get different batches; None for a single process.
    """

    def __init__(
        self, mixer: Mixer, batch_size: int, seed: int, teacher: Teacher | None = None, rank: int | None = None
    ) -> None:
        self.mixer = mixer
        self.batch_size = batch_size
        self.seed = seed
        self.teacher = teacher
        self.rank = rank

    def __getitem__(self, step: int) -> Batch:
        seed = (self.seed, step) if self.rank is None else (self.seed, step, self.rank)
        noisy, target = self.mixer.batch(seed, self.batch_size)
        return (noisy, target) if self.teacher is None else (noisy, target, self.teacher(noisy))


def prefetched(batches: Dataset[Batch], steps: Sequence[int]) -> Iterator[Batch]:
    """Yields the batches of these steps in order, made by one worker process up to `AHEAD` batches ahead.

    Raises:
        RuntimeError: the worker died; errors in it are raised here with its traceback.
    """
    loader = DataLoader(
        batches,
        batch_size=None,  # the data set yields whole batches
        sampler=steps,
        num_workers=1,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        worker_init_fn=_ignore_signals,
        multiprocessing_context="spawn",  # forking a process that runs torch's threads can deadlock
    )
    return iter(loader)


def _as_it_is(batch: Batch) -> Batch:
    """Keeps numpy arrays: as tensors they would need shared memory, of which containers have little."""
    return batch


def _ignore_signals(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # terminals send them to the whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
