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
from gtcrn_frontend.training.distributed import Team, join_team
from gtcrn_frontend.training.ema import recompute_norms
from gtcrn_frontend.training.losses.combined import Objective
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.lr_schedule import learning_rate
from gtcrn_frontend.training.prefetch import Feeder
from gtcrn_frontend.training.signals import stop_on_signals
from gtcrn_frontend.training.trainer import new_learner
from gtcrn_frontend.training.validation_set import Scores, make_validation_set
from gtcrn_frontend.training.validator import Judge
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import find_network

CHECKPOINT = "checkpoint.pt"


def train(config: TrainConfig, *, resume: bool = False, max_seconds: float | None = None) -> Scores:
    """Trains until the schedule, the time or the user ends it; returns the scores of the last validation.

    Writes to `config.output`: checkpoint.pt, log.jsonl, best.safetensors, last.safetensors. Interrupts
    (Ctrl-C, SIGTERM) save a checkpoint first. Under `torchrun`, several processes divide each batch among themselves,
    see `team`.

    Args:
        config: all settings.
        resume: go on from the checkpoint in `config.output`.
        max_seconds: end this slice after so many seconds.

    Raises:
        ConfigError: data or checkpoint that cannot be used, or a batch that several processes cannot divide.
        ModelError: a teacher, the model to start from, or DNSMOS's network that cannot be loaded; it is told before
            any data is read.
    """
    with join_team(config.optim) as team:
        return _train(config, team, resume, max_seconds if max_seconds is not None else float("inf"))


def _train(config: TrainConfig, team: Team, resume: bool, max_seconds: float) -> Scores:
    end = time.monotonic() + max_seconds
    optim, spec, output = config.optim, find_network(config.network).spec, config.output
    torch.set_num_threads(optim.threads)
    learner = new_learner(optim, config.network)
    if resume:
        learner.load(load_checkpoint(output / CHECKPOINT))
    elif (output / CHECKPOINT).exists():
        raise ConfigError(f"{output} already has a checkpoint: add --resume to go on, or choose another output folder")
    elif config.start is not None:
        learner.start_from(load_model(model_path(config.start)))
    # What the loss needs comes before the data: decoding takes minutes.
    transform = Transform(spec, optim.device)
    objective = Objective(config.loss, transform)
    teacher = Teacher(config.loss.teachers, spec.sample_rate) if config.loss.distillation else None
    output.mkdir(parents=True, exist_ok=True)
    with team.leader_first():  # it fills the cache and writes the split
        data = load_data(config, spec.sample_rate)
    mixer = Mixer(data.store, data.train, config.mixing, spec.sample_rate)
    validation_set = make_validation_set(
        data.store, data.held_out, config.mixing, config.validation, spec.sample_rate, optim.seed
    )
    judge = Judge(config, mixer, transform, validation_set)

    scores: Scores = {}
    saved = time.monotonic()
    with (
        Feeder(
            mixer,
            team.share(optim.batch_size),
            optim.seed,
            learner.step,
            teacher,
            team.rank if team.size > 1 else None,
        ) as feeder,
        stop_on_signals() as stopped,
        tqdm(
            total=optim.steps,
            initial=learner.step,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            disable=not team.leads,
        ) as bar,
    ):
        if team.leads and learner.step == 0:
            judge.log(learner, {f"noisy_{name}": value for name, value in judge.noisy_scores().items()})
        began, first = time.monotonic(), learner.step
        while learner.step < optim.steps and not team.any(stopped() or time.monotonic() >= end):
            if learner.norms_due:
                recompute_norms(learner.network, judge.norm_batches())
                learner.norms_frozen = True
            noisy, target, *taught = (torch.from_numpy(part).to(optim.device) for part in feeder.next())
            learner.learn(objective, noisy, target, next(iter(taught), None), team)
            bar.update()
            speed = (learner.step - first) * optim.batch_size * config.mixing.piece_s / (time.monotonic() - began)
            bar.set_postfix(
                loss=f"{learner.loss:.3f}", rate=f"{learning_rate(learner.step, optim):.2e}", realtime=f"{speed:.0f}x"
            )
            if not team.leads:
                continue
            if learner.step % config.validation.every_steps == 0 or learner.step == optim.steps:
                save_checkpoint(output / CHECKPOINT, learner.state())  # torchrun does not wait for long validations
                scores = judge(learner)
                bar.write(f"step {learner.step}: {scores}", file=sys.stderr)
            if time.monotonic() - saved > config.checkpoint_every_s:
                save_checkpoint(output / CHECKPOINT, learner.state())
                saved = time.monotonic()
        if team.leads:
            save_checkpoint(output / CHECKPOINT, learner.state())
    return scores
