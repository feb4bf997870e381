"""The command `evaluate`: quality of enhanced speech by the usual metrics, models side by side."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gtcrn_frontend.cli._argtypes import count, strength
from gtcrn_frontend.cli._eval_data import add_eval_data_args, held_out_of
from gtcrn_frontend.cli._evaluation_args import (
    RECOGNIZER_HELP,
    add_cache_args,
    add_cap_arg,
    add_normalise_arg,
    add_ray_arg,
    cache_of,
    pool_of,
    sources_of,
)
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._output_checks import check_outputs
from gtcrn_frontend.cli._progress import ProgressBar
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.quality.metric_registry import DNSMOS_FAMILY, FAMILIES

EXAMPLES = """examples:
  gtcrn-frontend evaluate --pairs voicebank_demand/ --model gtcrn-asr gtcrn-vctk --dnsmos DNSMOS/
  gtcrn-frontend evaluate --clean clean/ --noisy noisy/ --strength 1 0.7 auto --csv scores.csv
  gtcrn-frontend evaluate --manifest speech.jsonl --noise noise/ --snr 0,5,10 --mixtures 200 \\
      --json scores.json
  gtcrn-frontend evaluate --manifest test.jsonl --noise noise/ \\
      --recognizer faster-whisper:models/base.en --normalise english
  gtcrn-frontend evaluate --held-out examples/train_gtcrn_asr.yaml \\
      --model gtcrn-asr runs/gtcrn-asr/best.safetensors

A folder of pairs holds NAME_clean.wav with NAME_noisy.wav, or two folders clean... and noisy...
with files of the same names. A manifest is JSON lines, CSV, TSV, a Kaldi folder or a folder of
recordings, as for calibrate; transcripts are needed for --recognizer only. Scores are cached: run
the same command again to resume after an interruption.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure the quality of enhanced speech: PESQ, STOI, SI-SNR, DNSMOS and others",
        description="Measures the output of models for noisy speech against the clean speech. Prints means with 95 %\n"
        "intervals, differences from the first model, and means by input SNR.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    add_eval_data_args(parser)
    systems = parser.add_argument_group("systems")
    systems.add_argument(
        "--model",
        nargs="+",
        default=[str(EnhancerConfig.model)],
        metavar="MODEL",
        help=f"names or paths; the others are compared with the first one (default: {EnhancerConfig.model})",
    )
    systems.add_argument(
        "--strength",
        nargs="+",
        type=strength,
        default=[1.0],
        metavar="S",
        help="strengths of each model, 0 to 1 or auto (default: 1)",
    )
    systems.add_argument("--engine", default=EnhancerConfig.engine, help="engine of the models (default: %(default)s)")
    metrics = parser.add_argument_group("metrics")
    metrics.add_argument(
        "--metrics",
        nargs="+",
        choices=tuple(FAMILIES),
        default=(),
        metavar="NAME",
        help=f"out of {' '.join(FAMILIES)} (default: all; {DNSMOS_FAMILY} with --dnsmos)",
    )
    metrics.add_argument(
        "--dnsmos", type=Path, metavar="DIR", help="folder of the models sig_bak_ovr.onnx and model_v8.onnx"
    )
    errors = parser.add_argument_group("word errors")
    errors.add_argument(
        "--recognizer",
        nargs="+",
        default=(),
        metavar="WHAT",
        help=f"also count the word errors of these, with --manifest: {RECOGNIZER_HELP}",
    )
    add_normalise_arg(errors)
    add_cap_arg(errors)
    running = parser.add_argument_group("execution")
    running.add_argument(
        "--jobs", type=count, default=os.cpu_count() or 1, metavar="N", help="processes (default: %(default)s)"
    )
    add_ray_arg(running)
    add_cache_args(running)
    output = parser.add_argument_group("output")
    output.add_argument("--csv", type=Path, metavar="FILE", help="also write all means and intervals to this file")
    output.add_argument("--json", type=Path, metavar="FILE", help="the same, with the scores of each signal")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the tables; returns 1 if signals could not be measured and are left out of them."""
    from gtcrn_frontend.evaluation import ErrorMetric, Normalisation, evaluate

    check_outputs((args.csv, args.json))
    apart = (args.csv, args.json, args.cache, args.manifest, args.noise)
    recognizers = sources_of(list(dict.fromkeys(args.recognizer)), apart)
    with ProgressBar() as bar:
        evaluation = evaluate(
            pairs=args.pairs,
            clean=args.clean,
            noisy=args.noisy,
            manifest=args.manifest,
            noise=args.noise,
            snrs_db=args.snr,
            mixtures=args.mixtures,
            seed=args.seed or 0,
            signals=held_out_of(args),
            models=args.model,
            strengths=args.strength,
            engine=args.engine,
            metrics=args.metrics,
            dnsmos=args.dnsmos,
            recognizers=recognizers,
            error_metric=ErrorMetric(Normalisation.from_text(args.normalise), capped=not args.uncapped),
            jobs=args.jobs,
            pool=pool_of(args),
            cache=cache_of(args),
            progress=bar,
        )
    print(evaluation)
    if args.csv:
        evaluation.write_csv(args.csv)
    if args.json:
        evaluation.write_json(args.json)
    return 1 if evaluation.failed else 0
