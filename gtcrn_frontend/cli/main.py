"""`gtcrn-frontend`: finds the command, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from gtcrn_frontend.cli import (
    audiosocket,
    bench,
    calibrate,
    data,
    enhance,
    enhance_corpus,
    evaluate,
    export,
    info,
    models,
    proxy,
    train,
    transcribe,
    wyoming,
)
from gtcrn_frontend.cli._completion import add_completion_option
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.errors import GtcrnFrontendError

PROGRAM = "gtcrn-frontend"
VERBOSE = "show debug messages, and errors with traceback"
EXIT_ERROR = 1
EXIT_INTERRUPTED = 130  # as shells report SIGINT
EXIT_BROKEN_PIPE = 141  # and SIGPIPE
EXIT_TERMINATED = 143  # and SIGTERM
EXIT_HUNG_UP = 129  # and SIGHUP, where there is such


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of a command: 0, or 1 on an error; wrong usage exits with 2."""
    warnings.filterwarnings("default", ".* was renamed to ", DeprecationWarning)  # Python hides those of libraries
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be UTF-8: they are printed as they are
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        args = _parser().parse_args(arguments)
    except GtcrnFrontendError as error:  # of an option that does something at once
        print(f"{PROGRAM}: {_one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    try:
        with _ends_cleanly_on_sigterm():
            exit_code: int = args.run(args)
            sys.stdout.flush()
    except BrokenPipeError:  # for example `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that flushing at exit does not fail
        return EXIT_BROKEN_PIPE
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
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Speech enhancement in front of a speech recogniser.",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(PROGRAM)}")
    parser.add_argument("-v", "--verbose", action="store_true", help=VERBOSE)
    add_completion_option(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (
        enhance,
        enhance_corpus,
        transcribe,
        proxy,
        audiosocket,
        wyoming,
        calibrate,
        evaluate,
        models,
        export,
        bench,
        info,
        data,
        train,
    ):
        command.add_parser(commands)
    for command_parser in commands.choices.values():  # also after the command
        command_parser.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=VERBOSE)
    return parser


@contextmanager
def _ends_cleanly_on_sigterm() -> Iterator[None]:
    """Lets SIGTERM end what runs inside as Ctrl-C does; a program that has called `main` finds its own handlers again.

    Those for SIGINT, too: an event loop that has handled it leaves Python's own behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = [signal.SIGTERM, *filter(None, [getattr(signal, "SIGHUP", None)])]
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, *ending)}
    try:
        for number in ending:
            if previous[number] is not signal.SIG_IGN:  # as `nohup` wants
                signal.signal(number, _terminate)
        yield
    finally:
        for number, handler in previous.items():
            if handler is not None:  # else it was not installed by Python, which cannot bring it back
                signal.signal(number, handler)


def _terminate(signal_number: int, frame: object) -> None:
    """Ends as after Ctrl-C: what is half done is cleaned up."""
    sys.exit(EXIT_TERMINATED if signal_number == signal.SIGTERM else EXIT_HUNG_UP)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
