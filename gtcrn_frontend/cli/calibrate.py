"""The command `calibrate`: does a front-end lower the error rate of the user's own recogniser, and which setting?"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from gtcrn_frontend.cli._argtypes import count, number, seconds
from gtcrn_frontend.cli._fingerprint import WRITTEN_BY
from gtcrn_frontend.cli._output_checks import check_outputs
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.deprecation import add_renamed_option
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.normalise import DEFAULT_STEPS

if TYPE_CHECKING:
    from gtcrn_frontend.config import Strength
    from gtcrn_frontend.evaluation.asr.calibrate import Calibration, Counting
    from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
    from gtcrn_frontend.evaluation.asr.sweep import MissingResult, Sweep
    from gtcrn_frontend.evaluation.manifest import Manifest
    from gtcrn_frontend.evaluation.noisy_set import Item

DEFAULT_SNRS = "clean,10,5,0"
MOST_JOBS = 4  # each process loads the recogniser

EXAMPLES = """examples:
  gtcrn-frontend calibrate --recognizer pipeline.yaml --manifest test.jsonl --noise noise/ --snr 0,5,10,clean \\
      --write frontend.yaml --report report.html
  gtcrn-frontend calibrate --recognizer my_asr:transcribe --manifest recordings/ --report report.html
  gtcrn-frontend calibrate --recognizer 'whisper-cli -m base.bin -np -nt -f {}' --manifest kaldi/data/test
  gtcrn-frontend calibrate --recognizer speechbrain_model/ --manifest test.csv --model gtcrn-asr gtcrn-dns3
  gtcrn-frontend calibrate --recognizer faster-whisper:models/base.en,beam_size=1 --manifest test.jsonl \\
      --normalise english
  gtcrn-frontend calibrate --recognizer openai:http://127.0.0.1:8000,model=whisper-1 --manifest test.jsonl --no-cache
  gtcrn-frontend calibrate --recognizer pipeline.yaml --manifest test.jsonl --fit-auto-strength --write frontend.yaml

