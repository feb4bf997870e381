"""The command `export`: writes a model as a file for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.export import LAYOUTS, export_model

EXAMPLES = """layouts:
  onnx         self-contained graph for any ONNX runtime, with any number of frames per run
               (GTCRN: and streams), documented by its metadata; FRCRN: waveform to waveform
  sherpa-onnx  one frame per run, for sherpa-onnx's OnlineSpeechDenoiser and
               OfflineSpeechDenoiser, and for this package by its path; GTCRN only
  safetensors  weights under the released parameter names

examples:
  gtcrn-frontend export gtcrn-asr --layout sherpa-onnx -o gtcrn-asr.onnx
  gtcrn-frontend export gtcrn-dns3 --layout sherpa-onnx --strength 0.7 -o milder.onnx
  gtcrn-frontend export trained.tar --layout safetensors -o trained.safetensors

The layouts onnx and sherpa-onnx need the extra export: pip install '.[export]' in the checkout.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "export",
        help="write a model as ONNX, for sherpa-onnx, or as safetensors",
        description="Writes a model as ONNX, for sherpa-onnx, or as safetensors.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="model name, or path of a .tar or .safetensors checkpoint")
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="file layout, see below")
    parser.add_argument(
        "--strength",
        type=float,
        default=1.0,
        help="0 (input unchanged) to 1 (full enhancement), applied within the graph (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="file to write")
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the file and prints one line about it."""
    origin = export_model(args.model, args.output, args.layout, strength=args.strength, force=args.force)
    size_kb = args.output.stat().st_size / 1000
    strength = "" if args.layout == "safetensors" else f", strength {args.strength:g}"
    print(f"{args.output}: {origin.name} as {args.layout}{strength}, {size_kb:.0f} kB, digest {origin.digest}")
    return 0
