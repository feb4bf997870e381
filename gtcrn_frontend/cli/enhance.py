"""The command `enhance`: audio files, folders of them, or raw PCM from a pipe, through the enhancer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gtcrn_frontend.audio.pcm import PCM_FORMATS
from gtcrn_frontend.cli._argtypes import count
from gtcrn_frontend.cli._batch import Existing, enhance_tasks
from gtcrn_frontend.cli._config_file import add_config_arg, config_of
from gtcrn_frontend.cli._file_plan import Task, is_folder, plan
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._pipe import EXIT_BROKEN_PIPE, PIPE, enhance_pipe
from gtcrn_frontend.config import EnhancerConfig, add_enhancer_args
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.report import spectrogram_plot

EXIT_ERROR = 1

EXAMPLES = """examples:
  gtcrn-frontend enhance noisy.wav -o enhanced.wav
  gtcrn-frontend enhance noisy.flac -o enhanced.flac --max-attenuation-db 12 --plot comparison.png
  gtcrn-frontend enhance monday.wav tuesday.mp3 -o enhanced/
  gtcrn-frontend enhance noisy.wav -o enhanced.wav --config frontend.yaml       # of calibrate
  gtcrn-frontend enhance corpus/ -o enhanced/ -r --jobs 4            # keeps names and folders
  gtcrn-frontend enhance corpus/ -o enhanced/ -r --jobs 4 --resume   # resumes after an interruption
  arecord -t raw -f S16_LE -r 16000 | gtcrn-frontend enhance - - | aplay -t raw -f S16_LE -r 16000
  ffmpeg -i talk.mp4 -f s16le -ac 2 -ar 48000 - |
      gtcrn-frontend enhance - -o talk.flac --rate 48000 --channels 2
  ffmpeg -i call.wav -f mulaw -ar 8000 - | gtcrn-frontend enhance - - --format mulaw > call.ulaw

