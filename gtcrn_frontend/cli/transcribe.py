"""The command `transcribe`: files, a pipe or the microphone through a pipeline of front-end and recogniser."""

from __future__ import annotations

import argparse
import sys

from gtcrn_frontend.audio.g711 import SAMPLE_RATE_HZ, law_of
from gtcrn_frontend.audio.pcm import PCM_FORMATS
from gtcrn_frontend.cli._argtypes import count
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._pipe import PIPE
from gtcrn_frontend.cli._progress import audio_bar
from gtcrn_frontend.errors import ModelError

FORMS = ("text", "json", "srt", "vtt")
SUBTITLES = ("srt", "vtt")
EXIT_ERROR = 1
LIVE_RATE = 16_000

EXAMPLES = """examples:
  gtcrn-frontend transcribe --config pipeline.yaml talk.wav
  gtcrn-frontend transcribe --config pipeline.yaml monday.wav tuesday.mp3 --final     # in parallel
  gtcrn-frontend transcribe --config pipeline.yaml talk.wav -o talk.srt
  gtcrn-frontend transcribe --config pipeline.yaml calls/*.flac -o subtitles/ --as vtt
  gtcrn-frontend transcribe --config pipeline.yaml calls/*.flac --compare
  arecord -t raw -f S16_LE -r 16000 | gtcrn-frontend transcribe --config pipeline.yaml -
  gtcrn-frontend transcribe --config pipeline.yaml --mic

A pipeline file names a factory of sherpa-onnx and its arguments; paths in it begin at its folder.
`frontend:` holds settings, or the path of a file of them such as calibrate --write writes:

  frontend:
    strength: 0.7
  recognizer:
    factory: OnlineRecognizer.from_transducer
    tokens: tokens.txt
    encoder: encoder.onnx
    decoder: decoder.onnx
    joiner: joiner.onnx
  endpoint:
    rule2_min_trailing_silence: 0.8

An OfflineRecognizer has a section vad: instead of endpoint:. Needs the extra
sherpa: pip install '.[sherpa]' in the checkout.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "transcribe",
        help="recognise speech with sherpa-onnx behind the front-end",
        description="Recognises speech in files, a live stream of raw PCM or the microphone, with a recogniser of\n"
        "sherpa-onnx behind the front-end. Partial results have three dots after their times.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="FILE", help="audio files that libsndfile reads, or - for raw PCM on stdin"
    )
    parser.add_argument("--config", required=True, metavar="YAML", help="pipeline file, see below")
    parser.add_argument(
        "--as", choices=FORMS, dest="form", help="output format (default: that of the suffix of -o, else text)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="file for the final results, written at the end; for several inputs a folder (default: stdout)",
    )
    parser.add_argument("--force", action="store_true", help="replace outputs that exist")
    parser.add_argument("--final", action="store_true", help="print final results only, as subtitles always do")
    parser.add_argument("--compare", action="store_true", help="show results with and without front-end, of files")
    parser.add_argument(
        "--jobs", type=count, default=8, metavar="N", help="files decoded in parallel (default: %(default)s)"
    )
    parser.add_argument("--mic", action="store_true", help="transcribe the microphone (needs sounddevice) until Ctrl-C")
    raw = parser.add_argument_group("raw PCM, for -, and the microphone")
    raw.add_argument(
        "--rate",
        type=count,
        metavar="HZ",
        help=f"sample rate (default: {SAMPLE_RATE_HZ} for mulaw and alaw, else {LIVE_RATE})",
    )
    raw.add_argument("--channels", type=count, metavar="N", help="of stdin, interleaved; averaged (default: 1)")
    raw.add_argument("--format", choices=PCM_FORMATS, help="of stdin (default: s16le)")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Returns the exit code: 1 if a file failed. Results go to stdout, all else to stderr."""
    _check_usage(args)
    try:
        from gtcrn_frontend.adapters.sherpa.file_transcription import TranscriptSink, transcribe
        from gtcrn_frontend.adapters.sherpa.pipeline import load_pipeline
        from gtcrn_frontend.cli._transcribe_live import (
            MICROPHONE_NAME,
            STDIN_NAME,
            transcribe_microphone,
            transcribe_stdin,
        )
        from gtcrn_frontend.cli._transcripts import Comparison, Lines, TranscriptFiles, form_of, transcript_files

        pipeline = load_pipeline(args.config)
    except ImportError as error:
        raise ModelError(str(error)) from error
    form = args.form or form_of(args.output or "")
    sink: TranscriptSink
    if args.output:
        live = MICROPHONE_NAME if args.mic else STDIN_NAME
        inputs = [live] if args.mic or args.paths == [PIPE] else args.paths
        sink = TranscriptFiles(form, transcript_files(inputs, args.output, form, overwrite=args.force))
    elif args.compare:
        sink = Comparison(form)
    else:
        sink = Lines(form, only_final=args.final, with_names=len(args.paths) > 1)
    if args.mic:
        transcribe_microphone(pipeline, sink, args.rate or LIVE_RATE)
        return 0
    if args.paths == [PIPE]:
        pcm_format = args.format or "s16le"
        rate = args.rate or (SAMPLE_RATE_HZ if law_of(pcm_format) else LIVE_RATE)
        transcribe_stdin(pipeline, sink, rate, pcm_format, args.channels or 1)
        return 0
    with audio_bar(args.paths) as bar:
        result = transcribe(pipeline, args.paths, compare=args.compare, jobs=args.jobs, sink=sink, progress=bar)
    rtf = result.took_s / result.audio_s if result.audio_s else 0.0
    counted = f"{len(result.files) - result.failed} done, {result.failed} failed"
    figures = f"{result.audio_s:.2f} s of audio in {result.took_s:.2f} s, RTF {rtf:.4f}"
    print(f"{counted}; {figures}", file=sys.stderr)
    return EXIT_ERROR if result.failed else 0


def _check_usage(args: argparse.Namespace) -> None:
    is_live = args.mic or PIPE in args.paths
    is_several = len(args.paths) > 1
    wrong = {
        "a FILE, -, or --mic": not (args.paths or args.mic),
        "either --mic or a FILE": args.mic and args.paths,
        "- alone": PIPE in args.paths and len(args.paths) > 1,
        "- or --mic with --rate: files have their own": args.rate and not is_live,
        "- with --channels and --format: files have their own": (args.channels or args.format)
        and PIPE not in args.paths,
        "files with --compare": args.compare and is_live,
        "-o FOLDER with subtitles of several inputs": args.form in SUBTITLES and is_several and not args.output,
        "text or json with --compare": args.compare and args.form in SUBTITLES,
        "no -o with --compare: it shows two results": args.compare and args.output,
        "-o with --force": args.force and not args.output,
    }
    for expected, is_missing in wrong.items():
        if is_missing:
            args.usage_error(f"expected {expected}")
