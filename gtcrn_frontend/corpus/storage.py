"""Paths of this machine and, through fsspec, URLs of object stores and the like (`s3://bucket/folder`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from gtcrn_frontend import atomic_write
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.install_hint import install_hint

_LOCAL = "file://"
# Stores in which an object appears when its upload is complete; elsewhere files are uploaded under another name first.
_ATOMIC = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"}


def normal(path: str) -> str:
    """Returns a path or URL as it is, `file://` URLs as paths."""
    return path.removeprefix(_LOCAL)


def is_url(path: str) -> bool:
    """Returns whether this is a URL for fsspec rather than a path."""
    return "://" in path


def join(folder: str, name: str) -> str:
    """Returns the path or URL of a name in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def parent(path: str) -> str:
    """Returns the folder that a path or URL is in."""
    return path.rpartition("/")[0] if is_url(path) else str(Path(path).parent)


def below(path: str) -> str:
    """Returns a path or URL as a relative path: from the root, or from the bucket on."""
    if is_url(path):
        return path.partition("://")[2].lstrip("/")
    plain = Path(path).resolve() if ".." in Path(path).parts else Path(path)
    return PurePosixPath(*plain.relative_to(plain.anchor).parts).as_posix()


def exists(path: str) -> bool:
    """Returns whether there is a file or folder."""
    return bool(_filesystem(path).exists(path)) if is_url(path) else Path(path).exists()


def is_folder(path: str) -> bool:
    """Returns whether this is a folder, or a URL that is a prefix of others."""
    return bool(_filesystem(path).isdir(path)) if is_url(path) else Path(path).is_dir()


def is_empty(folder: str) -> bool:
    """Returns whether a folder has nothing in it, or does not exist."""
    if is_url(folder):
        return not exists(folder) or not _filesystem(folder).ls(folder, detail=False)
    return not Path(folder).exists() or not any(Path(folder).iterdir())


def files_below(folder: str) -> list[str]:
    """Returns the names of all files in a folder, subfolders included, sorted; hidden ones are left out."""
    if is_url(folder):
        found = _filesystem(folder).find(folder)
        root = below(folder).rstrip("/")
        names = [name.lstrip("/").removeprefix(root).lstrip("/") for name in found]
    else:
        names = [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()]
    return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def glob(pattern: str) -> list[str]:
    """Returns the files that match a pattern with `*` or `?`, sorted."""
    if is_url(pattern):
        protocol = pattern.partition("://")[0]
        return sorted(f"{protocol}://{name.lstrip('/')}" for name in _filesystem(pattern).glob(pattern))
    plain = Path(pattern)
    return sorted(map(str, Path(plain.anchor).glob(str(plain.relative_to(plain.anchor)))))


def write_text(path: str, content: str) -> None:
    """Writes a UTF-8 file, atomically where the store allows that; creates its folder."""
    with local_target(path) as target:
        atomic_write.write_text(target, content)


def read_text(path: str) -> str:
    """Returns the content of a UTF-8 file."""
    with local_copy(path) as copy:
        return copy.read_text(encoding="utf-8")


@contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """Yields a file on this machine with the content of a file: itself, or a temporary copy.

    Raises:
        OSError: it cannot be fetched.
    """
    if not is_url(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="gtcrn-frontend-") as folder:
        copy = Path(folder) / PurePosixPath(path).name
        try:
            _filesystem(path).get_file(path, str(copy))
        except Exception as error:
            raise OSError(f"{path}: cannot be fetched: {error}") from error
        yield copy


@contextmanager
def local_target(path: str) -> Iterator[Path]:
    """Yields a path on this machine to write to: itself, or a temporary one that is uploaded at the end.

    Raises:
        OSError: it cannot be uploaded, or its folder cannot be made.
    """
    if not is_url(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="gtcrn-frontend-") as folder:
        target = Path(folder) / PurePosixPath(path).name
        yield target
        try:
            filesystem, protocol = _filesystem(path), path.partition("://")[0]
            if protocol in _ATOMIC:
                filesystem.put_file(str(target), path)
            else:
                filesystem.makedirs(parent(path), exist_ok=True)
                incomplete = join(parent(path), f".{target.name}.part")
                filesystem.put_file(str(target), incomplete)
                filesystem.mv(incomplete, path)
        except Exception as error:
            raise OSError(f"{path}: cannot be written: {error}") from error


def _filesystem(url: str) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise ConfigError(f"{url} needs fsspec ({error}): {install_hint('ray')}") from error
    try:
        return fsspec.core.url_to_fs(url)[0]
    except (ImportError, ValueError) as error:  # no package for this protocol, or no such protocol
        raise ConfigError(f"{url}: fsspec cannot open it: {error}") from error
