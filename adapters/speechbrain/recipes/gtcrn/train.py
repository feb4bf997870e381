"""SpeechBrain recipe: trains GTCRN, or another network by name, from random weights, as `gtcrn-frontend train` does.

    python -m gtcrn_frontend.adapters.speechbrain.recipes.gtcrn.train gtcrn.yaml --data_folder DATA

DATA holds a `manifest.json` of speech, noise and rooms; more corpora can be listed in the YAML file. Ends with scores
on held-out speakers, noises and rooms, writes a file for `Enhancer(model=path)`, and evaluates it in front of the digit
recogniser by word error rates in held-out noise. The same command resumes an interrupted run, also in the middle of an
epoch, with the same weights as without the interruption.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import gtcrn_frontend.adapters.speechbrain  # noqa: F401  # before SpeechBrain, see `torchaudio_fallback`

# isort: split

import numpy as np
import speechbrain as sb
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from gtcrn_frontend.adapters.speechbrain.recipes.common import begin_experiment, fuse, run_as_command
from gtcrn_frontend.adapters.speechbrain.recipes.digits.evaluate import DigitsEvaluator
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.report.tables import markdown_table
from gtcrn_frontend.training.checkpoint import save_weights
from gtcrn_frontend.training.config import METRICS, TrainConfig
from gtcrn_frontend.training.data.batches import Batch, MixtureBatches
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.distillation import Teacher
from gtcrn_frontend.training.ema import copy_norms, freeze_norms, recompute_norms, update_ema
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.lr_schedule import learning_rate
from gtcrn_frontend.training.validation_set import Scores, make_validation_set
from gtcrn_frontend.training.validator import Validator
from gtcrn_frontend.weights.networks import find_network

logger = logging.getLogger(__name__)


class GtcrnBrain(sb.Brain):  # type: ignore[misc]  # SpeechBrain has no types
    """Trains `modules.network`; validates and saves `modules.average`, the moving average of its weights.

    Attributes:
        validator: makes the batches for batch-norm statistics, and the scores; set before `fit`.
        scores: of the last validation.
    """

    validator: Validator

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config: TrainConfig = self.hparams.config
        self.objective = CombinedLoss(self.config.loss, Transform(find_network(self.config.network).spec, self.device))
        self.first_frozen_step = self.config.optim.first_frozen_step
        self.train_loss = float("nan")
        self.scores: Scores = {}
        self._estimates: list[F32] = []

    def compute_forward(self, batch: Sequence[Tensor], stage: Any) -> Tensor:
        """Returns the enhanced spectra `(B, bins, T, 2)`."""
        network = self.modules.network if stage == sb.Stage.TRAIN else self.modules.average
        return self.objective.transform.enhanced(network, batch[0].to(self.device))

    def compute_objectives(self, predictions: Tensor, batch: Sequence[Tensor], stage: Any) -> Tensor:
        """Returns the loss of the spectra; collects the signals in validation."""
        transform = self.objective.transform
        if stage != sb.Stage.TRAIN:
            self._estimates.append(transform.inverse(predictions, batch[0].shape[1]).cpu().numpy())
        return self.objective(predictions, *(transform.forward(signal.to(self.device)) for signal in batch))

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Sets the learning rate; batch norm uses fixed statistics in the last part of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.optimizer_step, self.config.optim)
        network = self.modules.network
        if self.optimizer_step == self.first_frozen_step:
            recompute_norms(network, self.validator.norm_batches())
        if self.optimizer_step >= self.first_frozen_step:
            freeze_norms(network)

    def on_fit_batch_end(self, batch: Any, outputs: Any, loss: Tensor, should_step: bool) -> None:
        """Updates the moving average."""
        if should_step:
            decay = self.config.optim.ema_decay
            update_ema(self.modules.average, self.modules.network, decay, self.optimizer_step - 1)

    def on_stage_start(self, stage: Any, epoch: int | None = None) -> None:
        """Computes batch-norm statistics for the moving average."""
        if stage == sb.Stage.TRAIN:
            return
        self._estimates = []
        if self.optimizer_step > self.first_frozen_step:
            copy_norms(self.modules.network, self.modules.average)
        else:
            recompute_norms(self.modules.average, self.validator.norm_batches())

    def on_stage_end(self, stage: Any, stage_loss: float, epoch: int | None = None) -> None:
        """Writes to the log and saves a checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
            return
        self.scores = self.validator.scores(np.concatenate(self._estimates))
        self.hparams.train_logger.log_stats(
            {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]},
            train_stats={"loss": self.train_loss},
            valid_stats={"loss": stage_loss, **self.scores},
        )
        self.checkpointer.save_and_keep_only(meta=self.scores, **best_keys(self.config))


