"""`gtcrn-frontend`: finds the command, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version

from gtcrn_frontend.cli import bench, enhance, export, info, models, train
from gtcrn_frontend.errors import GtcrnFrontendError

PROGRAM = "gtcrn-frontend"
EXIT_ERROR = 1
EXIT_INTERRUPTED = 130  # as shells report SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of a command: 0, or 1 on an error; wrong usage exits with 2."""
    args = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    try:
        exit_code: int = args.run(args)
    except (GtcrnFrontendError, OSError) as error:
        if args.verbose:
            raise
        print(f"{PROGRAM}: {_one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Speech enhancement in front of a speech recogniser.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(PROGRAM)}")
    parser.add_argument("-v", "--verbose", action="store_true", help="show debug messages, and errors with traceback")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (enhance, models, export, bench, info, train):
        command.add_parser(commands)
    return parser


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
