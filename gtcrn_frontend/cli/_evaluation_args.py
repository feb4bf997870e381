"""Options that `calibrate` and `evaluate` share: recognisers, scoring and the cache of results."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.normalise import DEFAULT_STEPS

if TYPE_CHECKING:
    from gtcrn_frontend.evaluation import RecognizerSource
    from gtcrn_frontend.evaluation.worker_pool import MakePool

RECOGNIZER_HELP = (
    "pipeline file of sherpa-onnx, folder or hyperparameter file of a SpeechBrain model, "
    "faster-whisper:NAME_OR_FOLDER, openai:URL, module:function of (samples, sample_rate) -> text, or a shell command "
    "with {} for the wave file"
)


def add_normalise_arg(group: argparse._ArgumentGroup) -> None:
    """Adds the option for the normalisation of transcripts."""
    group.add_argument(
        "--normalise",
        default=",".join(DEFAULT_STEPS),
        metavar="LIST",
        help="normalisation of transcripts: unicode, lower, punctuation, english (Whisper's normaliser: numbers, "
        "spelling, contractions), or none (default: %(default)s)",
    )


def add_cap_arg(group: argparse._ArgumentGroup) -> None:
    """Adds the option for utterances with more errors than words."""
    group.add_argument(
        "--uncapped",
        action="store_true",
        help="count all errors of an utterance (default: at most as many as it has words, so that loops of repeated "
        "words do not decide)",
    )


def add_cache_args(group: argparse._ArgumentGroup) -> None:
    """Adds the options that say where results are kept."""
    cache = group.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder of cached results (default: in the user's cache)"
    )
    cache.add_argument("--no-cache", action="store_true", help="do not read or write cached results")


def add_ray_arg(group: argparse._ArgumentGroup) -> None:
    """Adds the option that spreads the work over a cluster."""
    group.add_argument(
        "--ray",
        action="store_true",
        help="spread the --jobs over a Ray cluster, that of RAY_ADDRESS or a new one on this machine; recordings, "
        "recogniser and cache have to be under the same paths on all machines",
    )


def pool_of(args: argparse.Namespace) -> MakePool:
    """Returns what makes the workers that the options ask for.

    Raises:
        ModelError: Ray is not installed.
    """
    from gtcrn_frontend.evaluation.worker_pool import WorkerPool

    if not args.ray:
        return WorkerPool
    try:
        from gtcrn_frontend.adapters.ray import RayPool
        from gtcrn_frontend.adapters.ray.cluster import imported_ray

        imported_ray()
    except ImportError as error:
        raise ModelError(str(error)) from error
    return RayPool


def cache_of(args: argparse.Namespace) -> Path | bool:
    """Returns what the options of `add_cache_args` say, as the functions of `evaluation` take it."""
    return False if args.no_cache else args.cache or True


def sources_of(names: Sequence[str], apart: Iterable[str | Path | None]) -> list[RecognizerSource]:
    """Returns the recognisers that options name.

    Args:
        names: see `recognizer_source`.
        apart: files and folders of other options, which do not belong to a recogniser; None stands for none.

    Raises:
        ConfigError: a name is wrong.
        ModelError: a package is missing.
    """
    try:
        from gtcrn_frontend.adapters.recognizers import recognizer_source

        others = [Path(path) for path in apart if path]
        return [recognizer_source(name, others) for name in names]
    except ImportError as error:  # its message names the extra
        raise ModelError(str(error)) from error


def detector_of(path: Path | None) -> RecognizerSource | None:
    """Returns the voice activity detector of an option; None without one.

    Raises:
        ConfigError: the package silero-vad is meant and missing.
        ModelError: the file is not one of Silero VAD, or sherpa-onnx is missing.
    """
    if path is None:
        return None
    try:
        from gtcrn_frontend.adapters.sherpa.vad_source import vad_source

        return vad_source(path)
    except ImportError as error:
        raise ModelError(str(error)) from error