def best_keys(config: TrainConfig) -> dict[str, list[str]]:
    """Returns by which score the best checkpoint is chosen, as arguments of SpeechBrain's checkpointer."""
    metric = config.validation.metric
    return {"max_keys" if METRICS[metric] > 0 else "min_keys": [metric]}


class Steps(Sampler[int]):
    """Numbers of the steps in the current epoch, from the one that a checkpoint has restored."""

    def __init__(self, brain: GtcrnBrain, steps_per_epoch: int) -> None:
        self.brain, self.steps_per_epoch = brain, steps_per_epoch

    def __iter__(self) -> Iterator[int]:
        end = self.brain.hparams.epoch_counter.current * self.steps_per_epoch
        return iter(range(end - self.steps_per_epoch + self.brain.step, end))

    def __len__(self) -> int:
        return self.steps_per_epoch


def main(arguments: Sequence[str]) -> Scores:
    """Runs the recipe; returns the scores of the best epoch. Word error rates are in the file `wer_file`.

    Args:
        arguments: of the command line, as in every recipe of SpeechBrain.
    """
    hparams, run_opts = begin_experiment(arguments, __file__)
    modules = hparams["modules"]
    modules["average"].load_state_dict(modules["network"].state_dict())
    modules["average"].requires_grad_(False)
    brain = GtcrnBrain(modules, hparams["opt_class"], hparams, run_opts, hparams["checkpointer"])
    if hparams["fused"] and brain.device == "cpu":
        fuse(brain.modules.network)

    optim = dataclasses.replace(brain.config.optim, device=brain.device)
    config = dataclasses.replace(brain.config, optim=optim)
    rate = brain.objective.transform.spec.sample_rate
    data = load_data(config, rate)
    mixer = Mixer(data.audio_cache, data.train, config.mixing, rate)
    validation_set = make_validation_set(
        data.audio_cache, data.held_out, config.mixing, config.validation, rate, optim.seed
    )
    brain.validator = Validator(config, mixer, brain.objective, validation_set)
    teacher = Teacher(config.loss.teachers, rate) if config.loss.distillation else None
    batches = MixtureBatches(mixer, optim.batch_size, optim.seed, teacher)
    # SpeechBrain's own loader repeats the batches that its workers had begun when a checkpoint was saved.
    steps = Steps(brain, hparams["steps_per_epoch"])
    train_loader: DataLoader[Batch] = DataLoader(
        cast(Dataset[Batch], batches), None, sampler=steps, num_workers=hparams["num_workers"]
    )
    # Before the training, so that missing files are reported at once; the split has been written by now.
    digits = hparams["digits"]
    word_errors = DigitsEvaluator(digits, run_opts) if digits["pretrained_recognizer"] is not None else None
    signals = TensorDataset(*(torch.from_numpy(part) for part in (validation_set.noisy, validation_set.target)))
    brain.fit(hparams["epoch_counter"], train_loader, DataLoader(signals))

    best = hparams["checkpointer"].recover_if_possible(
        **{name.removesuffix("s"): keys[0] for name, keys in best_keys(config).items()}
    )
    save_weights(Path(hparams["trained_model"]), brain.modules.average, {"architecture": config.network})
    scores = {name: best.meta[name] for name in brain.validator.noisy_scores()}
    rows = [{"held out": "noisy", **brain.validator.noisy_scores()}, {"held out": "enhanced", **scores}]
    logger.info("Scores on held-out mixtures\n%s", markdown_table(rows, {}))
    if word_errors is not None:
        word_errors(hparams["trained_model"])
    return scores


if __name__ == "__main__":
    run_as_command(main)
