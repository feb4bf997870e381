"""Training batches by the number of their step."""

from __future__ import annotations

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.distillation import Teacher

Batch = tuple[F32, ...]
"""Noisy and target, and the teachers' output if there is one, `(B, n) float32` each."""


class MixtureBatches:
    """Whole batches by the number of their step; equal numbers give equal batches. Also a data set of torch.

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
