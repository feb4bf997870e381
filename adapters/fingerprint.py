"""Fingerprint of a third-party recogniser: names and versions of the files around it, which it may read.

It is unknown which files such code reads, and models are too large to be hashed for every run. Its results are
therefore cached under all files in its folder, except those that change without the recogniser: outputs of `calibrate`,
recordings, logs and hidden files.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from gtcrn_frontend.audio.io import container_of
from gtcrn_frontend.evaluation.asr.calibration import WRITTEN_BY

MAX_FILES = 4096

_SMALL_BYTES = 1 << 16
_CHANGING_SUFFIXES = {".log", ".out", ".err", ".tmp", ".lock", ".pid", ".html", ".pyc"}
_CHANGING_FOLDERS = {"__pycache__"}
_SETTING_SUFFIXES = {".yaml", ".yml"}

_log = logging.getLogger(__name__)


def fingerprint(folders: Iterable[Path], apart: Collection[Path] = ()) -> list[str]:
    """Returns a line for each file that `files_around` finds: path, size in bytes, and modification time.

    Small files have a digest instead of the time: some recognisers rewrite their grammar or settings on every start.
    """
    return [f"{path} {found.st_size} {_version(path, found)}" for path, found in files_around(folders, apart)]


def files_around(folders: Iterable[Path], apart: Collection[Path] = ()) -> list[tuple[Path, os.stat_result]]:
    """Returns the files in folders and their subfolders, level by level, in a fixed order.

    Links are followed. Files beyond the first `MAX_FILES` are left out, with a warning.

    Args:
        folders: one may be inside of another.
        apart: files and folders that do not belong to the recogniser, by resolved path.
    """
    roots = sorted({folder.resolve() for folder in folders})
    outer = [root for root in roots if not any(other in root.parents for other in roots)]
    found = list(islice(_files(outer, {*apart}), MAX_FILES + 1))
    if len(found) > MAX_FILES:
        names = ", ".join(map(str, outer))
        _log.warning("%s: more than %d files: give --no-cache after a change of others", names, MAX_FILES)
    return found[:MAX_FILES]


def _files(roots: Sequence[Path], apart: Collection[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """The files that may belong to the recogniser, level by level."""
    level, seen, ours = list(roots), {*roots}, _own_output()
    while level:
        below = []
        for path in (path for folder in level for path in _entries(folder) if not path.name.startswith(".")):
            try:
                found, resolved = path.stat(), path.resolve()
                counts = stat.S_ISREG(found.st_mode) and not _is_changing(path)
            except OSError:  # deleted meanwhile, a broken link, or not readable
                continue
            if resolved in apart or (found.st_dev, found.st_ino) in ours:
                continue
            if counts:
                yield path, found
            elif stat.S_ISDIR(found.st_mode) and path.name not in _CHANGING_FOLDERS and resolved not in seen:
                seen.add(resolved)
                below.append(path)
        level = below


def _version(path: Path, found: os.stat_result) -> str:
    if found.st_size <= _SMALL_BYTES:
        with suppress(OSError):  # deleted meanwhile
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return str(found.st_mtime_ns)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_changing(path: Path) -> bool:
    """Whether a file may change without the recogniser."""
    if path.suffix in _CHANGING_SUFFIXES or container_of(path):
        return True
    if path.suffix not in _SETTING_SUFFIXES:
        return False
    with path.open("rb") as file:
        return file.readline().startswith(f"# {WRITTEN_BY}".encode())


def _own_output() -> set[tuple[int, int]]:
    """Device and inode of the files that stdout and stderr are redirected to."""
    found = set()
    for descriptor in (1, 2):
        with suppress(OSError):
            status = os.fstat(descriptor)
            found.add((status.st_dev, status.st_ino))
    return found
