"""The command `bench`: how fast every engine is on this machine, and what one more stream costs."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gtcrn_frontend.cli._bench_engines import SHERPA, BenchEngines
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import ENGINES
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.bench.speed import StreamCost, Timing, measure_speed
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json

EXAMPLES = """examples:
  gtcrn-frontend bench                                         # minutes
  gtcrn-frontend bench --quick                                 # half a minute
  gtcrn-frontend bench --engine onnx --streams 1 --chunk-ms 10 100 --json bench.json
  gtcrn-frontend bench --threads 1 4 --streams 64              # pools with one thread and with four
  gtcrn-frontend bench --model gtcrn-dns3-stream --sherpa-model gtcrn_simple.onnx   # the same weights in both

Contenders take turns, with one thread each unless said otherwise. One stream is an Enhancer, several are a StreamPool.
"""

SPEED_TITLES = {
    "streams": "streams",
    "chunk_ms": "chunk ms",
    "contender": "contender",
    "median_us_per_hop": "us/hop median",
    "p95_us_per_hop": "us/hop p95",
    "rtf": "RTF",
    "calls": "calls",
    "times_faster": f"times faster than {SHERPA}",
}
COST_TITLES = {
    "contender": "one more stream of",
    "streams": "streams",
    "median_open_ms": "ms to open, median",
    "p95_open_ms": "ms to open, p95",
    "process_mb": "MB in the process",
    "arrays_mb": "MB of arrays",
}
DIGITS = {"us/hop median": 1, "us/hop p95": 1, "RTF": 5, SPEED_TITLES["times_faster"]: 2} | {
    COST_TITLES[name]: 3 for name in ("median_open_ms", "p95_open_ms", "process_mb", "arrays_mb")
}


@dataclass(frozen=True)
class Effort:
    """What is measured unless it is named, and how long."""

    streams: tuple[int, ...]
    chunk_ms: tuple[int, ...]
    seconds: float
    opened: int


FULL = Effort((1, 16, 256), (16, 100, 1000), seconds=1.0, opened=2000)
QUICK = Effort((1, 16), (16, 100), seconds=0.2, opened=500)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure speed and memory on this machine, beside sherpa-onnx",
        description="Measures the time per hop of 16 ms, and what one more stream costs in time and memory, for every "
        "engine that is present, and for sherpa-onnx's own denoiser if it is installed. Prints tables on stdout.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", default=EnhancerConfig.model, help="model name or path, for our engines (default: %(default)s)"
    )
    parser.add_argument("--engine", nargs="+", choices=ENGINES, help="(default: all that are present)")
    parser.add_argument(
        "--sherpa-model",
        type=Path,
        metavar="FILE",
        help="a gtcrn_simple.onnx for sherpa-onnx's denoiser (default: --model, exported for it)",
    )
    parser.add_argument("--chunk-ms", type=_count, nargs="+", metavar="MS", help=f"(default: {_listed(FULL.chunk_ms)})")
    parser.add_argument("--streams", type=_count, nargs="+", metavar="N", help=f"(default: {_listed(FULL.streams)})")
    parser.add_argument(
        "--threads", type=_count, nargs="+", default=[1], metavar="N", help="threads of a pool (default: 1)"
    )
    parser.add_argument(
        "--seconds", type=_duration, metavar="S", help=f"spent on each figure, about (default: {FULL.seconds:g})"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"rougher: {_listed(QUICK.streams)} streams, {_listed(QUICK.chunk_ms)} ms, {QUICK.seconds:g} s each",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the machine, the tables, and who is left out and why."""
    effort = _effort(args)
    if args.json and not args.json.parent.is_dir():
        raise ConfigError(f"{args.json}: there is no folder {args.json.parent}")
    # Torch's number of threads belongs to the process, and it reads this when it is imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        contenders = BenchEngines(args.model, args.engine, args.sherpa_model, Path(folder))
        speed, cost = _measure(contenders, effort, args.threads)
    machine = environment()
    settings = {"model": args.model, SHERPA: contenders.sherpa_runs, "threads": args.threads, "seconds": effort.seconds}

    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    print(f"model: {args.model}; in {SHERPA}: {contenders.sherpa_runs or '-'}\n")
    print(_table(speed, SPEED_TITLES), _table(cost, COST_TITLES), sep="\n\n")
    for name, reason in contenders.left_out.items():
        print(f"\n{name} is left out: {reason}")
    if args.json:
        rows = {"speed": _dicts(speed), "cost": _dicts(cost)}
        write_json(args.json, {"environment": machine, "settings": settings, **rows, "left_out": contenders.left_out})
    return 0


def _measure(contenders: BenchEngines, effort: Effort, threads: Sequence[int]) -> tuple[list[Timing], list[StreamCost]]:
    """All measurements, with a bar on stderr if that is a terminal."""
    costs = contenders.costs(effort.opened)
    speed, cost = [], []
    total = len(effort.streams) * len(effort.chunk_ms) + len(costs)
    with tqdm(total=total, desc="measuring", unit="step", disable=None, leave=False) as bar:
        for streams in effort.streams:
            opened = contenders.opened(streams, threads)
            for chunk_ms in effort.chunk_ms:
                speed += measure_speed(opened, streams, chunk_ms, contenders.spec, effort.seconds, SHERPA)
                bar.update()
            del opened  # before the next ones come
        for measure in costs:
            cost.append(measure())
            bar.update()
    return speed, cost


def _effort(args: argparse.Namespace) -> Effort:
    """What is measured: the defaults, and over them what is named."""
    named = {name: getattr(args, name) for name in ("streams", "chunk_ms", "seconds") if getattr(args, name)}
    return dataclasses.replace(QUICK if args.quick else FULL, **named)


def _dicts(rows: Sequence[Timing] | Sequence[StreamCost]) -> list[dict[str, Value]]:
    return [dataclasses.asdict(row) for row in rows]


def _table(rows: Sequence[Timing] | Sequence[StreamCost], titles: Mapping[str, str]) -> str:
    titled: list[dict[str, Value]] = [{title: row[name] for name, title in titles.items()} for row in _dicts(rows)]
    return markdown_table(titled, DIGITS)


def _listed(values: Sequence[int]) -> str:
    return " ".join(map(str, values))


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return count


def _duration(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text}")
    return seconds
