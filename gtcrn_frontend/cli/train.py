"""The command `train`."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.install_hint import install_hint

EXIT_OF_SIGNAL = 128  # plus its number, as shells report it


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a network from a YAML config",
        description="Trains the network that the config names, GTCRN by default, and shows the progress on stderr. "
        "Interrupting it (Ctrl-C, SIGTERM) saves a checkpoint; --resume continues from there. Several processes "
        "divide each batch: torchrun --nproc-per-node 2 --no-python gtcrn-frontend train CONFIG.",
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file with the settings, see examples/train_gtcrn_asr.yaml"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the output folder")
    parser.add_argument("--max-seconds", type=float, metavar="N", help="save a checkpoint and stop after N seconds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; prints the folder, the steps done and the last validation's scores as one JSON line on stdout.

    Returns:
        The exit code: 0, or 128 + the number of the signal that interrupted the run (SIGINT: 130).
    """
    try:
        from gtcrn_frontend.training.config_file import load_config
        from gtcrn_frontend.training.distributed import current_process_group
        from gtcrn_frontend.training.train_loop import train
    except ModuleNotFoundError as error:
        raise ModelError(f"training needs {error.name}: {install_hint('train')}") from error

    logging.getLogger("gtcrn_frontend").setLevel(logging.INFO)
    config = load_config(args.config)
    result = train(config, resume=args.resume, max_seconds=args.max_seconds)
    if current_process_group().is_main:
        print(json.dumps({"output": str(result.output), "step": result.step, **result.scores}))
    if result.interrupted_by is None or result.is_complete:
        return 0
    if current_process_group().is_main:
        print(f"gtcrn-frontend: interrupted at step {result.step}, go on with --resume", file=sys.stderr)
    return EXIT_OF_SIGNAL + result.interrupted_by
