"""The command `evaluate`: how good enhanced speech is, by the usual measures, models side by side."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from gtcrn_frontend.cli._argtypes import count, number
from gtcrn_frontend.cli._eval_data import add_eval_data_args, eval_data_of
from gtcrn_frontend.cli._output_checks import check_outputs
from gtcrn_frontend.cli._systems import systems_of
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.quality.metric_registry import (
    CLEAN_FAMILY,
    DNSMOS_FAMILY,
    FAMILIES,
    PACKAGES,
    dnsmos_digest,
    metrics_of,
)

if TYPE_CHECKING:
    from gtcrn_frontend.config import Strength
    from gtcrn_frontend.evaluation.quality.pairs import PairSource
    from gtcrn_frontend.evaluation.quality.quality_tables import Row
    from gtcrn_frontend.evaluation.quality.score_signals import Plan, Scored

EXAMPLES = """examples:
  gtcrn-frontend evaluate --pairs voicebank_demand/ --model gtcrn-asr gtcrn-vctk --dnsmos DNSMOS/
  gtcrn-frontend evaluate --clean clean/ --noisy noisy/ --strength 1 0.7 auto --csv scores.csv
  gtcrn-frontend evaluate --manifest speech.jsonl --noise noise/ --snr 0,5,10 --mixtures 200 --json scores.json
  gtcrn-frontend evaluate --held-out examples/train_gtcrn_asr.yaml --model gtcrn-asr runs/gtcrn-asr/best.safetensors

