"""Inputs of the command `enhance`, and the output of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.audio.av_decoder import is_av_installed
from gtcrn_frontend.audio.file_types import ffmpeg_line, foreign_files
from gtcrn_frontend.audio.io import container_of
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.install_hint import install_hint

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A file to enhance and its output."""

    source: Path
    output: Path


def is_folder(path: str) -> bool:
    """Returns whether a path is a folder, or ends in a slash."""
    return Path(path).is_dir() or path.endswith(tuple(filter(None, (os.sep, os.altsep))))


def plan(inputs: Sequence[str], output: str, *, recursive: bool) -> list[Task]:
    """Returns a task for each file; files of a folder keep their relative paths, others go directly into the output.

    What libsndfile cannot write (m4a, ...) becomes a WAV file. Folders are searched for files with the suffix of an
    audio format, except hidden files and the output folder.

    Args:
        inputs: files and folders.
        output: a file if there is one input and it is a file; else a folder, which need not exist.
        recursive: search subfolders, too.

    Raises:
        ConfigError: the output is a file and should be a folder, an input folder holds no audio, or two files would go
            to the same place.
    """
    target = Path(output)
    if len(inputs) == 1 and not is_folder(inputs[0]) and not is_folder(output):
        return [Task(Path(inputs[0]), target)]
    if target.exists() and not target.is_dir():
        raise ConfigError(f"expected a folder to write to, got the file {output}: give one with -o FOLDER")
    if not is_folder(output) and container_of(target) is not None:
        raise ConfigError(f"expected a folder to write to, got {output}: write {output}/ if it is one")
    tasks: list[Task] = []
    for path in map(Path, inputs):
        found = list(_audio_files(path, target, recursive)) if path.is_dir() else [path]
        if not found:
            hint = "" if recursive else "; -r searches its subfolders, too"
            raise ConfigError(f"{path}: expected a folder with audio files, found none{hint}")
        root = path if path.is_dir() else path.parent
        tasks += [Task(file, _writable(target / file.relative_to(root))) for file in found]
    _check_apart(tasks)
    return tasks


def _writable(output: Path) -> Path:
    """An output in a format that can be written: what PyAV decodes becomes a WAV file."""
    return output.with_suffix(".wav") if foreign_files([output.name]) else output


def _audio_files(folder: Path, left_out: Path, recursive: bool) -> Iterator[Path]:
    """The audio files of a folder, in order."""
    left_out = left_out.resolve()
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        visible = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        folders[:] = [name for name in visible if (here / name).resolve() != left_out]
        foreign = set(foreign_files(name for name in names if not name.startswith(".")))
        if foreign and not is_av_installed():
            _log.warning(
                "%s: %d files left out that libsndfile cannot decode: convert them, %s, or %s",
                here,
                len(foreign),
                ffmpeg_line(str(here / min(foreign))),
                install_hint("av"),
            )
            foreign = set()
        for name in sorted(names):
            # RAW files have no header: nothing says their rate.
            if name in foreign or (not name.startswith(".") and container_of(here / name) not in (None, "RAW")):
                yield here / name


def _check_apart(tasks: Sequence[Task]) -> None:
    sources: dict[Path, Path] = {}
    for task in tasks:
        other = sources.setdefault(task.output, task.source)
        if other is not task.source:
            raise ConfigError(f"{other} and {task.source} have the same output {task.output}: enhance them separately")
