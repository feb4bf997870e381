"""What the recipes share: how they start, where their hyperparameters are, and training at full speed on a CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gtcrn_frontend.adapters.speechbrain  # noqa: F401  # before SpeechBrain, see `torchaudio_fallback`

# isort: split
import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml  # type: ignore[import-untyped]
from torch import nn

from gtcrn_frontend.errors import ConfigError, GtcrnFrontendError

HPARAMS = "hparams"


def run_as_command(recipe: Callable[[Sequence[str]], object]) -> None:
    """Runs a recipe with the arguments of the command line; errors that say what to do come without a traceback."""
    try:
        recipe(sys.argv[1:])
    except GtcrnFrontendError as error:
        sys.exit(f"error: {error}")


def hparams_path(name: str, recipe: str) -> Path:
    """Returns the file of hyperparameters: `name` as a path, or else the one of that name which comes with a recipe.

    Args:
        name: what the command line says.
        recipe: `__file__` of the recipe.
    """
    own = Path(recipe).parent / HPARAMS / name
    return own if own.is_file() and not Path(name).is_file() else Path(name)


def begin_experiment(arguments: Sequence[str], recipe: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the hyperparameters and the run options of a command line, and makes the folder of the experiment.

    Args:
        arguments: as in every recipe of SpeechBrain: the file of hyperparameters, options, overrides.
        recipe: `__file__` of the recipe.
    """
    hparams_file, run_opts, overrides = sb.parse_arguments(list(arguments))
    hparams = load_hparams(hparams_file, recipe, overrides)
    sb.create_experiment_directory(hparams["output_folder"], hparams_path(hparams_file, recipe), overrides)
    return hparams, run_opts


def load_hparams(name: str, recipe: str, overrides: str | dict[str, Any]) -> dict[str, Any]:
    """Returns the hyperparameters of a file, see `hparams_path`, with others in place of some.

    Raises:
        ConfigError: no such file.
    """
    path = hparams_path(name, recipe)
    if not path.is_file():
        own = ", ".join(sorted(each.name for each in (Path(recipe).parent / HPARAMS).glob("*.yaml")))
        raise ConfigError(f"expected a file of hyperparameters, or one of {own}, got {name}")
    with path.open(encoding="utf-8") as file:
        hparams: dict[str, Any] = load_hyperpyyaml(file, overrides)
    return hparams


def fuse(network: nn.Module) -> None:
    """Replaces layers of a GTCRN by forms that train at more than twice the speed, on the CPU only.

    Parameters and their names stay as they are: optimizers and checkpoints do not notice.

    Raises:
        ImportError: the package numba is not installed.
    """
    try:
        from gtcrn_frontend.training.cpu_kernels.fused_conv import fuse_convolutions
        from gtcrn_frontend.training.cpu_kernels.fused_gru import fuse_recurrences
    except ImportError as error:
        raise ImportError(
            f"fused layers need {error.name}: pip install 'gtcrn-frontend[train]', or train with --fused False",
            name=error.name,
        ) from error
    fuse_recurrences(network)
    fuse_convolutions(network)