A folder of pairs holds NAME_clean.wav with NAME_noisy.wav, or two folders clean... and noisy... with files of the same
names. A manifest is JSON lines, CSV, a Kaldi folder or a folder of recordings, as for calibrate, or a list as for
training; transcripts are not needed. Scores are kept in a cache: the same command goes on where it was interrupted.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure the quality of enhanced speech: PESQ, STOI, SI-SNR, DNSMOS and others",
        description="Measures what models make of noisy speech against the clean one. Prints means with 95 % "
        "intervals, differences from the first model, and means by input SNR.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_eval_data_args(parser)
    systems = parser.add_argument_group("what is compared")
    systems.add_argument(
        "--model",
        nargs="+",
        default=[str(EnhancerConfig.model)],
        metavar="MODEL",
        help="names or paths; others are compared with the first one (default: %(default)s)",
    )
    systems.add_argument(
        "--strength", nargs="+", type=_strength, default=[1.0], metavar="S", help="of each model, or auto (default: 1)"
    )
    systems.add_argument("--engine", default=EnhancerConfig.engine, help="(default: %(default)s)")
    measures = parser.add_argument_group("what is measured")
    measures.add_argument(
        "--metrics",
        nargs="+",
        choices=tuple(FAMILIES),
        metavar="NAME",
        help=f"of {' '.join(FAMILIES)} (default: all; {DNSMOS_FAMILY} with --dnsmos)",
    )
    measures.add_argument(
        "--dnsmos", type=Path, metavar="DIR", help="the DNSMOS models sig_bak_ovr.onnx and model_v8.onnx"
    )
    running = parser.add_argument_group("how it runs")
    running.add_argument(
        "--jobs", type=count, default=os.cpu_count() or 1, metavar="N", help="processes (default: %(default)s)"
    )
    where = running.add_mutually_exclusive_group()
    where.add_argument("--cache", type=Path, metavar="DIR", help="where scores are kept (default: the user's cache)")
    where.add_argument("--no-cache", action="store_true", help="keep nothing, measure all anew")
    output = parser.add_argument_group("outcome")
    output.add_argument("--csv", type=Path, metavar="FILE", help="write all means and intervals to this file too")
    output.add_argument("--json", type=Path, metavar="FILE", help="the same, with the scores of each signal")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the tables; returns 1 if signals could not be measured and are left out of them."""
    from gtcrn_frontend.evaluation.environment import environment
    from gtcrn_frontend.evaluation.quality.quality_tables import published_rows, rows_of, write_csv
    from gtcrn_frontend.evaluation.report.tables import write_json

    check_outputs((args.csv, args.json))
    # Processes share the work: threads of numpy within each would only be in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    plan = _plan(args)
    material = eval_data_of(args)
    first = list(plan.systems)[1]
    measures = metrics_of(plan.families)
    machine = environment()
    print(f"cpu: {machine['cpu']}; processes: {args.jobs}; engine: {args.engine}")
    rows: list[Row] = []
    results = {}
    failed = 0
    for label, sources in material.items():
        scored = _measure(label, sources, plan, args.jobs)
        failed += len(sources) - len(scored)
        _print_tables(label, scored, len(sources), plan, first)
        found = rows_of(label, scored, measures, first)
        rows += found
        results[label] = {"rows": found, "signals": [dataclasses.asdict(one) for one in scored]}
    if args.csv:
        write_csv(args.csv, [*rows, *published_rows()])
    if args.json:
        settings = {
            "systems": {name: config.to_dict() for name, config in plan.systems.items()},
            "first": first,
            "metrics": plan.families,
            "mixtures": args.mixtures,
            "seed": args.seed,
        }
        write_json(
            args.json,
            {"environment": machine, "settings": settings, "results": results, "published": published_rows()},
        )
    return 1 if failed else 0


def _plan(args: argparse.Namespace) -> Plan:
    """What is measured, after making sure that it can be."""
    from gtcrn_frontend.evaluation.quality.score_signals import Plan
    from gtcrn_frontend.weights.registry import cache_folder

    families = tuple(dict.fromkeys(args.metrics or FAMILIES))
    if args.dnsmos is None:
        if args.metrics and DNSMOS_FAMILY in families:
            raise ConfigError(f"--metrics {DNSMOS_FAMILY}: expected --dnsmos DIR with its models, got none")
        families = tuple(family for family in families if family != DNSMOS_FAMILY)
    elif DNSMOS_FAMILY not in families:
        raise ConfigError(f"--dnsmos: expected {DNSMOS_FAMILY} among --metrics, got {' '.join(families)}")
    for package in filter(None, map(PACKAGES.get, families)):
        if importlib.util.find_spec(package) is None:
            raise ModelError(f"evaluate needs {package}: pip install 'gtcrn-frontend[evaluate]'")
    systems = systems_of(args.model, args.strength, args.engine)
    cache = None if args.no_cache else args.cache or cache_folder() / "evaluate"
    return Plan(systems, families, args.dnsmos, dnsmos_digest(args.dnsmos) if args.dnsmos else "", cache)


def _measure(label: str, sources: Sequence[PairSource], plan: Plan, jobs: int) -> list[Scored]:
    """The scores, with a bar on stderr if that is a terminal."""
    from gtcrn_frontend.evaluation.quality.score_signals import score_pairs

    def say_failed(name: str, reason: str) -> None:
        tqdm.write(f"failed: {name}: {reason}", file=sys.stderr)

    with tqdm(total=len(sources), desc=label, unit="signal", disable=None, leave=False) as bar:
        return score_pairs(sources, plan, jobs=jobs, progress=bar.update, report=say_failed)


def _print_tables(label: str, scored: Sequence[Scored], planned: int, plan: Plan, first: str) -> None:
    from gtcrn_frontend.evaluation.quality.quality_tables import (
        band_table,
        difference_table,
        left_out,
        marks_line,
        mean_table,
    )

    measures = metrics_of(plan.families)
    minutes = sum(one.duration_s for one in scored) / 60
    missing = f", {planned - len(scored)} failed and left out" if len(scored) < planned else ""
    print(f"\n{label}: {len(scored)} signals, {minutes:.1f} minutes{missing}\n")
    print(mean_table(scored, measures))
    for line in left_out(scored, measures):
        print(line)
    against_first = difference_table(scored, measures, first)
    if against_first and len(plan.systems) > 1:
        print(f"\n{against_first}\n{marks_line(scored)}")
    of_noisy = [measure for measure in measures if measure not in FAMILIES[CLEAN_FAMILY]]
    by_snr = band_table(scored, of_noisy) if of_noisy else None
    if by_snr:
        print(f"\n{by_snr}")


def _strength(text: str) -> Strength:
    return "auto" if text == "auto" else number(text)
