"""Shared by the recipes: command line, hyperparameter files, and compiled layers for the CPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gtcrn_frontend.adapters.speechbrain  # noqa: F401  # before SpeechBrain, see `torchaudio_fallback`

# isort: split
import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml  # type: ignore[import-untyped]
from torch import nn

from gtcrn_frontend.errors import ConfigError, GtcrnFrontendError
from gtcrn_frontend.install_hint import install_hint

HPARAMS = "hparams"


def run_as_command(recipe: Callable[[Sequence[str]], object]) -> None:
    """Runs a recipe with the arguments of the command line; prints this package's errors without a traceback.

    torch gets one thread on the CPU, unless the environment variable `OMP_NUM_THREADS` is set: layers this small are
    not worth dividing, and on busy cores several threads wait for each other.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        recipe(sys.argv[1:])
    except GtcrnFrontendError as error:
        sys.exit(f"error: {error}")


def hparams_path(name: str, recipe: str) -> Path:
    """Returns the path of a hyperparameter file: `name` itself, or the file of that name that the recipe ships.

    Args:
        name: as given on the command line.
        recipe: `__file__` of the recipe.
    """
    own = Path(recipe).parent / HPARAMS / name
    return own if own.is_file() and not Path(name).is_file() else Path(name)


def begin_experiment(arguments: Sequence[str], recipe: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns hyperparameters and run options of a command line, and creates the folder of the experiment.

    Args:
        arguments: as in every SpeechBrain recipe: hyperparameter file, options, overrides.
        recipe: `__file__` of the recipe.
    """
    hparams_file, run_opts, overrides = sb.parse_arguments(list(arguments))
    hparams = load_hparams(hparams_file, recipe, overrides)
    sb.create_experiment_directory(hparams["output_folder"], hparams_path(hparams_file, recipe), overrides)
    return hparams, run_opts


def load_hparams(name: str, recipe: str, overrides: str | dict[str, Any]) -> dict[str, Any]:
    """Returns the hyperparameters of a file, see `hparams_path`, with overrides.

    Raises:
        ConfigError: no such file.
    """
    path = hparams_path(name, recipe)
    if not path.is_file():
        own = ", ".join(sorted(each.name for each in (Path(recipe).parent / HPARAMS).glob("*.yaml")))
        raise ConfigError(f"expected a hyperparameter file, or one of {own}, got {name}")
    with path.open(encoding="utf-8") as file:
        hparams: dict[str, Any] = load_hyperpyyaml(file, overrides)
    return hparams


def fuse(network: nn.Module) -> None:
    """Replaces layers of a GTCRN by compiled ones that train more than twice as fast, on the CPU only.

    Parameters keep their names and identity: optimizers and checkpoints are not affected.

    Raises:
        ImportError: the package numba is not installed.
    """
    try:
        from gtcrn_frontend.training.cpu_kernels.fused_conv import fuse_convolutions
        from gtcrn_frontend.training.cpu_kernels.fused_gru import fuse_recurrences
    except ImportError as error:
        raise ImportError(
            f"fused layers need {error.name}: {install_hint('train')}, or train with --fused False",
            name=error.name,
        ) from error
    fuse_recurrences(network)
    fuse_convolutions(network)
