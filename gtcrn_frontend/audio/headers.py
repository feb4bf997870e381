"""What audio files announce in their headers, against what they hold: for cases that libsndfile passes silently.

A recorder that is killed leaves a header of size 0; a copy that is interrupted leaves fewer samples than announced; of
files that were joined, libsndfile reads only the first.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from gtcrn_frontend.audio.mpeg import first_frames, mp3_frame_bytes, read_index
from gtcrn_frontend.audio.sized_headers import announced_bytes

UNKNOWN_SIZE = 0x7FFF0000
"""Programs that write to a pipe do not know the size and use a placeholder from here to 2^32 - 1."""

_UNKNOWN_SIZE_64 = 1 << 62
_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"  # of the GUIDs of chunks
_NIST_BYTES = 1024
_OGG_HEADER_BYTES = 27
_BOS, _EOS = 2, 4  # flags of a stream's first and last page
_MAX_CHUNKS = 1000
_MORE_FRAMES = 2  # so many may be behind what the index of an MP3 announces


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a file.

    Attributes:
        error: why it cannot be read as a whole; empty if it can.
        patches: bytes by position that correct the header.
        is_open_ended: the mark of the end is missing; what is there can be read.
    """

    error: str = ""
    patches: Mapping[int, bytes] = field(default_factory=dict)
    is_open_ended: bool = False


class PatchedFile(io.RawIOBase):
    """A file with some bytes replaced; the file itself is unchanged."""

    def __init__(self, file: IO[bytes], patches: Mapping[int, bytes]) -> None:
        super().__init__()
        self._file, self._patches = file, dict(patches)

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._file.tell()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """See `io.RawIOBase`."""
        start = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for position, patch in self._patches.items():
            for index, value in enumerate(patch, position - start):
                if 0 <= index < len(data):
                    data[index] = value
        buffer[: len(data)] = data
        return len(data)


def inspect(file: IO[bytes]) -> Verdict:
    """Returns what is wrong with the header of a seekable file; its position stays."""
    start = file.tell()
    try:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        mark = file.read(16)
        if mark[:4] in (b"RIFF", b"RF64") and mark[8:12] == b"WAVE":
            return _wave(file, size, is_64=mark[:4] == b"RF64")
        if mark[:4] == b"riff" and mark[4:16] == b".\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\x00\x00":
            return _w64(file, size)
        if mark[:4] == b"FORM" and mark[8:12] in (b"AIFF", b"AIFC"):
            return _aiff(file, size)
        if mark[:4] == b".snd":
            return Verdict(patches={8: b"\xff" * 4} if mark[8:12] == bytes(4) else {})
        if mark[:7] == b"NIST_1A":
            return _nist(file, size)
        if mark[:4] == b"OggS":
            return _ogg(file, size)
        if mark[:3] == b"ID3" or mp3_frame_bytes(mark):
            return _mp3(file, size)
        announced = announced_bytes(file, size)
        return _cut(*announced, _UNKNOWN_SIZE_64) if announced else Verdict()
    finally:
        file.seek(start)


def _wave(file: IO[bytes], size: int, *, is_64: bool) -> Verdict:
    position, ds64, announced_64 = 12, 0, 0
    for _ in range(_MAX_CHUNKS):
        name, length = _chunk(file, position, "<I")
        if name == b"ds64":
            ds64 = position
            file.seek(position + 16)
            announced_64 = int.from_bytes(file.read(8), "little")
        if name in (b"data", b""):
            break
        position += 8 + length + length % 2
    rest = size - position - 8
    if name != b"data" or rest <= 0:
        return Verdict()
    if is_64 and ds64:
        announced = announced_64 if length in (0, 0xFFFFFFFF) else length
        if announced == 0 and not _are_chunks(file, position + 8, size):
            sizes = struct.pack("<QQQ", size - 8, rest, 0)
            return Verdict(patches={ds64 + 8: sizes, position + 4: b"\xff" * 4})
        return _cut(announced, rest, _UNKNOWN_SIZE_64)
    if length == 0 and not _are_chunks(file, position + 8, size):
        limit = 0xFFFFFFFF
        riff, data = (min(value, limit).to_bytes(4, "little") for value in (size - 8, rest))
        return Verdict(patches={4: riff, position + 4: data})
    return _cut(length, rest, UNKNOWN_SIZE)