In a folder, files that fail are reported and left out; the exit code is then 1.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "enhance",
        help="enhance audio files, folders, or a live stream of raw PCM",
        description="Enhances audio files, folders of them, or raw PCM from a pipe. Names, sample rate, channels and\n"
        "sample format stay those of the input. An output appears under its name when it is complete.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="files of any format that libsndfile reads (and PyAV, the extra av), folders, or - for raw PCM on stdin; "
        "without -o, the last one is the output",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="file to write, its suffix decides on the format; for folders and for several files, a folder; "
        "- for raw PCM on stdout",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace outputs that exist")
    existing.add_argument(
        "--resume", action="store_true", help="keep outputs that exist as finished, and do the others"
    )
    parser.add_argument("--plot", metavar="IMAGE", type=Path, help="plot one file's spectrogram before and after")
    folders = parser.add_argument_group("folders")
    folders.add_argument("-r", "--recursive", action="store_true", help="search subfolders, too")
    folders.add_argument("--jobs", type=count, default=1, metavar="N", help="files in parallel (default: %(default)s)")
    raw = parser.add_argument_group("raw PCM, for -")
    # Named like the settings; absent unless given, so that the defaults of the settings or of --config hold.
    raw.add_argument(
        "--rate",
        type=int,
        dest="sample_rate",
        default=argparse.SUPPRESS,
        metavar="HZ",
        help="sample rate of stdin (default: 8000 for mulaw and alaw, else that of the model)",
    )
    raw.add_argument(
        "--channels",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help="channels of stdin, interleaved (default: 1)",
    )
    raw.add_argument("--format", choices=PCM_FORMATS, help="of stdin and stdout, PCM or G.711 (default: s16le)")
    add_enhancer_args(parser, without=("sample_rate", "channels", "output_sample_rate"))
    parser.add_argument(
        "--output-rate",
        "--output-sample-rate",
        dest="output_sample_rate",
        type=int,
        metavar="HZ",
        help="sample rate of the output (default: that of the input)",
    )
    add_config_arg(parser)
    parser.set_defaults(run=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Returns the exit code: 1 if a file failed. The last line on stderr has the duration of the audio and the time."""
    inputs, output = _inputs_and_output(args)
    config = config_of(args)
    if PIPE in (output, *inputs):
        return _run_pipe(inputs[0], output, args, config)
    tasks = plan(inputs, output, recursive=args.recursive)
    if len(inputs) == 1 and not is_folder(inputs[0]):
        return _run_single(tasks[0], args, config)
    report = enhance_tasks(tasks, config, _existing(args), jobs=args.jobs)
    counted = f"{report.done} done, {report.skipped} skipped, {report.failed} failed"
    _say(f"{output}: {counted}; {_figures(report.audio_s, report.took_s)}, engine {report.engine}")
    return EXIT_ERROR if report.failed else 0


def _run_single(task: Task, args: argparse.Namespace, config: EnhancerConfig) -> int:
    before = _outline_before(task, args) if args.plot else None
    report = enhance_tasks([task], config, _existing(args), stop_at_error=True)
    if before:
        spectrogram_plot.draw_comparison(
            before,
            spectrogram_plot.outline(task.output),
            args.plot,
            (f"Before: {task.source.name}", f"After: {task.output.name}"),
        )
    if report.skipped:
        _say(f"{task.output} exists: kept as finished")
    else:
        _say(f"{task.output}: {_figures(report.audio_s, report.took_s)}, engine {report.engine}")
    return 0


def _outline_before(task: Task, args: argparse.Namespace) -> spectrogram_plot.Outline:
    """Outline of the input, before it may be replaced; raises at once if the plot cannot be drawn."""
    spectrogram_plot.check_plot(args.plot)
    args.plot.parent.mkdir(parents=True, exist_ok=True)
    if args.plot.exists() and not args.force:
        raise ConfigError(f"{args.plot} exists: give --force to replace it")
    return spectrogram_plot.outline(task.source)


def _run_pipe(source: str, output: str, args: argparse.Namespace, config: EnhancerConfig) -> int:
    if output != PIPE and Path(output).exists() and not args.force:
        raise ConfigError(f"{output} exists: give --force to replace it")
    try:
        report = enhance_pipe(source, output, args.format or "s16le", config)
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    name = "stdout" if output == PIPE else output
    _say(f"{name}: {_figures(report.audio_s, report.took_s)}, engine {report.engine}")
    return 0


def _inputs_and_output(args: argparse.Namespace) -> tuple[Sequence[str], str]:
    """Inputs and output; ends the program if the arguments do not fit together."""
    inputs, output = args.paths, args.output
    if output is None:
        *inputs, output = inputs
        if inputs and args.force and Path(output).is_file():
            args.usage_error(f"expected -o {output} with --force: without -o, the last path might be an input")
    has_pipe = PIPE in (output, *inputs)
    describes_stdin = hasattr(args, "sample_rate") or hasattr(args, "channels")
    of_stream = hasattr(args, "segment_latency_ms")
    wrong = {
        "an output: -o PATH, or a last PATH": not inputs,
        "one input with -": has_pipe and len(inputs) > 1,
        "- as input with --rate and --channels: files have their own": describes_stdin and PIPE not in inputs,
        "- as input with --segment-latency-ms: files are whole signals, without latency": of_stream
        and PIPE not in inputs,
        "- as input or output with --format: files keep theirs": args.format and not has_pipe,
        "--strength auto with --auto-strength": hasattr(args, "auto_strength")
        and args.config is None
        and getattr(args, "strength", None) != "auto",
        "files, not -, with --resume and --plot": has_pipe and (args.resume or args.plot),
        "one file with --plot": args.plot and (len(inputs) != 1 or is_folder(inputs[0])),
    }
    for expected, is_missing in wrong.items():
        if is_missing:
            args.usage_error(f"expected {expected}")
    return inputs, output


def _existing(args: argparse.Namespace) -> Existing:
    return Existing(replace=args.force, keep=args.resume)


def _figures(audio_s: float, took_s: float) -> str:
    rtf = took_s / audio_s if audio_s else 0.0
    return f"{audio_s:.2f} s of audio in {took_s:.2f} s, RTF {rtf:.4f}"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
