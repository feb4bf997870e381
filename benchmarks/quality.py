"""Quality of several models side by side: PESQ-WB, STOI, SI-SNR, log-mel distance, and DNSMOS if its models are given.

    python benchmarks/quality.py --model gtcrn-asr gtcrn-dns3 --dnsmos DNSMOS_FOLDER --json quality.json
    python benchmarks/quality.py --validation examples/train_gtcrn_asr.yaml --mixtures 100

Material: clean/noisy pairs of a folder, and the held-out mixtures of a training config. Every model runs through
the public `Enhancer` at full strength. Figures are means over all signals for which a measure is defined; "undef."
counts the values left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from _common import shared_default
from numpy.typing import NDArray
from tqdm import tqdm

from gtcrn_frontend import Enhancer
from gtcrn_frontend.evaluation.dnsmos import DNSMOS
from gtcrn_frontend.evaluation.machine import environment
from gtcrn_frontend.evaluation.metrics import log_mel_distance, pesq_wb, si_snr, stoi
from gtcrn_frontend.evaluation.tables import Value, markdown_table, write_json

NOISY = "noisy"
DIGITS = {"PESQ-WB": 2, "STOI": 3, "SI-SNR dB": 1, "log-mel": 3, "SIG": 2, "BAK": 2, "OVRL": 2, "P.808": 2}

Samples = NDArray[np.float32]
Scores = dict[str, float]


class Pair(NamedTuple):
    """One test signal with its reference."""

    name: str
    clean: Samples
    noisy: Samples
    sample_rate: int


def folder_pairs(folder: Path) -> list[Pair]:
    """Returns the pairs `NAME_clean.flac`, `NAME_noisy.flac` of a folder."""
    pairs = []
    for path in sorted(folder.glob("*_clean.flac")):
        clean, sample_rate = soundfile.read(path, dtype="float32")
        noisy, _ = soundfile.read(path.with_name(path.name.replace("_clean", "_noisy")), dtype="float32")
        pairs.append(Pair(path.stem.removesuffix("_clean"), clean, noisy, sample_rate))
    if not pairs:
        raise SystemExit(f"no *_clean.flac with its *_noisy.flac in {folder}")
    return pairs


def held_out_mixtures(config_file: Path, count: int | None) -> list[Pair]:
    """Returns the validation mixtures of a training config: its own, or `count` made the same way."""
    from gtcrn_frontend.spec import GTCRN_SPEC
    from gtcrn_frontend.training.config_file import load_config
    from gtcrn_frontend.training.data import load_data
    from gtcrn_frontend.training.validation import make_validation_set

    config = load_config(config_file)
    if not config.held_out.file.is_file():
        raise SystemExit(f"no split {config.held_out.file}: train first, or nothing is known to be held out")
    validation = config.validation if count is None else dataclasses.replace(config.validation, mixtures=count)
    rate = GTCRN_SPEC.sample_rate
    data = load_data(config, rate)
    mixtures = make_validation_set(data.store, data.held_out, config.mixing, validation, rate, config.optim.seed)
    signals = zip(mixtures.target, mixtures.noisy, strict=True)
    return [Pair(f"mixture {i}", clean, noisy, rate) for i, (clean, noisy) in enumerate(signals)]


@functools.cache
def enhancer(model: str, engine: str) -> Enhancer:
    return Enhancer(model=model, engine=engine)


@functools.cache
def dnsmos(folder: Path) -> DNSMOS:
    return DNSMOS(folder)


def score(pair: Pair, models: Sequence[str], engine: str, dnsmos_folder: Path | None) -> dict[str, Scores]:
    """Returns the measures of the noisy signal and of each model's output."""
    outputs = {NOISY: pair.noisy}
    outputs |= {Path(model).name: enhancer(model, engine).enhance(pair.noisy) for model in models}
    scores: dict[str, Scores] = {}
    for name, estimate in outputs.items():
        scores[name] = {
            "PESQ-WB": pesq_wb(pair.clean, estimate, pair.sample_rate),
            "STOI": stoi(pair.clean, estimate, pair.sample_rate),
            "SI-SNR dB": si_snr(pair.clean, estimate),
            "log-mel": log_mel_distance(pair.clean, estimate, pair.sample_rate),
        }
        if dnsmos_folder is not None:
            rated = dnsmos(dnsmos_folder)(estimate, pair.sample_rate)
            scores[name] |= {"SIG": rated.sig, "BAK": rated.bak, "OVRL": rated.ovrl, "P.808": rated.p808}
    return scores