def _w64(file: IO[bytes], size: int) -> Verdict:
    position = 40
    for _ in range(_MAX_CHUNKS):
        file.seek(min(position, size))
        header = file.read(24)
        if len(header) < 24:
            return Verdict()
        length = int.from_bytes(header[16:], "little")  # with this header
        if header[:16] == b"data" + _W64_TAIL:
            rest = size - position
            if length <= 24 < rest:
                patches = {16: size.to_bytes(8, "little"), position + 16: rest.to_bytes(8, "little")}
                return Verdict(patches=patches)
            return _cut(length, rest, _UNKNOWN_SIZE_64)
        position += max(length + 7 & ~7, 24)
    return Verdict()


def _aiff(file: IO[bytes], size: int) -> Verdict:
    position, common = 12, 0
    for _ in range(_MAX_CHUNKS):
        name, length = _chunk(file, position, ">I")
        if name == b"COMM":
            common = position
        if name in (b"SSND", b""):
            break
        position += 8 + length + length % 2
    rest = size - position - 8
    if name != b"SSND" or not common or rest <= 8:
        return Verdict()
    if length <= 8 and not _are_chunks(file, position + 8 + length, size, ">I"):
        file.seek(common + 8)
        channels, _, bits = struct.unpack(">HIH", file.read(8))
        frames = (rest - 8) // max(channels * (bits + 7 >> 3), 1)
        values = {4: size - 8, common + 10: frames, position + 4: rest}
        return Verdict(patches={at: min(value, 0xFFFFFFFF).to_bytes(4, "big") for at, value in values.items()})
    return _cut(length, rest, UNKNOWN_SIZE)


def _nist(file: IO[bytes], size: int) -> Verdict:
    file.seek(0)
    head = file.read(_NIST_BYTES)
    fields = {name: int(value) for name, value in re.findall(rb"(\w+) -i (\d{1,18})\s", head)}
    wanted = [fields.get(name) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    samples, channels, width = (1 if value is None else value for value in wanted)
    return _cut(samples * channels * width, size - _NIST_BYTES, _UNKNOWN_SIZE_64) if wanted[0] else Verdict()


def _ogg(file: IO[bytes], size: int) -> Verdict:
    position, has_data, has_end = 0, False, False
    while position + _OGG_HEADER_BYTES <= size:
        file.seek(position)
        header = file.read(_OGG_HEADER_BYTES)
        if header[:4] != b"OggS":
            break
        if header[5] & _BOS and has_data:
            return Verdict(error=_joined("an Ogg file of several streams, one after the other (chained)"))
        has_data = has_data or not header[5] & _BOS
        has_end = bool(header[5] & _EOS)
        position += _OGG_HEADER_BYTES + header[26] + sum(file.read(header[26]))
    return Verdict(is_open_ended=not has_end or position > size)


def _mp3(file: IO[bytes], size: int) -> Verdict:
    """Finds frames behind the bytes that an index (Xing, Info) announces."""
    index = read_index(file)
    if index is None or index.size <= index.frame_bytes:
        return Verdict()
    # Encoders count the frame of the index or leave it out: the last frame may be behind the end.
    end = index.position + index.size
    if size - end <= _MORE_FRAMES * index.frame_bytes:
        return Verdict()
    file.seek(end)
    is_joined = first_frames(file.read()) >= 0
    return Verdict(error=_joined("several MP3 files, one after the other") if is_joined else "")


def _chunk(file: IO[bytes], position: int, size_format: str) -> tuple[bytes, int]:
    """Returns name and length of the chunk at `position`; an empty name at the end of the file."""
    file.seek(position)
    header = file.read(8)
    if len(header) < 8:
        return b"", 0
    (length,) = struct.unpack(size_format, header[4:])
    return header[:4], length


def _are_chunks(file: IO[bytes], position: int, size: int, size_format: str = "<I") -> bool:
    """Whether what follows are chunks up to the end of the file: then the samples are really none."""
    while position + 8 <= size:
        name, length = _chunk(file, position, size_format)
        if not re.fullmatch(rb"[ -~]{4}", name):
            return False
        position += 8 + length + length % 2
    return size <= position <= size + 1


def _cut(announced: int, found: int, unknown: int) -> Verdict:
    if found >= announced or announced >= unknown:
        return Verdict()
    return Verdict(error=f"truncated file: the header announces {announced} bytes of samples, found {found}")


def _joined(what: str) -> str:
    return f"got {what}, of which libsndfile reads only the first"
