"""The command `calibrate`: does a front-end lower the error rate of a recogniser, and with which setting?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gtcrn_frontend.cli._argtypes import channels, count, count_or_none, levels, seconds, snrs, strengths
from gtcrn_frontend.cli._evaluation_args import (
    RECOGNIZER_HELP,
    add_cache_args,
    add_cap_arg,
    add_normalise_arg,
    add_ray_arg,
    cache_of,
    detector_of,
    pool_of,
    sources_of,
)
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._output_checks import check_outputs
from gtcrn_frontend.cli._progress import SEARCH, ProgressBar
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.deprecation import add_renamed_option
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.calibrate import DEFAULT_JOBS
from gtcrn_frontend.evaluation.channels import CHANNELS, DEFAULT_CHANNELS
from gtcrn_frontend.evaluation.speech_free import DEFAULT_EXCERPTS, DEFAULT_LEVELS_DBFS
from gtcrn_frontend.install_hint import install_hint

EXAMPLES = """examples:
  gtcrn-frontend calibrate --recognizer pipeline.yaml --manifest test.jsonl --noise noise/ \\
      --snr 0,5,10,clean --write frontend.yaml --report report.html
  gtcrn-frontend calibrate --recognizer pipeline.yaml --manifest test.jsonl --noise noise/ \\
      --channel microphone,telephone,room --rooms rooms/ --vad silero-vad
  gtcrn-frontend calibrate --recognizer my_asr:transcribe --manifest recordings/ \\
      --report report.html
  gtcrn-frontend calibrate --recognizer 'whisper-cli -m base.bin -np -nt -f {}' \\
      --manifest kaldi/data/test
  gtcrn-frontend calibrate --recognizer speechbrain_model/ --manifest test.csv \\
      --model gtcrn-asr gtcrn-dns3
  gtcrn-frontend calibrate --recognizer faster-whisper:models/base.en,beam_size=1 \\
      --manifest test.jsonl --normalise english
  gtcrn-frontend calibrate --recognizer openai:http://127.0.0.1:8000,model=whisper-1 \\
      --manifest test.jsonl --no-cache
  gtcrn-frontend calibrate --recognizer pipeline.yaml --manifest test.jsonl --fit-auto-strength \\
      --write frontend.yaml

Manifest: JSON lines with audio and text, a CSV or TSV file with such a heading, a Kaldi folder, or a
folder of recordings each beside a .txt file. An entry may be a segment of its file (offset and
duration in seconds, or start and stop in samples), and may name its condition. Without --noise,
recordings are used as they are.

Recogniser: faster-whisper:NAME_OR_FOLDER[,option=value...] takes options of faster-whisper such as
beam_size, language, temperature (0, or 0+0.2+0.4), condition_on_previous_text, vad_filter and
compute_type. Nothing is downloaded. openai:URL[,option=value...] takes model, language,
temperature, prompt, timeout and retries; the key is read from the environment variable
OPENAI_API_KEY.

Cache: results are cached, so that an interrupted run can be resumed. Those of a function or a command
are invalidated when a file in its folder or in the working directory changes; recordings, .log
and .html files and hidden files do not count. If the recogniser's state is elsewhere, such as
in a remote service, give --no-cache.

Measures: beside the error rate, which counts at most as many errors in an utterance as it has words,
the tables show substitutions, deletions and insertions apart, and, with --noise, hallucinated
words per minute where nobody speaks. A setting that adds such words significantly is ruled out,
and the decision says so.

The file of --write is for --config of other commands, and for `frontend:` in a pipeline file. It
says `bypass: true` unless a front-end helps significantly.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="find out whether a front-end helps your recogniser, and with which setting",
        description="Measures the error rate of a recogniser with and without front-end, and decides on a setting.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--recognizer", required=True, metavar="WHAT", help=RECOGNIZER_HELP)
    parser.add_argument("--manifest", required=True, metavar="PATH", help="recordings with transcripts, see below")
    noise = parser.add_argument_group("noise")
    noise.add_argument("--noise", type=Path, metavar="DIR", help="noise recordings to mix in")
    noise.add_argument(
        "--snr",
        type=snrs,
        default=(),
        metavar="LIST",
        help="signal-to-noise ratios in dB, or clean (default with --noise: clean,10,5,0)",
    )
    noise.add_argument("--seed", type=int, default=0, help="of the choice of noise (default: %(default)s)")
    add_measure_args(parser)
    search = parser.add_argument_group("search")
    search.add_argument(
        "--model",
        nargs="+",
        default=[str(EnhancerConfig.model)],
        metavar="MODEL",
        help=f"names or paths of models to try (default: {EnhancerConfig.model})",
    )
    search.add_argument("--engine", default=EnhancerConfig.engine, help="engine of the models (default: %(default)s)")
    search.add_argument(
        "--strengths",
        type=strengths,
        default=(),
        metavar="LIST",
        help="strengths to try, such as 1,0.7,auto (default: search from coarse to fine)",
    )
    search.add_argument(
        "--fit-auto-strength",
        nargs="*",
        metavar="WHAT",
        help="also fit the parameters of strength auto, on half of the utterances, and decide on the other half; fit "
        "to further recognisers too if named, which makes a fit by chance less likely",
    )
    add_renamed_option(search, "--fit-guard", "--fit-auto-strength", nargs="*", metavar="WHAT")
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument("--unit", choices=("word", "character"), default="word", help="WER or CER (default: word)")
    add_normalise_arg(scoring)
    add_cap_arg(scoring)
    scoring.add_argument("--limit", type=count, metavar="N", help="use the first N utterances only, for a quick look")
    running = parser.add_argument_group("execution")
    running.add_argument(
        "--jobs",
        type=count,
        default=DEFAULT_JOBS,
        metavar="N",
        help="processes, each of which loads the recogniser (default: %(default)s)",
    )
    running.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        help="time limit for one recording in seconds (default: 30 s and ten times its duration)",
    )
    add_ray_arg(running)
    add_cache_args(running)
    output = parser.add_argument_group("output")
    output.add_argument("--write", type=Path, metavar="YAML", help="write the chosen setting to this file")
    output.add_argument("--report", type=Path, metavar="HTML", help="write a report with charts and audio examples")
    parser.set_defaults(run=run)


