"""Short trainings of equal length with different losses of recognisers, judged by recognisers in and outside the loss.

    python benchmarks/training/loss_trials.py benchmarks/training/gtcrn_asr.yaml --start gtcrn-voice --out runs/trials \
        --judge tiny.en=FOLDER base=FOLDER letters=benchmarks/recognizers/teacher.py:characters
    python benchmarks/recognizers/whisper.py --model runs/trials/*/last.safetensors --condition "5 dB" "tel. 5 dB"

Each trial is the config with some settings changed, for --steps; one that is in the output folder already is not
repeated. The first table shows the feature distance of each judge on held-out mixtures, relative to that of the noisy
input (in brackets at strength 0.8), and the SI-SNR in dB; the second command prints word errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table
from gtcrn_frontend.nets import new_net
from gtcrn_frontend.training.config import RecognizerConfig, TrainConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.losses.recognizer_distance import RecognizerDistance
from gtcrn_frontend.training.train_loop import train
from gtcrn_frontend.training.trainer import trainer_of
from gtcrn_frontend.training.validation_set import enhance_all, make_validation_set
from gtcrn_frontend.training.validator import LAST
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import find_network

STRENGTH = 0.8  # that of the distances in brackets

Change = Callable[[TrainConfig], TrainConfig]


def _loss(**settings: object) -> Change:
    return lambda config: replace(config, loss=replace(config.loss, **settings))  # type: ignore[arg-type]


def _mixing(**settings: object) -> Change:
    return lambda config: replace(config, mixing=replace(config.mixing, **settings))  # type: ignore[arg-type]


def _recognizers(keep: Callable[[RecognizerConfig], bool], **settings: object) -> Change:
    def change(config: TrainConfig) -> TrainConfig:
        kept = [replace(item, **settings) for item in config.loss.recognizers if keep(item)]  # type: ignore[arg-type]
        return replace(config, loss=replace(config.loss, recognizers=tuple(kept)))

    return change


def _everything(config: TrainConfig) -> TrainConfig:
    return config


TRIALS: dict[str, Change] = {
    "as-configured": _everything,
    "whisper-alone": _recognizers(lambda item: item.whisper is not None),
    "letters-alone": _recognizers(lambda item: item.factory is not None),
    "last-layer": _recognizers(lambda item: True, layers="last"),
    "hybrid-0.3": _loss(hybrid=0.3),
    "hybrid-0.03": _loss(hybrid=0.03),
    "strength-0.7-1": _loss(recognizer_strength=(0.7, 1.0)),
    "strength-1": _loss(recognizer_strength=(1.0, 1.0)),
    "snr-from-minus-10": _mixing(snr_db=(-10.0, 20.0)),
    "noise-only-0.1": _mixing(noise_only_prob=0.1),
}


def judge(text: str) -> tuple[str, RecognizerConfig]:
    """Returns the name and the recogniser of `NAME=FOLDER` or `NAME=FILE.py:FUNCTION`."""
    name, found, place = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"expected NAME=FOLDER or NAME=FILE.py:FUNCTION, got {text!r}")
    if ":" in place:
        return name, RecognizerConfig(factory=place)  # type: ignore[arg-type]
    return name, RecognizerConfig(whisper=Path(place))


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML file of a training")
    parser.add_argument("--start", required=True, help="model that each trial starts from")
    parser.add_argument("--steps", type=int, default=300, help="of each trial (default: %(default)s)")
    parser.add_argument("--trial", nargs="*", default=list(TRIALS), choices=TRIALS, help="(default: all)")
    parser.add_argument("--judge", nargs="+", type=judge, required=True, metavar="NAME=PLACE")
    parser.add_argument("--mixtures", type=int, default=60, help="held-out ones (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/trials"), help="(default: %(default)s)")
    args = parser.parse_args()
    base = load_config(args.config)
    optim = replace(base.optim, steps=args.steps, warmup_steps=args.steps // 10)
    validation = replace(base.validation, every_steps=args.steps, mixtures=args.mixtures)
    base = replace(base, optim=optim, validation=validation, start=args.start)
    for name in args.trial:
        config = replace(TRIALS[name](base), output=args.out / name)
        if not (config.output / LAST).exists():
            # Its own validation is short: the judges below are the same for all trials.
            train(replace(config, validation=replace(validation, mixtures=1)), resume=config.output.exists())

    spec = find_network(base.network).spec
    data = load_data(base, spec.sample_rate)
    fixed = make_validation_set(data.audio_cache, data.held_out, base.mixing, validation, spec.sample_rate, optim.seed)
    judges = {name: RecognizerDistance([item], spec.sample_rate) for name, item in args.judge}
    noisy = {name: fixed.recognizer_distance(fixed.noisy, distance) for name, distance in judges.items()}

    def row(name: str, estimates: F32) -> dict[str, Value]:
        mixed = STRENGTH * estimates + (1 - STRENGTH) * fixed.noisy
        cells: dict[str, Value] = {"trial": name}
        for each, distance in judges.items():
            full, part = (fixed.recognizer_distance(e, distance) / noisy[each] for e in (estimates, mixed))
            cells[each] = f"{full:.3f} ({part:.3f})"
        return cells | {"SI-SNR": f"{fixed.scores(estimates)['si_snr_db']:.1f}"}

    def enhanced(model: str) -> F32:
        trainer = trainer_of(new_net(base.network), new_net(base.network), optim)
        trainer.start_from(load_model(model_path(model)))
        return np.asarray(enhance_all(trainer.network, fixed.noisy, Transform(spec)))

    rows = [row(args.start, enhanced(args.start))]
    rows += [row(name, enhanced(str(args.out / name / LAST))) for name in args.trial]
    print(markdown_table(rows, {}))


if __name__ == "__main__":
    main()