def score_all(
    pairs: Sequence[Pair], one: Callable[[Pair], dict[str, Scores]], jobs: int, label: str
) -> dict[str, dict[str, Scores]]:
    """Returns the measures of all pairs by name, in several processes, with progress on stderr."""
    with tqdm(total=len(pairs), desc=label, unit="signal") as progress:

        def collected(results: Iterator[dict[str, Scores]]) -> dict[str, dict[str, Scores]]:
            by_name = {}
            for pair, result in zip(pairs, results, strict=True):
                by_name[pair.name] = result
                progress.update()
            return by_name

        if jobs == 1:
            return collected(map(one, pairs))
        # Not forked: a process with threads of a runtime in it cannot be copied safely.
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            return collected(pool.map(one, pairs))


def summary(scores: dict[str, dict[str, Scores]]) -> list[dict[str, Value]]:
    """Returns a row of means for each system."""
    rows: list[dict[str, Value]] = []
    first = next(iter(scores.values()))
    for system, measures in first.items():
        values = {key: np.array([result[system][key] for result in scores.values()]) for key in measures}
        means = {key: float(np.nanmean(v)) if not np.isnan(v).all() else None for key, v in values.items()}
        undefined = int(sum(np.isnan(v).sum() for v in values.values()))
        rows.append({"model": system, **means, "signals": len(scores), "undef.": undefined})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["gtcrn-asr"], help="names or paths (default: gtcrn-asr)")
    parser.add_argument("--engine", default="auto", help="(default: auto)")
    parser.add_argument(
        "--pairs",
        type=Path,
        default=shared_default("audio/pairs"),
        help="folder of NAME_clean.flac and NAME_noisy.flac (default: the one in ../shared)",
    )
    parser.add_argument(
        "--validation", type=Path, metavar="CONFIG", help="training config whose held-out mixtures are used too"
    )
    parser.add_argument("--mixtures", type=int, help="number of held-out mixtures (default: the config's)")
    parser.add_argument("--dnsmos", type=Path, help="folder of sig_bak_ovr.onnx and model_v8.onnx")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", type=Path, help="also write means and single scores to this file")
    args = parser.parse_args()

    if len({Path(model).name for model in args.model} | {NOISY}) <= len(args.model):
        parser.error("models need different file names, to be told apart in the table")
    material: dict[str, list[Pair]] = {}
    if args.pairs:
        material[f"pairs in {args.pairs}"] = folder_pairs(args.pairs)
    if args.validation:
        material["held-out mixtures"] = held_out_mixtures(args.validation, args.mixtures)
    if not material:
        parser.error("nothing to measure: name --pairs or --validation")

    machine = environment()
    print(f"cpu: {machine['cpu']}; processes: {args.jobs}; engine: {args.engine}")
    one = functools.partial(score, models=args.model, engine=args.engine, dnsmos_folder=args.dnsmos)
    results = {}
    for label, pairs in material.items():
        scores = score_all(pairs, one, args.jobs, label)
        rows = summary(scores)
        print(f"\n{label}:\n\n{markdown_table(rows, DIGITS)}")
        results[label] = {"mean": rows, "single": scores}
    if args.json:
        write_json(args.json, {"environment": machine, "engine": args.engine, "results": results})


if __name__ == "__main__":
    main()
