"""Trains one of the project's recognisers and writes the files that sherpa-onnx runs.

    python benchmarks/recognizers/train.py digits --variant clean --steps 2500
    python benchmarks/recognizers/train.py characters --libri train-clean-5 --steps 7000 --resume

Four speakers are few: the digit network is pre-trained on read sentences of others:

    python benchmarks/recognizers/train.py characters --network-of digits --libri train-clean-5 --output runs/letters
    python benchmarks/recognizers/train.py digits --start runs/letters/online.onnx --rate 1e-3

The `clean` variant is trained on speech in quiet rooms, the `robust` one on speech in noise; no noise recording of the
test conditions is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jiwer
import torch
from batches import BACKGROUNDS, Batch, Batches, set_statistics
from corpora import ROOT, noises
from export import export, load
from tasks import TASKS, Task, Utterance, load_task
from torch import Tensor, nn

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import (
    CtcRecognizer,
    greedy_symbols,
    output_lengths,
)
from gtcrn_frontend.training.checkpoint import load_checkpoint, save_checkpoint
from gtcrn_frontend.training.config import OptimConfig
from gtcrn_frontend.training.trainer import Trainer, trainer_of

ASSETS = ROOT / "tests" / "assets" / "recognizers"
SEED = 1
WARMUP_STEPS = 200
WEIGHT_DECAY = 0.01
CLIP_NORM = 2.0
AVERAGE_DECAY = 0.995
VALIDATE_EVERY = 250
VALIDATED_UTTERANCES = 120
SAVE_EVERY_S = 120.0


def new_trainer(network: CtcRecognizer, steps: int, rate: float) -> Trainer:
    """Returns a trainer of a recogniser."""
    config = OptimConfig(
        steps=steps,
        peak_lr=rate,
        final_lr=0.0,
        warmup_steps=min(WARMUP_STEPS, steps // 2),
        weight_decay=WEIGHT_DECAY,
        clip_norm=CLIP_NORM,
        ema_decay=AVERAGE_DECAY,
        seed=SEED,
        fused=False,
    )
    return trainer_of(network, CtcRecognizer(network.config), config)


def learn(trainer: Trainer, batch: Batch) -> float:
    """Takes one step; returns the CTC loss before it."""

    def loss() -> Tensor:
        scores = trainer.network(batch.features, batch.frames)
        return nn.functional.ctc_loss(
            scores.transpose(0, 1), batch.symbols, output_lengths(batch.frames), batch.counts, zero_infinity=True
        )

    return trainer.update(loss)


@torch.no_grad()
def begin_with(network: CtcRecognizer, known: CtcRecognizer) -> None:
    """Copies the weights of a network of the same size, except the output layer and bands that only one uses."""
    bands = min(network.config.used_mels, known.config.used_mels)
    state = known.state_dict()
    own = network.state_dict()
    own["conv1.weight"].zero_()[:, :bands] = state.pop("conv1.weight")[:, :bands]
    for name in ("mean", "scale"):
        own[name][:bands] = state.pop(name)[:bands]
    for name, values in state.items():
        if values.shape == own[name].shape or not name.startswith("output."):
            own[name].copy_(values)


@torch.no_grad()
def error_rate(network: CtcRecognizer, task: Task, held_out: Sequence[tuple[Utterance, Tensor]]) -> float:
    """Returns errors per unit on clean held-out utterances with greedy decoding."""
    network.eval()
    recognised = [task.text(tuple(greedy_symbols(network(features[None])[0]))) for _, features in held_out]
    references = [task.text(utterance.symbols) for utterance, _ in held_out]
    if task.unit == "phrase":
        return sum(a != b for a, b in zip(recognised, references, strict=True)) / len(references)
    return float((jiwer.wer if task.unit == "word" else jiwer.cer)(references, recognised))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--variant", choices=BACKGROUNDS, default="clean")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--libri", type=Path, nargs="*", default=[], help="folders of LibriSpeech with transcripts")
    parser.add_argument("--steps", type=int, default=3000, help="length of the schedule (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument(
        "--start", type=Path, help="start from the weights of this online.onnx, except the output layer"
    )
    parser.add_argument("--network-of", choices=TASKS, help="use the network size of this task")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "recognizers", help="checkpoints and log")
    parser.add_argument("--output", type=Path, help="folder for the exported files (default: tests/assets/recognizers)")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)

    task = load_task(args.task, args.audio, tuple(args.libri))
    name = f"{args.task}-{args.variant}"
    if args.network_of is not None:
        network = load_task(args.network_of, args.audio).network
        task = dataclasses.replace(task, network=dataclasses.replace(network, symbols=len(task.symbols)))
        name += f"-{args.network_of}"
    folder, output = args.runs / name, args.output or ASSETS / name
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    batches = Batches(task, noises(args.audio, held_out=False), BACKGROUNDS[args.variant], SEED)
    held_out = [(utterance, batches.features(utterance.samples)) for utterance in task.held_out(VALIDATED_UTTERANCES)]

    network = CtcRecognizer(task.network)
    if not args.resume:
        set_statistics(network, batches)
        if args.start is not None:
            begin_with(network, load(args.start))
    trainer = new_trainer(network, args.steps, args.rate)
    if args.resume:
        trainer.load(load_checkpoint(checkpoint))
    began, saved, audio_s = time.monotonic(), time.monotonic(), 0.0
    while trainer.step < args.steps:
        batch = batches.draw(trainer.step)
        loss = learn(trainer, batch)
        audio_s += float(batch.frames.sum()) / 100
        if trainer.step % VALIDATE_EVERY == 0 or trainer.step == args.steps:
            row = {
                "step": trainer.step,
                "loss": round(loss, 4),
                "error": round(error_rate(trainer.average, task, held_out), 4),
                "hours": round(audio_s / 3600, 2),
                "realtime": round(audio_s / (time.monotonic() - began)),
            }
            print(json.dumps(row), flush=True)
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            export(trainer.average, output, list(task.symbols))
        if time.monotonic() - saved > SAVE_EVERY_S:
            save_checkpoint(checkpoint, trainer.state())
            saved = time.monotonic()
    save_checkpoint(checkpoint, trainer.state())
    return 0


if __name__ == "__main__":
    sys.exit(main())
