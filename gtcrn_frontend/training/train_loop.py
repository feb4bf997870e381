"""`train`: one training run from config to weights, resumable at any step with results equal to the bit."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from gtcrn_frontend.atomic_write import remove_leftovers
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.checkpoint import load_checkpoint, save_checkpoint
from gtcrn_frontend.training.config import TrainConfig
from gtcrn_frontend.training.data.batches import MixtureBatches
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.distillation import Teacher
from gtcrn_frontend.training.distributed import ProcessGroup, join_process_group
from gtcrn_frontend.training.ema import recompute_norms
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.lr_schedule import learning_rate
from gtcrn_frontend.training.prefetch import Prefetcher
from gtcrn_frontend.training.signals import stop_on_signals
from gtcrn_frontend.training.trainer import Trainer, new_trainer
from gtcrn_frontend.training.validation_set import Scores, make_validation_set
from gtcrn_frontend.training.validator import BEST, LAST, Validator
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import find_network

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class TrainResult:
    """Outcome of `train`.

    Attributes:
        output: folder with checkpoint.pt, log.jsonl, best.safetensors and last.safetensors.
        step: steps done so far, of `steps`.
        steps: length of the schedule.
        scores: means of the last validation in this call, by metric; empty if there was none.
        interrupted_by: the signal that ended the run early; None if there was none.
    """

    output: Path
    step: int
    steps: int
    scores: Scores
    interrupted_by: signal.Signals | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the schedule has been run to its end."""
        return self.step >= self.steps


def train(config: TrainConfig, *, resume: bool = False, max_seconds: float | None = None) -> TrainResult:
    """Trains until the schedule, the time limit or a signal ends the run.

    Writes to `config.output`: checkpoint.pt, log.jsonl, best.safetensors, last.safetensors. On SIGINT (Ctrl-C) and
    SIGTERM it saves a checkpoint and returns. Under `torchrun`, several processes divide each batch, see `distributed`.

    Args:
        config: all settings.
        resume: continue from the checkpoint in `config.output`.
        max_seconds: save a checkpoint and return after this time.

    Raises:
        ConfigError: unusable data or checkpoint, or a batch that several processes cannot divide.
        ModelError: a teacher, the model to start from, a recogniser or the network of DNSMOS cannot be loaded; raised
            before any data is read.
    """
    threads = torch.get_num_threads()
    try:
        with join_process_group(config.optim) as process_group:
            return _train(config, process_group, resume, max_seconds if max_seconds is not None else float("inf"))
    finally:
        torch.set_num_threads(threads)  # they are the process's, not ours


def _train(config: TrainConfig, process_group: ProcessGroup, resume: bool, max_seconds: float) -> TrainResult:
    end = time.monotonic() + max_seconds
    optim, output = config.optim, config.output
    torch.set_num_threads(optim.threads)
    trainer = _begin(config, resume)
    # Before the data, whose decoding takes minutes: what the loss needs may be missing.
    spec = find_network(config.network).spec
    objective = CombinedLoss(config.loss, Transform(spec, optim.device))
    teacher = Teacher(config.loss.teachers, spec.sample_rate) if config.loss.distillation else None
    output.mkdir(parents=True, exist_ok=True)
    with process_group.main_first():  # it fills the cache and writes the split
        data = load_data(config, spec.sample_rate)
    mixer = Mixer(data.audio_cache, data.train, config.mixing, spec.sample_rate)
    validation_set = make_validation_set(
        data.audio_cache, data.held_out, config.mixing, config.validation, spec.sample_rate, optim.seed
    )
    validator = Validator(config, mixer, objective, validation_set)
    rank = process_group.rank if process_group.size > 1 else None
    batches = MixtureBatches(mixer, process_group.share(optim.batch_size), optim.seed, teacher, rank)
    parallel = process_group.parallel(trainer.network)

    scores: Scores = {}
    with (
        Prefetcher(batches, range(trainer.step, optim.steps)) as prefetcher,
        stop_on_signals() as received,
        _progress(trainer, process_group) as bar,
    ):
        if process_group.is_main and trainer.step == 0:
            validator.log(trainer, {f"noisy_{name}": value for name, value in validator.noisy_scores().items()})
        began, first, saved = time.monotonic(), trainer.step, time.monotonic()
        while trainer.step < optim.steps and not process_group.any(bool(received()) or time.monotonic() >= end):
            if trainer.norms_due:
                recompute_norms(trainer.network, validator.norm_batches())
                trainer.norms_frozen = True
            noisy, target, *teacher_output = (torch.from_numpy(part).to(optim.device) for part in prefetcher.next())
            trainer.learn(objective, noisy, target, next(iter(teacher_output), None), process_group, parallel)
            speed = (trainer.step - first) * optim.batch_size * config.mixing.segment_s / (time.monotonic() - began)
            _show(bar, trainer, speed)
            if not process_group.is_main:
                continue
            if trainer.step % config.validation.every_steps == 0 or trainer.step == optim.steps:
                save_checkpoint(output / CHECKPOINT, trainer.state())  # torchrun does not wait for long validations
                scores = validator(trainer)
                bar.write(f"step {trainer.step}: {scores}", file=sys.stderr)
            if time.monotonic() - saved > config.checkpoint_every_s:
                save_checkpoint(output / CHECKPOINT, trainer.state())
                saved = time.monotonic()
        if process_group.is_main:
            save_checkpoint(output / CHECKPOINT, trainer.state())
        return TrainResult(output, trainer.step, optim.steps, scores, received())


def _begin(config: TrainConfig, resume: bool) -> Trainer:
    """Returns the trainer at its first step, or where the checkpoint left it."""
    trainer = new_trainer(config.optim, config.network)
    checkpoint = config.output / CHECKPOINT
    remove_leftovers(config.output / name for name in (CHECKPOINT, BEST, LAST))
    if resume:
        trainer.load(load_checkpoint(checkpoint))
    elif checkpoint.exists():
        raise ConfigError(
            f"{config.output} already has a checkpoint: add --resume to continue, or choose another output folder"
        )
    elif config.start is not None:
        trainer.start_from(load_model(model_path(config.start)))
    return trainer


def _progress(trainer: Trainer, process_group: ProcessGroup) -> tqdm[NoReturn]:
    return tqdm(
        total=trainer.config.steps,
        initial=trainer.step,
        desc="training",
        unit="step",
        dynamic_ncols=True,
        disable=not process_group.is_main,
    )


def _show(bar: tqdm[NoReturn], trainer: Trainer, speed: float) -> None:
    """Advances the progress bar; `speed` is in seconds of audio per second."""
    bar.update()
    rate = learning_rate(trainer.step, trainer.config)
    bar.set_postfix(loss=f"{trainer.loss:.3f}", rate=f"{rate:.2e}", realtime=f"{speed:.0f}x")
