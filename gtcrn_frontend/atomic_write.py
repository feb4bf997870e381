"""Atomic file writes: a file appears under its name only once it is complete."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME_CHARACTERS = 50  # file names end at 255 bytes; a character has up to 4
_PROBE_BYTES = 1 << 16
# Of `write`, which knows no name.
_DISK_ERRORS = {
    number for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS") if (number := getattr(errno, name, None))
}
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<process>[0-9]+)-[0-9a-f]{8}\.part", re.DOTALL)


@contextmanager
def replaced_at_end(path: Path) -> Iterator[Path]:
    """Yields a temporary file next to `path`, `.NAME.PID-XXXXXXXX.part`; renames it on success, deletes it on failure.

    A symbolic link is kept and its target replaced. File and folder are synced, so that after a power failure `path`
    holds either the old content or the new one. A killed process leaves the temporary file; see `remove_leftovers`.

    Raises:
        OSError: the folder does not exist or is not writable, the disk is full, or `path` exists but is not a regular
            file (a pipe or a device). `OSError.filename` is `path`, never the temporary file.
    """
    target = path.resolve()
    temporary = _new_beside(path)
    try:
        with _named(path, temporary):
            yield temporary
            _sync(temporary)
            temporary.replace(target)
            if os.name != "nt":  # where folders cannot be opened
                with suppress(OSError):  # the file is complete; some network file systems do not sync folders
                    _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file as `replaced_at_end` does."""
    with replaced_at_end(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a UTF-8 file as `replaced_at_end` does; what UTF-8 lacks, as in undecodable file names, is escaped."""
    with replaced_at_end(path) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="backslashreplace", newline="")


def check_replaceable(path: Path) -> None:
    """Checks that `replaced_at_end` can create its temporary file; `path` is unchanged.

    Raises:
        OSError: it cannot; see `replaced_at_end`.
    """
    _new_beside(path).unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes temporary files that killed processes left next to `paths`; keeps those of running processes."""
    names_by_folder: dict[Path, set[str]] = {}
    for path in paths:
        names_by_folder.setdefault(path.parent, set()).add(path.name[:_NAME_CHARACTERS])
    for folder, names in names_by_folder.items():
        for beside in folder.iterdir() if folder.is_dir() else ():
            found = _LEFTOVER.fullmatch(beside.name)
            if found and found["name"] in names and not _is_running(int(found["process"])):
                with suppress(OSError):
                    beside.unlink()


def _new_beside(path: Path) -> Path:
    """Creates the empty temporary file; raises `OSError` naming `path` on failure."""
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "expected a file to replace, got a folder, pipe or device", str(path))
    temporary = target.parent / f".{target.name[:_NAME_CHARACTERS]}.{os.getpid()}-{secrets.token_hex(4)}.part"
    # Not from tempfile, whose files are private (0600): widening the mode needs the umask, which cannot be read
    # thread-safely.
    with _named(path, temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def write_failure(path: Path) -> str | None:
    """Returns why a file cannot grow, such as `No space left on device`, or None if it can.

    For libraries that only report that writing failed. The file is then useless and grows by a block.
    """
    try:
        with path.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror
    return None


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path, temporary: Path) -> Iterator[None]:
    """Makes errors name `path` instead of the temporary file, or of nothing, as where the disk is full."""
    try:
        yield
    except OSError as error:
        if str(temporary) not in (str(error.filename), str(error.filename2)) and (
            error.filename is not None or error.errno not in _DISK_ERRORS
        ):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_running(process_id: int) -> bool:
    """Whether a process with this id runs on this machine; True if unknown."""
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
