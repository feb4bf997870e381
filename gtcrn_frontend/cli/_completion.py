"""`--print-completion`: the completion script of a shell, made by shtab."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.install_hint import install_hint

SHELLS = ("bash", "zsh", "tcsh")
_FOLDERS = ("DIR",)
_FILES = ("PATH", "FILE", "YAML", "IMAGE", "PEM", "ONNX", "HTML", "CONFIG", "WHAT", "MODEL", "SOURCE")


def add_completion_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option; what needs a file or a folder gets names of such."""
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        metavar="SHELL",
        help=f"print the completion script of {', '.join(SHELLS[:-1])} or {SHELLS[-1]}, and exit",
    )


class _PrintCompletion(argparse.Action):
    """Prints and exits at once, as `--version` does: no command is needed beside it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if values not in SHELLS:
            parser.error(f"argument --print-completion: expected one of {', '.join(SHELLS)}, got {values!r}")
        print(completion_script(parser, str(values)))
        parser.exit()


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Returns the script.

    Raises:
        ModelError: shtab is not installed.
    """
    try:
        shtab = importlib.import_module("shtab")
    except ImportError as error:
        raise ModelError(f"completion needs shtab: {install_hint('completion')}") from error
    for action in _actions(parser):
        names = str(action.metavar or "").partition(".")[0]
        if names in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # where shtab looks
        elif names in _FILES or action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell)
    return script


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The actions of a parser and of those of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _actions(child)
