"""Tar shards as WebDataset and Lhotse's Shar have them: audio members are enhanced, the others copied.

Members whose names are equal up to the first dot are one sample: `a/7.flac`, `a/7.json`. Member order, names and
metadata stay.
"""

from __future__ import annotations

import copy
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO, cast

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.audio.io import container_of
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus.encoded import enhance_encoded
from gtcrn_frontend.corpus.items import Problem
from gtcrn_frontend.errors import AudioFormatError, GtcrnFrontendError

SUFFIXES = (".tar", ".tar.gz", ".tgz")

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error)

Member = tuple[tarfile.TarInfo, bytes]


def is_shard(path: str) -> bool:
    """Returns whether this is the name of a tar file."""
    return path.endswith(SUFFIXES)


def expand(pattern: str) -> list[str]:
    """Returns the names that a pattern with ranges stands for: `s-{00..12}.tar` is `s-00.tar` to `s-12.tar`."""
    found = _RANGE.search(pattern)
    if not found:
        return [pattern]
    first, last = found[1], found[2]
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return [name for n in numbers for name in expand(pattern[: found.start()] + n + pattern[found.end() :])]


def enhance_shard(
    source: Path, target: Path, config: EnhancerConfig, progress: Callable[[float], None]
) -> tuple[float, list[Problem]]:
    """Enhances a shard into another one; samples that fail are left out.

    Args:
        source: tar file, plain or gzip.
        target: appears under its name when it is complete; its suffix selects plain or gzip.
        config: settings; rate and channels are those of each member.
        progress: called with the seconds of audio after each block.

    Returns:
        Seconds of audio that were enhanced, and the samples that were left out.

    Raises:
        AudioFormatError: the source is no tar file, or is damaged.
        OSError: reading or writing fails.
    """
    problems: list[Problem] = []
    audio_s = 0.0
    with replaced_at_end(target) as temporary, ExitStack() as stack:
        written: IO[bytes] = stack.enter_context(temporary.open("wb"))
        if target.name.endswith((".gz", ".tgz")):  # without a time, so that equal content gives equal bytes
            compressed = gzip.GzipFile("", "wb", fileobj=written, mtime=0)
            written = cast(IO[bytes], stack.enter_context(compressed))
        output = stack.enter_context(tarfile.open(fileobj=written, mode="w|", format=tarfile.PAX_FORMAT))
        try:
            for key, sample in groupby(_members(source, stack), lambda member: _key(member[0])):
                try:
                    enhanced, seconds = _enhanced(list(sample), config, progress)
                except GtcrnFrontendError as error:
                    problems.append(Problem(key, str(error)))
                    continue
                for info, content in enhanced:
                    output.addfile(info, io.BytesIO(content))
                audio_s += seconds
        except _DAMAGED as error:
            raise AudioFormatError(f"{source}: expected a tar file, this one is damaged: {error}") from error
    return audio_s, problems


def _members(source: Path, stack: ExitStack) -> Iterator[Member]:
    try:
        tar = stack.enter_context(tarfile.open(source, "r|*"))  # noqa: SIM115  the stack closes it
    except tarfile.TarError as error:
        raise AudioFormatError(f"{source}: expected a tar file: {error}") from error
    for info in tar:
        content = cast(IO[bytes], tar.extractfile(info)).read() if info.isreg() else b""
        yield info, content
        tar.members = []  # type: ignore[attr-defined]  # they would stay in memory


def _key(info: tarfile.TarInfo) -> str:
    path = PurePosixPath(info.name)
    return str(path.parent / path.name.partition(".")[0])


def _enhanced(
    sample: list[Member], config: EnhancerConfig, progress: Callable[[float], None]
) -> tuple[list[Member], float]:
    """The members of a sample, those with audio enhanced, and the seconds of it."""
    members: list[Member] = []
    audio_s = 0.0
    for info, content in sample:
        path = Path(info.name)
        if not info.isreg() or container_of(path) in (None, "RAW"):
            members.append((info, content))
            continue
        try:
            content, seconds = enhance_encoded(content, config, path.suffix, progress)
        except GtcrnFrontendError as error:
            raise AudioFormatError(f"{info.name}: {str(error).removeprefix('audio data: ')}") from error
        info = copy.copy(info)
        info.size = len(content)
        info.pax_headers = {name: value for name, value in info.pax_headers.items() if name != "size"}  # of the source
        members.append((info, content))
        audio_s += seconds
    return members, audio_s
