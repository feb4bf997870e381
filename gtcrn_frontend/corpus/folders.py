"""Folders of audio files and tar shards, and lists of shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gtcrn_frontend.audio.file_types import ffmpeg_line, foreign_files
from gtcrn_frontend.audio.io import container_of
from gtcrn_frontend.corpus.items import Corpus, Item, Problem
from gtcrn_frontend.corpus.shards import expand, is_shard
from gtcrn_frontend.corpus.storage import files_below, glob, is_url, join


def folder_corpus(folder: str, dest: str) -> Corpus:
    """Returns all audio files and tar shards of a folder and its subfolders, which keep their relative paths.

    Files that libsndfile cannot decode become problems; others are left out.
    """
    names = list(_outside(files_below(folder), folder, dest))
    items = [
        Item(join(folder, name), join(dest, name))
        for name in names
        if is_shard(name) or container_of(Path(name)) not in (None, "RAW")
    ]
    problems = [
        Problem(path, f"expected a format that libsndfile reads: convert it, {ffmpeg_line(path)}")
        for path in (join(folder, name) for name in foreign_files(names))
    ]
    return Corpus(items, problems)


def shards_corpus(pattern: str, dest: str) -> Corpus:
    """Returns tar shards by a name, with ranges as `shard-{000..099}.tar`, or `*` and `?`; they keep their names."""
    paths = [path for name in expand(pattern) for path in (glob(name) if set(name) & set("*?[") else [name])]
    return Corpus([Item(path, join(dest, PurePosixPath(path).name)) for path in paths])


def _outside(names: list[str], folder: str, dest: str) -> Iterator[str]:
    """The names that do not lie in the output folder, if that is inside of the source."""
    if is_url(folder) != is_url(dest):
        return iter(names)
    inner = dest.rstrip("/") if is_url(dest) else Path(dest).resolve().as_posix()
    outer = folder.rstrip("/") if is_url(folder) else Path(folder).resolve().as_posix()
    left_out = inner.removeprefix(f"{outer}/")
    return (name for name in names if left_out == inner or not name.startswith(f"{left_out}/"))
