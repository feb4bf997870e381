"""`evaluate --recognizer`: word errors beside the measures of quality."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.normalise import DEFAULT_STEPS, Normalisation

if TYPE_CHECKING:
    from gtcrn_frontend.config import EnhancerConfig
    from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
    from gtcrn_frontend.evaluation.noisy_set import Item
    from gtcrn_frontend.evaluation.quality.pairs import PairSource
    from gtcrn_frontend.evaluation.quality.quality_tables import Row


def add_recognizer_args(parser: argparse.ArgumentParser) -> None:
    """Adds the options of recognisers."""
    group = parser.add_argument_group("word errors")
    group.add_argument(
        "--recognizer",
        nargs="+",
        default=(),
        metavar="WHAT",
        help="also count the word errors of these, named as for calibrate: faster-whisper:NAME_OR_FOLDER, openai:URL, "
        "a pipeline file, ...; needs --manifest with transcripts",
    )
    group.add_argument(
        "--normalise",
        default=",".join(DEFAULT_STEPS),
        metavar="LIST",
        help="what is made equal in texts before, as for calibrate (default: %(default)s)",
    )


def recognizers_of(args: argparse.Namespace) -> list[RecognizerSource]:
    """Returns the recognisers that are asked for, after making sure that they can be used.

    Raises:
        ConfigError: there is none of such a name, or no transcripts are.
        ModelError: a package is missing.
    """
    if not args.recognizer:
        return []
    if args.manifest is None:
        raise ConfigError("--recognizer counts word errors in the speech of --manifest PATH, which is missing")
    try:
        import jiwer  # noqa: F401  before an hour of recognising, not after

        from gtcrn_frontend.cli._recognizers import recognizer_source

        Normalisation.from_text(args.normalise)
        apart = [Path(path) for path in (args.csv, args.json, args.cache, args.manifest, args.noise) if path]
        return [recognizer_source(what, apart) for what in dict.fromkeys(args.recognizer)]
    except ImportError as error:
        raise ModelError(f"--recognizer needs {error.name}: pip install 'gtcrn-frontend[calibrate]'") from error


def transcribed(sources: Sequence[PairSource]) -> list[Item]:
    """Returns those signals whose words are known."""
    from gtcrn_frontend.evaluation.quality.mixtures import Mixture

    return [source.item for source in sources if isinstance(source, Mixture) and source.item.utterance.text]


def word_errors(
    label: str,
    items: Sequence[Item],
    systems: Mapping[str, EnhancerConfig],
    recognizer: RecognizerSource,
    args: argparse.Namespace,
) -> tuple[list[Row], int]:
    """Prints the word errors of a recogniser; returns them as rows, and the number of failures."""
    from gtcrn_frontend.evaluation.asr.verdict_text import settings_line
    from gtcrn_frontend.evaluation.asr.word_errors import recognise_all, wer_rows, wer_table
    from gtcrn_frontend.evaluation.result_cache import Cache, Recognition
    from gtcrn_frontend.weights.registry import cache_folder

    failures: list[str] = []

    def say_failed(left: object) -> None:
        failures.append(str(left))
        tqdm.write(f"failed: {left}", file=sys.stderr)

    # The folder of calibrate: what it recognised need not be recognised again.
    cache = Cache(None if args.no_cache else args.cache or cache_folder() / "calibrate", Recognition)
    settings = list(systems.values())
    with tqdm(total=len(items) * len(settings), desc=recognizer.name, disable=None, leave=False) as bar:
        scores = recognise_all(
            items,
            settings,
            recognizer,
            cache,
            Normalisation.from_text(args.normalise),
            jobs=args.jobs,
            progress=bar.update,
            report=say_failed,
        )
    print(f"\n{recognizer.name}: {len(scores.items)} of {len(items)} signals with transcripts\n")
    print(wer_table(scores, systems))
    print("Percent, ± half of the 95 % interval; - significantly fewer errors than with the noisy input, ! more.")
    if recognizer.settings:
        print(f"{recognizer.name}: {settings_line(recognizer.settings)}.")
    return wer_rows(label, recognizer.name, scores, systems), len(failures)
