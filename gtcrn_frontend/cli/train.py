"""The command `train`: trains a network as a YAML file describes."""

from __future__ import annotations

import argparse
import json
import logging

from gtcrn_frontend.errors import ModelError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a network from a YAML config",
        description="Trains a network (GTCRN, or the one that the config names) from random weights, with progress on "
        "stderr. Training can be interrupted at any time and resumed with --resume. Several processes share each "
        "batch: torchrun --nproc-per-node 2 --no-python gtcrn-frontend train CONFIG.",
    )
    parser.add_argument("config", help="YAML file with the settings, see examples/train_gtcrn_asr.yaml")
    parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in the output folder")
    parser.add_argument(
        "--max-seconds", type=float, metavar="N", help="save a checkpoint and end after N seconds"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; prints the last validation's scores as one JSON line on stdout."""
    try:
        from gtcrn_frontend.training.config_file import load_config
        from gtcrn_frontend.training.distributed import current_process_group
        from gtcrn_frontend.training.train_loop import train
    except ModuleNotFoundError as error:
        raise ModelError(f"training needs {error.name}: pip install 'gtcrn-frontend[train]'") from error

    logging.getLogger("gtcrn_frontend").setLevel(logging.INFO)
    config = load_config(args.config)
    scores = train(config, resume=args.resume, max_seconds=args.max_seconds)
    if current_process_group().is_main:
        print(json.dumps({"output": str(config.output), **scores}))
    return 0
