"""The command `data`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.install_hint import install_hint

SHOWN_PROBLEMS = 10
# As in `training.data.layouts`, whose import needs an extra; a test keeps them equal.
DATA_SETS = {
    "librispeech": "LibriSpeech (openslr.org/12, /31)",
    "voicebank-demand": "VoiceBank-DEMAND, clean and noisy training sets (datashare.ed.ac.uk/handle/10283/2791)",
    "dns-noise": "noise of the DNS Challenge (github.com/microsoft/DNS-Challenge)",
    "musan": "MUSAN (openslr.org/17)",
    "esc50": "ESC-50 (github.com/karolpiczak/ESC-50)",
    "rirs-noises": "RIRS_NOISES (openslr.org/28)",
}
DESCRIPTION = """Checks the layout of public data sets that you have downloaded, as archives or folders, and writes a
manifest and a split by speaker, recording and room. Prints the lines of a training config that use them.
"""
EPILOG = """
examples:
  gtcrn-frontend data --librispeech train-clean-100.tar.gz --esc50 ESC-50-master.zip \\
      --rirs-noises RIRS_NOISES
  gtcrn-frontend data --output vbd \\
      --voicebank-demand clean_trainset_28spk_wav.zip noisy_trainset_28spk_wav.zip
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "data",
        help="prepare downloaded public data sets for training",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    for name, title in DATA_SETS.items():
        parser.add_argument(f"--{name}", nargs="+", type=Path, metavar="PATH", help=f"folders or archives of {title}")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder for manifest.jsonl, split.json and unpacked archives (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the split (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prepares the data; prints a table on stderr and the config lines on stdout."""
    try:
        from gtcrn_frontend.training.data.prepare import prepare_data
    except ModuleNotFoundError as error:
        raise ModelError(f"preparing data needs {error.name}: {install_hint('train')}") from error

    given = {name: getattr(args, name.replace("-", "_")) for name in DATA_SETS}
    data = prepare_data({name: paths for name, paths in given.items() if paths}, args.output, seed=args.seed)
    for problem in data.problems[:SHOWN_PROBLEMS]:
        print(f"left out: {problem}", file=sys.stderr)
    if len(data.problems) > SHOWN_PROBLEMS:
        print(f"left out: {len(data.problems) - SHOWN_PROBLEMS} more", file=sys.stderr)
    print(data, file=sys.stderr)
    print(data.yaml(), end="")
    return 0
