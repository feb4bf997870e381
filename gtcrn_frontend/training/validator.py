"""Validation during a run: scores of the moving average, the log, and the weights that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import torch
from torch import Tensor

from gtcrn_frontend.training.checkpoint import save_weights
from gtcrn_frontend.training.config import TrainConfig
from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.ema import copy_norms, recompute_norms
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.trainer import Trainer
from gtcrn_frontend.training.validation_set import Scores, ValidationSet, enhance_all

LOG = "log.jsonl"
BEST = "best.safetensors"
LAST = "last.safetensors"
NORM_SEED = 8_000_000  # apart from all training steps' seeds


class Validator:
    """Validates the moving average, logs its scores and keeps the best weights."""

    def __init__(self, config: TrainConfig, mixer: Mixer, transform: Transform, validation_set: ValidationSet) -> None:
        self.config = config
        self.mixer = mixer
        self.transform = transform
        self.validation_set = validation_set

    def __call__(self, trainer: Trainer) -> Scores:
        """Returns the scores of the average, in evaluation mode, with statistics of its own."""
        if trainer.norms_frozen:
            copy_norms(trainer.network, trainer.average)
        else:
            recompute_norms(trainer.average, self.norm_batches())
        scores = self.validation_set.scores(enhance_all(trainer.average, self.validation_set.noisy, self.transform))
        self.log(trainer, scores)
        told = {"architecture": self.config.network, "step": trainer.step, **scores}
        metadata = {name: str(value) for name, value in told.items()}
        save_weights(self.config.output / LAST, trainer.average, metadata)
        if scores["pesq"] > trainer.best:
            trainer.best = scores["pesq"]
            save_weights(self.config.output / BEST, trainer.average, metadata)
        return scores

    def noisy_scores(self) -> Scores:
        """Returns the scores of doing nothing."""
        return self.validation_set.scores(self.validation_set.noisy)

    def norm_batches(self) -> Iterator[Tensor]:
        """Yields the same batches of training mixtures each time, for batch-norm statistics."""
        optim = self.config.optim
        for number in range(optim.norm_batches):
            noisy, _ = self.mixer.batch((optim.seed, NORM_SEED, number), optim.batch_size)
            yield self.transform.inputs(torch.from_numpy(noisy).to(optim.device))

    def log(self, trainer: Trainer, scores: Scores) -> None:
        """Appends a line to the log: how far the learner is, and the scores."""
        seen_s = trainer.step * self.config.optim.batch_size * self.config.mixing.segment_s
        line = {"step": trainer.step, "hours_seen": round(seen_s / 3600, 2), "loss": round(trainer.loss, 4), **scores}
        with (self.config.output / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