def add_measure_args(parser: argparse.ArgumentParser) -> None:
    """Adds the options for channels, signals without speech, and a voice activity detector."""
    group = parser.add_argument_group("channels and further measures")
    group.add_argument(
        "--channel",
        type=channels,
        default=DEFAULT_CHANNELS,
        metavar="LIST",
        help=f"measure behind each of {', '.join(CHANNELS)}; telephone is 8 kHz and G.711 "
        f"(default: {','.join(DEFAULT_CHANNELS)})",
    )
    group.add_argument("--rooms", type=Path, metavar="DIR", help="impulse responses for the channel room")
    group.add_argument(
        "--noise-only",
        type=count_or_none,
        default=DEFAULT_EXCERPTS,
        metavar="N",
        help="with --noise, count hallucinated words in N excerpts of noise without speech, 10 s each, and in digital "
        "silence; 0 to count none (default: %(default)s)",
    )
    shown = ",".join(f"{level:g}" for level in DEFAULT_LEVELS_DBFS)
    group.add_argument(
        "--noise-only-levels",
        type=levels,
        default=DEFAULT_LEVELS_DBFS,
        metavar="LIST",
        help=f"levels of these excerpts in dB of full scale, as --noise-only-levels={shown} (default: {shown})",
    )
    group.add_argument(
        "--vad",
        type=Path,
        metavar="ONNX",
        help="with --noise, also measure false starts and missed speech of Silero VAD, run by sherpa-onnx; silero-vad "
        "for the file that the package of this name ships",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the table and the decision on stdout, all else on stderr."""
    if args.snr and not args.noise:
        raise ConfigError("--snr: expected --noise DIR with it: there is nothing to mix in")
    if args.vad and not args.noise:
        raise ConfigError("--vad: expected --noise DIR with it: the speech in recordings that are noisy is not known")
    if ("room" in args.channel) != bool(args.rooms):
        raise ConfigError("expected --channel room and --rooms DIR together, got one of them")
    try:
        import jinja2  # noqa: F401  before the work, not after it
        import jiwer  # noqa: F401
    except ImportError as error:
        raise ModelError(f"calibrate needs {error.name}: {install_hint('calibrate')}") from error
    from gtcrn_frontend.evaluation import ErrorMetric, Normalisation, calibrate, write_report

    check_outputs((args.write, args.report))
    outputs = (args.write, args.report, args.cache, args.manifest, args.noise, args.rooms, args.vad)
    recognizer, *also_fit_to = sources_of([args.recognizer, *(args.fit_auto_strength or ())], outputs)
    vad = detector_of(args.vad)
    with ProgressBar(SEARCH) as bar:
        try:
            calibration = calibrate(
                recognizer,
                args.manifest,
                noise=args.noise,
                snrs_db=args.snr,
                seed=args.seed,
                channels=args.channel,
                rooms=args.rooms,
                noise_only=args.noise_only,
                noise_only_dbfs=args.noise_only_levels,
                vad=vad,
                models=args.model,
                engine=args.engine,
                strengths=args.strengths,
                fit_auto_strength=args.fit_auto_strength is not None,
                also_fit_to=also_fit_to,
                metric=ErrorMetric(Normalisation.from_text(args.normalise), args.unit, not args.uncapped),
                limit=args.limit,
                jobs=args.jobs,
                pool=pool_of(args),
                timeout_s=args.timeout,
                cache=cache_of(args),
                progress=bar,
            )
        except KeyboardInterrupt:
            kept = "nothing was kept" if args.no_cache else "run the same command again to resume"
            bar.message(f"interrupted after {bar.done:g} results: {kept}")
            raise
    print(calibration)
    failed, took_s = len(calibration.failures), calibration.took_s
    results = f"{calibration.recognised} recognised, {calibration.from_cache} from the cache, {failed} failed"
    print(f"{results}; {took_s:.0f} s", file=sys.stderr)
    if args.write:
        calibration.write(args.write)
        print(f"setting written to {args.write}", file=sys.stderr)
    if args.report:
        write_report(calibration, args.report)
        print(f"report written to {args.report}", file=sys.stderr)
    return 0
