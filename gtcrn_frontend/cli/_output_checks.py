"""Checks of output files before a command begins its work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gtcrn_frontend.atomic_write import check_replaceable
from gtcrn_frontend.errors import ConfigError


def check_outputs(paths: Iterable[Path | None]) -> None:
    """Checks that files can be written, by creating a temporary one beside each; None stands for no file.

    Raises:
        ConfigError: a file cannot be written.
    """
    for path in filter(None, paths):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: expected a file in a folder that exists")
        try:
            check_replaceable(path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