A manifest is JSON lines with audio and text, a CSV file with such a heading, a Kaldi folder, or a folder of recordings
each beside a .txt file. Without --noise the recordings are taken as they are; an entry may name its condition then.
What was recognised is kept in a cache: an interrupted run goes on where it was. A function or a command is another
recogniser when a file in its folder or in the working directory has changed, but for recordings, .log, .html and hidden
files. For one whose state lies elsewhere (a remote service) give --no-cache.
faster-whisper:NAME_OR_FOLDER[,option=value...] takes the options of faster-whisper, such as beam_size, language,
temperature (0, or 0+0.2+0.4), condition_on_previous_text, vad_filter and compute_type; those that are not named have
its own defaults. Nothing is downloaded. openai:URL[,option=value...] takes model, language, temperature, prompt,
timeout and retries; a key is read from the environment variable OPENAI_API_KEY.
The file of --write fits as `frontend:` of a pipeline; it says `bypass: true` unless something helps significantly.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="find out whether a front-end helps your recogniser, and with which setting",
        description="Measures the error rate of a recogniser with and without front-end, and decides on a setting.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recognizer",
        required=True,
        metavar="WHAT",
        help="pipeline file of sherpa-onnx, folder or hyperparameter file of a SpeechBrain model, "
        "faster-whisper:NAME_OR_FOLDER, openai:URL, "
        "module:function of (samples, sample_rate) -> text, or shell command with {} for a wave file",
    )
    parser.add_argument("--manifest", required=True, metavar="PATH", help="recordings and what is said in them")
    noise = parser.add_argument_group("noise")
    noise.add_argument("--noise", type=Path, metavar="DIR", help="recordings of noise to mix in")
    noise.add_argument("--snr", metavar="LIST", help=f"in dB, or clean (default with --noise: {DEFAULT_SNRS})")
    noise.add_argument("--seed", type=int, default=0, help="of the choice of noise (default: %(default)s)")
    search = parser.add_argument_group("what is tried")
    search.add_argument(
        "--model",
        nargs="+",
        default=[EnhancerConfig.model],
        metavar="MODEL",
        help="names or paths of models (default: %(default)s)",
    )
    search.add_argument("--engine", default=EnhancerConfig.engine, help="(default: %(default)s)")
    search.add_argument(
        "--strengths", type=_strengths, default=(), metavar="LIST", help="such as 1,0.7,auto (default: coarse to fine)"
    )
    search.add_argument(
        "--fit-auto-strength",
        nargs="*",
        metavar="WHAT",
        help="also fit the parameters of the guard (strength auto), on half of the utterances, and decide on the "
        "others; on further recognisers too, if named: what suits several is less likely to be luck",
    )
    add_renamed_option(search, "--fit-guard", "--fit-auto-strength", nargs="*", metavar="WHAT")
    counting = parser.add_argument_group("what is counted")
    counting.add_argument("--unit", choices=("word", "character"), default="word", help="WER or CER")
    counting.add_argument(
        "--normalise",
        default=",".join(DEFAULT_STEPS),
        metavar="LIST",
        help="what is made equal before texts are compared: unicode, lower, punctuation, english (Whisper's "
        "normaliser: numbers, spelling, contractions), or none (default: %(default)s)",
    )
    counting.add_argument("--limit", type=count, metavar="N", help="take the first N recordings only, for a quick look")
    running = parser.add_argument_group("how it runs")
    running.add_argument(
        "--jobs", type=count, default=min(os.cpu_count() or 1, MOST_JOBS), metavar="N", help="(default: %(default)s)"
    )
    running.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        help="the longest time for one recording (default: 30 s and ten times its length)",
    )
    where = running.add_mutually_exclusive_group()
    where.add_argument("--cache", type=Path, metavar="DIR", help="where results are kept (default: the user's cache)")
    where.add_argument(
        "--no-cache",
        action="store_true",
        help="keep nothing, recognise all anew: for a recogniser whose state lies elsewhere, a remote service say",
    )
    output = parser.add_argument_group("outcome")
    output.add_argument("--write", type=Path, metavar="YAML", help="write the setting that was decided on")
    output.add_argument("--report", type=Path, metavar="HTML", help="write a report to look at and listen to")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the table and the decision on stdout, all else on stderr."""
    try:
        import jiwer  # noqa: F401  before an hour of recognising, not after

        from gtcrn_frontend.evaluation.asr import verdict_text
        from gtcrn_frontend.evaluation.report import html_report
    except ImportError as error:
        raise ModelError(f"calibrate needs {error.name}: pip install 'gtcrn-frontend[calibrate]'") from error
    from gtcrn_frontend.cli._recognizers import recognizer_source
    from gtcrn_frontend.evaluation.asr.auto_strength_fit import fit_auto_strength, split
    from gtcrn_frontend.evaluation.asr.calibrate import Counting, calibrate
    from gtcrn_frontend.evaluation.asr.normalise import Normalisation
    from gtcrn_frontend.evaluation.asr.sweep import Sweep
    from gtcrn_frontend.evaluation.result_cache import Cache, Recognition
    from gtcrn_frontend.evaluation.systems import distinct_models
    from gtcrn_frontend.weights.registry import cache_folder

    began = time.monotonic()
    check_outputs((args.write, args.report))
    try:
        apart = [Path(path) for path in (args.write, args.report, args.cache, args.manifest, args.noise) if path]
        sources = [recognizer_source(what, apart) for what in (args.recognizer, *(args.fit_auto_strength or ()))]
    except ImportError as error:  # sherpa-onnx is an extra; its message names it
        raise ModelError(str(error)) from error
    source = sources[0]
    counting = Counting(Normalisation.from_text(args.normalise), args.unit)
    fronts = [_front(model, args.engine) for model in distinct_models(args.model)]
    manifest, items = _material(args)
    cache = Cache(None if args.no_cache else args.cache or cache_folder() / "calibrate", Recognition)
    sweep_over = partial(Sweep, cache=cache, jobs=args.jobs, timeout_s=args.timeout, report=_say_failed)
    with ExitStack() as stack:
        to_fit: list[Sweep] = []
        if args.fit_auto_strength is not None:
            items_to_fit, items = split(items)
            to_fit = [stack.enter_context(sweep_over(items_to_fit, each)) for each in sources]
        sweep = stack.enter_context(sweep_over(items, source))
        try:
            with _Bar() as bar:
                fit = fit_auto_strength(to_fit, fronts, counting, bar) if to_fit else None
                found = calibrate(sweep, fronts, args.strengths, counting, bar, fit)
        except KeyboardInterrupt:
            kept = "nothing was kept" if args.no_cache else "the same command goes on from here"
            recognised = sum(each.recognised for each in (sweep, *to_fit))
            print(f"interrupted after {recognised} results: {kept}", file=sys.stderr)
            raise
        noise = args.noise and str(args.noise)
        setup = html_report.Setup(source.name, source.settings, str(args.manifest), noise, manifest, counting)
        took_s = time.monotonic() - began
        _print_outcome(found, sweep, counting)
        for each in (each for each in sources if each.settings):
            print(f"  {each.name}: {verdict_text.settings_line(each.settings)}.")
        sweeps = (*to_fit, sweep)
        recognised, cached = sum(each.recognised for each in sweeps), sum(each.from_cache for each in sweeps)
        failed = sum(len(each.left) for each in sweeps)
        print(f"{recognised} recognised, {cached} from the cache, {failed} failed; {took_s:.0f} s", file=sys.stderr)
        if args.write:
            _write_setting(args, found, source)
            print(f"setting written to {args.write}", file=sys.stderr)
        if args.report:
            html_report.write_report(args.report, found, sweep, setup, took_s)
            print(f"report written to {args.report}", file=sys.stderr)
    return 0


def _material(args: argparse.Namespace) -> tuple[Manifest, list[Item]]:
    """What is recognised; says on stderr what cannot be."""
    import dataclasses

    from gtcrn_frontend.evaluation.manifest import load_manifest
    from gtcrn_frontend.evaluation.noisy_set import find_noise, parse_snrs, plan_items

    if args.snr and not args.noise:
        raise ConfigError("--snr: expected --noise DIR with it: there is nothing to mix in")
    manifest = load_manifest(args.manifest)
    for problem in manifest.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if args.limit:
        manifest = dataclasses.replace(manifest, utterances=manifest.utterances[: args.limit])
    empty = sum(not utterance.text for utterance in manifest.utterances)
    if empty:
        print(
            f"{empty} recordings with an empty transcript: all that is heard in them counts as insertions",
            file=sys.stderr,
        )
    snrs_db = parse_snrs(args.snr or DEFAULT_SNRS) if args.noise else ()
    noise = find_noise(args.noise) if args.noise else ()
    return manifest, plan_items(manifest.utterances, noise, snrs_db, args.seed)


def _print_outcome(found: Calibration, sweep: Sweep, counting: Counting) -> None:
    from gtcrn_frontend.evaluation.asr.verdict_text import all_sentences, headline, summary_rows
    from gtcrn_frontend.evaluation.report.tables import markdown_table

    print(markdown_table(summary_rows(found.scores, counting.unit), {}))
    print("Percent, ± half of the 95 % interval; - significantly fewer errors than without front-end, ! more.")
    print()
    print(f"{headline(found.decision)}.")
    for sentence in all_sentences(found, counting.unit):
        print(f"  {sentence}")
    left_out = len(sweep.items) - len(found.scores.items)
    if left_out:
        print(f"  Left out, as the recogniser failed behind some setting: {left_out} of {len(sweep.items)} items.")


def _write_setting(args: argparse.Namespace, found: Calibration, source: RecognizerSource) -> None:
    from gtcrn_frontend.atomic_write import write_text
    from gtcrn_frontend.evaluation.asr.verdict_text import all_sentences, headline, setting_yaml, settings_line

    noise = f"noise {args.noise}, SNRs {args.snr or DEFAULT_SNRS}, seed {args.seed}" if args.noise else "no noise added"
    measured = [f"{WRITTEN_BY} --recognizer {source.name}", f"Measured on {args.manifest}, {noise}."]
    if source.settings:
        measured.append(f"Settings of the recogniser: {settings_line(source.settings)}.")
    told = [f"{headline(found.decision)}.", *all_sentences(found, args.unit)]
    lines = [" ".join(line.split()) for line in (*measured, *told)]
    try:
        comment = "".join(f"# {line}\n" for line in lines)
        write_text(args.write, comment + setting_yaml(found.decision.setting))
    except OSError as error:
        raise ConfigError(f"cannot write {args.write}: {error.strerror}") from error


def _front(model: str, engine: str) -> EnhancerConfig:
    """A front-end, loaded once: what is wrong with it is said before hours of work.

    It has the model's name, or its path from the root: the setting that is written may be used elsewhere.
    """
    from gtcrn_frontend.engines.loading import load
    from gtcrn_frontend.weights.model import installed_registry, model_path

    load(model, engine)
    name = model if model in installed_registry().models else str(model_path(model))
    return EnhancerConfig(model=name, engine=engine)


class _Bar:
    """A bar over all rounds, if stderr is a terminal; later rounds count as far as they may become."""

    def __enter__(self) -> _Bar:
        layout = "{desc}{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}, {elapsed} so far, {remaining} to go at most"
        self._bar: tqdm[Any] = tqdm(bar_format=layout, disable=None, leave=False)
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def begin(self, name: str, count: int, later: int) -> None:
        """See `Progress`."""
        self._bar.total = self._bar.n + count + later
        self._bar.set_description(name)

    def update(self, count: int) -> None:
        """See `Progress`."""
        self._bar.update(count)


def _say_failed(left: MissingResult) -> None:
    tqdm.write(f"failed: {left}", file=sys.stderr)


def _strengths(text: str) -> tuple[Strength, ...]:
    entries = (entry.strip() for entry in text.split(",") if entry.strip())
    strengths: tuple[Strength, ...] = tuple("auto" if entry == "auto" else number(entry) for entry in entries)
    if not strengths or not all(strength == "auto" or 0 < strength <= 1 for strength in strengths):
        raise argparse.ArgumentTypeError(f"expected strengths above 0, at most 1, or auto, got {text}")
    return tuple(dict.fromkeys(strengths))
