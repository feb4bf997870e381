"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME_CHARACTERS = 50  # file names end at 255 bytes; a character has up to 4
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.part", re.DOTALL)


@contextmanager
def replaced_at_end(path: Path) -> Iterator[Path]:
    """A new file beside `path`, `.NAME.XXXXXXXX.part`, that takes its name when all went well, and vanishes when not.

    A process that is killed leaves the file beside; see `remove_leftovers`.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    temporary = path.parent / f".{path.name[:_NAME_CHARACTERS]}.{secrets.token_hex(4)}.part"
    # Not tempfile's: those are private, and to widen them one has to know the umask, which no thread can ask safely.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes what killed runs left beside `paths`; none of these may be in the making elsewhere."""
    names_by_folder: dict[Path, set[str]] = {}
    for path in paths:
        names_by_folder.setdefault(path.parent, set()).add(path.name[:_NAME_CHARACTERS])
    for folder, names in names_by_folder.items():
        for beside in folder.iterdir() if folder.is_dir() else ():
            found = _LEFTOVER.fullmatch(beside.name)
            if found and found["name"] in names:
                with suppress(OSError):
                    beside.unlink()
