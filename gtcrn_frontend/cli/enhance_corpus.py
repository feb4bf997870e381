"""The command `enhance-corpus`: manifests, folders and tar shards, on this machine or on a Ray cluster."""

from __future__ import annotations

import argparse
import os
import sys

from gtcrn_frontend.cli._argtypes import count
from gtcrn_frontend.cli._config_file import add_config_arg, config_of
from gtcrn_frontend.cli._corpus_progress import CorpusProgress
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.config import add_enhancer_args
from gtcrn_frontend.errors import ConfigError

EXIT_ERROR = 1

EXAMPLES = """examples:
  gtcrn-frontend enhance-corpus data/train enhanced/             # a folder, also of Kaldi
  gtcrn-frontend enhance-corpus train.jsonl enhanced/ --jobs 64  # a manifest of NeMo
  gtcrn-frontend enhance-corpus cuts.jsonl.gz enhanced/          # or of Lhotse
  gtcrn-frontend enhance-corpus 's3://a/shard-{000..099}.tar' s3://b/ --address auto
  gtcrn-frontend enhance-corpus corpus/ enhanced/ --local --jobs 4           # no Ray
  gtcrn-frontend enhance-corpus corpus/ enhanced/ --local --jobs 4 --resume  # go on

Items that fail are left out and listed in DEST/failed.jsonl; the exit code is then 1.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "enhance-corpus",
        help="enhance a corpus by its manifest, its folder or its tar shards, on many machines",
        description="Enhances a corpus into a new folder, with Ray Data or, with --local, on this machine alone. Each\n"
        "file or shard is enhanced once, to the same samples as by `enhance`, whatever the number of workers; the\n"
        "folder gets the manifest of the enhanced corpus.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder of audio files and tar shards, Kaldi folder, manifest of NeMo or Lhotse (.jsonl, .jsonl.gz), or "
        "tar shards (shard-{000..099}.tar); or a URL of such for fsspec",
    )
    parser.add_argument("dest", metavar="DEST", help="new folder, or URL, to write to")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run has finished, do the rest")
    parser.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="items in parallel: Ray's actors of one CPU each, or threads with --local (default: one per CPU)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="this machine alone, without Ray")
    where.add_argument(
        "--address",
        metavar="ADDRESS",
        help="of a Ray cluster (default: that of RAY_ADDRESS, or that runs here, or a new one here)",
    )
    without = ("sample_rate", "channels", "output_sample_rate", "downmix", "segment_latency_ms", "bypass")
    add_enhancer_args(parser, without=without)
    add_config_arg(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Returns the exit code: 1 if something was left out. The last line on stderr has the figures."""
    from gtcrn_frontend.corpus import enhance_corpus, local_runner

    if args.local:
        runner = local_runner(args.jobs or os.cpu_count() or 1)
    else:
        from gtcrn_frontend.adapters.ray import ray_runner

        try:
            runner = ray_runner(args.jobs, args.address)
        except ImportError as error:
            raise ConfigError(f"{error}; or stay on this machine, with --local") from error
    with CorpusProgress() as progress:
        report = enhance_corpus(
            args.source, args.dest, config_of(args), run=runner, resume=args.resume, progress=progress
        )
    hours = report.audio_s / 3600
    per_second = hours / report.took_s if report.took_s else 0.0
    print(
        f"{args.dest}: {report.done} done, {report.kept} kept, {report.failed} failed; {hours:.4f} h of audio in "
        f"{report.took_s:.2f} s, {per_second:.4f} h/s, engine {report.engine}",
        file=sys.stderr,
    )
    return EXIT_ERROR if report.failed else 0
