"""One training run, from config to weights: resumable at any step, with the same result to the bit."""

from __future__ import annotations

import sys
import time

import torch
from tqdm import tqdm

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.checkpoint import load_checkpoint, save_checkpoint
from gtcrn_frontend.training.config import TrainConfig
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
from gtcrn_frontend.training.trainer import new_trainer
from gtcrn_frontend.training.validation_set import Scores, make_validation_set
from gtcrn_frontend.training.validator import Validator
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import find_network

CHECKPOINT = "checkpoint.pt"


def train(config: TrainConfig, *, resume: bool = False, max_seconds: float | None = None) -> Scores:
    """Trains until the schedule, the time or the user ends it; returns the scores of the last validation.

    Writes to `config.output`: checkpoint.pt, log.jsonl, best.safetensors, last.safetensors. Interrupts
    (Ctrl-C, SIGTERM) save a checkpoint first. Under `torchrun`, several processes divide each batch among themselves,
    see `distributed`.

    Args:
        config: all settings.
        resume: go on from the checkpoint in `config.output`.
        max_seconds: end this slice after so many seconds.

    Raises:
        ConfigError: data or checkpoint that cannot be used, or a batch that several processes cannot divide.
        ModelError: a teacher, the model to start from, or DNSMOS's network that cannot be loaded; it is told before
            any data is read.
    """
    with join_process_group(config.optim) as process_group:
        return _train(config, process_group, resume, max_seconds if max_seconds is not None else float("inf"))


def _train(config: TrainConfig, process_group: ProcessGroup, resume: bool, max_seconds: float) -> Scores:
    end = time.monotonic() + max_seconds
    optim, spec, output = config.optim, find_network(config.network).spec, config.output
    torch.set_num_threads(optim.threads)
    trainer = new_trainer(optim, config.network)
    if resume:
        trainer.load(load_checkpoint(output / CHECKPOINT))
    elif (output / CHECKPOINT).exists():
        raise ConfigError(f"{output} already has a checkpoint: add --resume to go on, or choose another output folder")
    elif config.start is not None:
        trainer.start_from(load_model(model_path(config.start)))
    # What the loss needs comes before the data: decoding takes minutes.
    transform = Transform(spec, optim.device)
    objective = CombinedLoss(config.loss, transform)
    teacher = Teacher(config.loss.teachers, spec.sample_rate) if config.loss.distillation else None
    output.mkdir(parents=True, exist_ok=True)
    with process_group.main_first():  # it fills the cache and writes the split
        data = load_data(config, spec.sample_rate)
    mixer = Mixer(data.audio_cache, data.train, config.mixing, spec.sample_rate)
    validation_set = make_validation_set(
        data.audio_cache, data.held_out, config.mixing, config.validation, spec.sample_rate, optim.seed
    )
    validator = Validator(config, mixer, transform, validation_set)

    scores: Scores = {}
    saved = time.monotonic()
    with (
        Prefetcher(
            mixer,
            process_group.share(optim.batch_size),
            optim.seed,
            trainer.step,
            teacher,
            process_group.rank if process_group.size > 1 else None,
        ) as prefetcher,
        stop_on_signals() as stopped,
        tqdm(
            total=optim.steps,
            initial=trainer.step,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            disable=not process_group.is_main,
        ) as bar,
    ):
        if process_group.is_main and trainer.step == 0:
            validator.log(trainer, {f"noisy_{name}": value for name, value in validator.noisy_scores().items()})
        began, first = time.monotonic(), trainer.step
        while trainer.step < optim.steps and not process_group.any(stopped() or time.monotonic() >= end):
            if trainer.norms_due:
                recompute_norms(trainer.network, validator.norm_batches())
                trainer.norms_frozen = True
            noisy, target, *teacher_output = (torch.from_numpy(part).to(optim.device) for part in prefetcher.next())
            trainer.learn(objective, noisy, target, next(iter(teacher_output), None), process_group)
            bar.update()
            speed = (trainer.step - first) * optim.batch_size * config.mixing.segment_s / (time.monotonic() - began)
            bar.set_postfix(
                loss=f"{trainer.loss:.3f}", rate=f"{learning_rate(trainer.step, optim):.2e}", realtime=f"{speed:.0f}x"
            )
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
    return scores
