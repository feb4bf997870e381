"""The signals that `evaluate` measures: recordings in pairs, or speech and noise to be mixed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtcrn_frontend.cli._argtypes import count
from gtcrn_frontend.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from gtcrn_frontend.evaluation.quality.pairs import PairSource

DEFAULT_MIXTURES = 300
DEFAULT_SNRS = "0,5,10,15"


def add_eval_data_args(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name signals."""
    material = parser.add_argument_group("signals (one or more of these)")
    material.add_argument("--pairs", type=Path, metavar="DIR", help="pairs of clean and noisy recordings")
    material.add_argument("--clean", type=Path, metavar="DIR", help="clean recordings, with --noisy")
    material.add_argument("--noisy", type=Path, metavar="DIR", help="noisy ones of the same names")
    material.add_argument("--manifest", type=Path, metavar="PATH", help="clean speech, to be mixed with noise")
    material.add_argument("--held-out", type=Path, metavar="CONFIG", help="what a training config holds out, mixed")
    mixing = parser.add_argument_group("mixing")
    mixing.add_argument(
        "--noise", type=Path, metavar="DIR", help="recordings for --manifest (default: its entries of the set noise)"
    )
    mixing.add_argument("--snr", metavar="LIST", help=f"for --manifest, in dB, or clean (default: {DEFAULT_SNRS})")
    mixing.add_argument(
        "--mixtures", type=count, default=DEFAULT_MIXTURES, metavar="N", help="how many (default: %(default)s)"
    )
    mixing.add_argument(
        "--seed", type=int, metavar="N", help="of the mixtures (default: 0; with --held-out that of the config)"
    )


def eval_data_of(args: argparse.Namespace) -> dict[str, Sequence[PairSource]]:
    """Returns the signals by what tables call them.

    Raises:
        ConfigError: none are named, or they cannot be used.
        AudioFormatError: pairs do not match.
        ModelError: a package is missing.
    """
    from gtcrn_frontend.evaluation.noisy_set import parse_snrs
    from gtcrn_frontend.evaluation.quality.mixtures import load_material, plan_mixtures
    from gtcrn_frontend.evaluation.quality.pairs import find_pairs, match_folders

    if (args.clean is None) != (args.noisy is None):
        raise ConfigError("expected --clean DIR and --noisy DIR, got one of them")
    if args.manifest is None and (args.noise or args.snr):
        raise ConfigError("--noise and --snr mix the speech of --manifest PATH, which is missing")
    material: dict[str, Sequence[PairSource]] = {}
    if args.pairs:
        material[f"pairs in {args.pairs}"] = find_pairs(args.pairs)
    if args.clean:
        material[f"pairs of {args.clean} and {args.noisy}"] = match_folders(args.clean, args.noisy)
    if args.manifest:
        snrs_db = parse_snrs(args.snr or DEFAULT_SNRS)
        manifest, noise = load_material(args.manifest, args.noise)
        for problem in manifest.problems:
            print(f"left out: {problem}", file=sys.stderr)
        label = f"mixtures of {args.manifest}"
        material[label] = plan_mixtures(manifest, noise, snrs_db, args.mixtures, args.seed or 0)
    if args.held_out:
        try:
            from gtcrn_frontend.training.data.held_out import plan_held_out
        except ModuleNotFoundError as error:
            raise ModelError(f"--held-out needs {error.name}: pip install 'gtcrn-frontend[train]'") from error
        label = f"held-out mixtures of {args.held_out}"
        material[label] = plan_held_out(args.held_out, args.mixtures, args.seed)
    if not material:
        raise ConfigError(
            "nothing to measure: name signals with --pairs, --clean and --noisy, --manifest or --held-out"
        )
    return material
