"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME_CHARACTERS = 50  # file names end at 255 bytes; a character has up to 4
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<process>[0-9]+)-[0-9a-f]{8}\.part", re.DOTALL)


@contextmanager
def replaced_at_end(path: Path) -> Iterator[Path]:
    """A new file beside `path`, `.NAME.PID-XXXXXXXX.part`, that takes its name when all went well, and else vanishes.

    A symbolic link stays one: what it points to is replaced. A process that is killed leaves the file beside; see
    `remove_leftovers`.

    Raises:
        OSError: the folder does not exist or cannot be written to, or `path` is there and no file: a pipe or a device.
            Its file name is `path`, and never that of the new file.
    """
    target = path.resolve()
    temporary = _new_beside(path)
    try:
        with _named(path, temporary):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Finds out whether `replaced_at_end` can begin; `path` stays as it is.

    Raises:
        OSError: it cannot, see there.
    """
    _new_beside(path).unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes what killed runs left beside `paths`; what a living process is making stays."""
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
    """The new file, empty; `OSError` that names `path` if there can be none."""
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "expected a file to replace, got a folder, pipe or device", str(path))
    temporary = target.parent / f".{target.name[:_NAME_CHARACTERS]}.{os.getpid()}-{secrets.token_hex(4)}.part"
    # Not tempfile's: those are private, and to widen them one has to know the umask, which no thread can ask safely.
    with _named(path, temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


@contextmanager
def _named(path: Path, temporary: Path) -> Iterator[None]:
    """Errors that name the temporary file, which nobody knows, name `path` instead."""
    try:
        yield
    except OSError as error:
        if str(temporary) not in (str(error.filename), str(error.filename2)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_running(process_id: int) -> bool:
    """Whether a process of this machine has this id; in doubt, yes."""
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
