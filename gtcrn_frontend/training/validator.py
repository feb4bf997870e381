"""Validation during a run: scores the moving average, writes the log, and keeps the best weights."""

from __future__ import annotations

import json
from collections.abc import Iterator

import torch
from torch import Tensor

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.training.checkpoint import save_weights
from gtcrn_frontend.training.config import METRICS, TrainConfig
from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.ema import copy_norms, recompute_norms
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.progress import shown
from gtcrn_frontend.training.trainer import Trainer
from gtcrn_frontend.training.validation_set import Scores, ValidationSet, enhance_all

LOG = "log.jsonl"
BEST = "best.safetensors"
LAST = "last.safetensors"
NORM_SEED = 8_000_000  # apart from the seeds of all training steps


class Validator:
    """Scores the moving average, in evaluation mode and with batch-norm statistics that fit it.

    Args:
        config: of the run.
        mixer: makes the mixtures that batch-norm statistics are computed from.
        objective: its transform runs the network, its recognisers measure the estimates.
        validation_set: held-out mixtures.
    """

    def __init__(
        self, config: TrainConfig, mixer: Mixer, objective: CombinedLoss, validation_set: ValidationSet
    ) -> None:
        self.config = config
        self.mixer = mixer
        self.objective = objective
        self.validation_set = validation_set

    def __call__(self, trainer: Trainer) -> Scores:
        """Validates, logs and saves the weights; returns the scores."""
        if trainer.norms_frozen:
            copy_norms(trainer.network, trainer.average)
        else:
            recompute_norms(trainer.average, self.norm_batches())
        noisy = self.validation_set.noisy
        scores = self.scores(enhance_all(trainer.average, noisy, self.objective.transform))
        self.log(trainer, scores)
        described = {"architecture": self.config.network, "step": trainer.step, **scores}
        metadata = {name: str(value) for name, value in described.items()}
        save_weights(self.config.output / LAST, trainer.average, metadata)
        metric = self.config.validation.metric
        if trainer.best_metric != metric:  # changed between two parts of a run: the scores cannot be compared
            trainer.best, trainer.best_metric = float("-inf"), metric
        score = METRICS[metric] * scores[metric]
        if score > trainer.best:
            trainer.best = score
            save_weights(self.config.output / BEST, trainer.average, metadata)
        return scores

    def scores(self, estimates: F32) -> Scores:
        """Returns the mean scores of estimates `(count, n)`; with `loss.recognizers`, also their mean distance."""
        scores = self.validation_set.scores(estimates)
        if self.objective.recognizers is not None:
            scores["recognizer"] = self.validation_set.recognizer_distance(estimates, self.objective.recognizers)
        return scores

    def noisy_scores(self) -> Scores:
        """Returns the scores of the unprocessed mixtures."""
        return self.scores(self.validation_set.noisy)

    def norm_batches(self) -> Iterator[Tensor]:
        """Yields batches of training mixtures for batch-norm statistics, the same ones at every call."""
        optim = self.config.optim
        for number in shown(range(optim.norm_batches), optim.norm_batches, "batch norm"):
            noisy, _ = self.mixer.batch((optim.seed, NORM_SEED, number), optim.batch_size)
            yield self.objective.transform.inputs(torch.from_numpy(noisy).to(optim.device))

    def log(self, trainer: Trainer, scores: Scores) -> None:
        """Appends a line to the log: step, hours of audio seen, training loss, and the scores."""
        seen_s = trainer.step * self.config.optim.batch_size * self.config.mixing.segment_s
        line = {"step": trainer.step, "hours_seen": round(seen_s / 3600, 2), "loss": round(trainer.loss, 4), **scores}
        with (self.config.output / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
