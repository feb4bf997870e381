"""Trains one of the project's recognisers and writes the files that sherpa-onnx runs.

    python benchmarks/recognizers/train.py digits --variant clean --steps 2500
    python benchmarks/recognizers/train.py characters --libri train-clean-5 --steps 7000 --resume

Four speakers are few. The digits' network hears others first, reading sentences:

    python benchmarks/recognizers/train.py characters --network-of digits --libri train-clean-5 --output runs/letters
    python benchmarks/recognizers/train.py digits --start runs/letters/online.onnx --rate 1e-3

The `clean` variant learns from speech in quiet rooms, the `robust` one from speech in noise; no recording of noise is
in the judged conditions.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jiwer
import torch
from batches import BACKGROUNDS, Batches, set_statistics
from corpora import ROOT, noises
from export import export, load
from tasks import TASKS, Task, Utterance, load_task
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import (
    CtcRecognizer,
    greedy_symbols,
    output_lengths,
)

ASSETS = ROOT / "tests" / "assets" / "recognizers"
SEED = 1
WARMUP_STEPS = 200
WEIGHT_DECAY = 0.01
CLIP_NORM = 2.0
AVERAGE_DECAY = 0.995
VALIDATE_EVERY = 250
VALIDATED_UTTERANCES = 120
SAVE_EVERY_S = 120.0


class Run:
    """What training changes: the network, its moving average and the optimizer, and how far it is."""

    def __init__(self, network: CtcRecognizer, steps: int, rate: float) -> None:
        self.network, self.steps, self.rate, self.step = network, steps, rate, 0
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY))
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)

    def learn(self, batches: Batches) -> tuple[float, float]:
        """Returns the loss of the next batch, and its seconds of audio."""
        warm = min((self.step + 1) / WARMUP_STEPS, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * warm * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        batch = batches.draw(self.step)
        self.network.train()
        scores = self.network(batch.features, batch.frames)
        loss = nn.functional.ctc_loss(
            scores.transpose(0, 1), batch.symbols, output_lengths(batch.frames), batch.counts, zero_infinity=True
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(loss.detach()), float(batch.frames.sum()) / 100

    def save(self, path: Path) -> None:
        parts = {"network": self.network, "average": self.average, "optimizer": self.optimizer}
        unfinished = path.with_suffix(".part")
        torch.save({"step": self.step, **{name: part.state_dict() for name, part in parts.items()}}, unfinished)
        unfinished.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


@torch.no_grad()
def begin_with(network: CtcRecognizer, known: CtcRecognizer) -> None:
    """Gives a network what another one of its size knows; symbols apart, and bands that only one of them looks at."""
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
def error_rate(network: CtcRecognizer, task: Task, judged: Sequence[tuple[Utterance, Tensor]]) -> float:
    """Returns errors per unit on clean held-out utterances, decoded greedily."""
    network.eval()
    heard = [task.text(tuple(greedy_symbols(network(features[None])[0]))) for _, features in judged]
    said = [task.text(utterance.symbols) for utterance, _ in judged]
    if task.unit == "phrase":
        return sum(a != b for a, b in zip(heard, said, strict=True)) / len(said)
    return float((jiwer.wer if task.unit == "word" else jiwer.cer)(said, heard))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--variant", choices=BACKGROUNDS, default="clean")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--libri", type=Path, nargs="*", default=[], help="folders of LibriSpeech with transcripts")
    parser.add_argument("--steps", type=int, default=3000, help="length of the schedule (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--start", type=Path, help="begin with the weights of this online.onnx, the last layer apart")
    parser.add_argument("--network-of", choices=TASKS, help="with a network as small as this task's")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "recognizers", help="checkpoints and log")
    parser.add_argument("--output", type=Path, help="folder for the exported files (default: tests/assets/recognizers)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
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
    judged = [(utterance, batches.features(utterance.samples)) for utterance in task.judged(VALIDATED_UTTERANCES)]

    network = CtcRecognizer(task.network)
    if not args.resume:
        set_statistics(network, batches)
        if args.start is not None:
            begin_with(network, load(args.start))
    run = Run(network, args.steps, args.rate)
    if args.resume:
        run.load(checkpoint)
    began, saved, heard_s = time.monotonic(), time.monotonic(), 0.0
    while run.step < args.steps:
        loss, seconds = run.learn(batches)
        heard_s += seconds
        if run.step % VALIDATE_EVERY == 0 or run.step == args.steps:
            row = {
                "step": run.step,
                "loss": round(loss, 4),
                "error": round(error_rate(run.average.module, task, judged), 4),
                "hours": round(heard_s / 3600, 2),
                "realtime": round(heard_s / (time.monotonic() - began)),
            }
            print(json.dumps(row), flush=True)
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            export(run.average.module, output, list(task.symbols))
        if time.monotonic() - saved > SAVE_EVERY_S:
            run.save(checkpoint)
            saved = time.monotonic()
    run.save(checkpoint)
    return 0


if __name__ == "__main__":
    sys.exit(main())
