"""Options of `evaluate` that name test signals: recordings in pairs, or speech and noise to be mixed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtcrn_frontend.cli._argtypes import count, snrs
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from gtcrn_frontend.evaluation.quality.pairs import PairSource

DEFAULT_MIXTURES = 300


def add_eval_data_args(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    signals = parser.add_argument_group("test signals (one or more of these)")
    signals.add_argument("--pairs", type=Path, metavar="DIR", help="pairs of clean and noisy recordings")
    signals.add_argument("--clean", type=Path, metavar="DIR", help="clean recordings, with --noisy")
    signals.add_argument("--noisy", type=Path, metavar="DIR", help="noisy recordings of the same names")
    signals.add_argument("--manifest", type=Path, metavar="PATH", help="clean speech to mix with noise")
    signals.add_argument(
        "--held-out", type=Path, metavar="CONFIG", help="held-out recordings of a training config, mixed"
    )
    mixing = parser.add_argument_group("mixing")
    mixing.add_argument(
        "--noise",
        type=Path,
        metavar="DIR",
        help="noise recordings for --manifest (default: its entries of the set noise)",
    )
    mixing.add_argument(
        "--snr",
        type=snrs,
        default=(),
        metavar="LIST",
        help="signal-to-noise ratios for --manifest in dB, or clean (default: 0,5,10,15)",
    )
    mixing.add_argument(
        "--mixtures", type=count, default=DEFAULT_MIXTURES, metavar="N", help="number of them (default: %(default)s)"
    )
    mixing.add_argument(
        "--seed", type=int, metavar="N", help="of the mixtures (default: 0; with --held-out that of the config)"
    )


def held_out_of(args: argparse.Namespace) -> dict[str, Sequence[PairSource]]:
    """Returns the signals of `--held-out`, by the label of their set; none without the option.

    Raises:
        ConfigError: the training config cannot be used.
        ModelError: a package is missing.
    """
    if args.held_out is None:
        return {}
    try:
        from gtcrn_frontend.training.data.held_out import plan_held_out
    except ModuleNotFoundError as error:
        raise ModelError(f"--held-out needs {error.name}: {install_hint('train')}") from error
    return {f"held-out mixtures of {args.held_out}": plan_held_out(args.held_out, args.mixtures, args.seed)}
