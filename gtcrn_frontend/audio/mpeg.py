"""MPEG audio, layer III (MP3): frames, the index in the first of them, and files that do not tell their length.

Source of the index: the tags Xing and Info as mpg123 reads them (libmpg123/parse.c, `check_lame_tag`).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import IO

_ID3_BYTES = 10
_HEADER_BYTES = 4
_INDEX_BYTES = 64  # of the first frame: header, side information, tag, and three numbers of four bytes
_IN_SEQUENCE = 3  # so many frames, one behind the other, are no accident
_ID3V1_BYTES = 128

# Bit rates in kbit/s of MPEG 1, and of MPEG 2 and 2.5.
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_RATES_HZ = (44100, 48000, 32000)
_HEADER = re.compile(rb"\xff(?=[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef])")  # of MPEG 2.5, 2 and 1
_CLAIM = 64
"""An `EndlessFile` claims so many times its size: more than the highest bit rate of a stream over its lowest."""


@dataclass(frozen=True)
class Index:
    """What the first frame of an MP3 announces.

    Attributes:
        position: where that frame begins, behind ID3v2.
        frame_bytes: its length.
        frames: number of frames behind it; 0 if it does not tell.
        size: bytes from `position` on, with or without the frame of the index; 0 if it does not tell.
    """

    position: int
    frame_bytes: int
    frames: int
    size: int


def mp3_frame_bytes(frame: bytes) -> int:
    """Returns the length of the MP3 frame whose header these bytes begin with; 0 if there is none."""
    if len(frame) < _HEADER_BYTES or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # 11 set bits, layer III
        return 0
    version, bit_rate, rate, padding = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3, frame[2] >> 1 & 1
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    is_first = version == 3
    rate_hz = _RATES_HZ[rate] >> (0 if is_first else 1 if version == 2 else 2)
    return (144 if is_first else 72) * 1000 * _BIT_RATES[not is_first][bit_rate] // rate_hz + padding


def read_index(file: IO[bytes]) -> Index | None:
    """Returns the index of a seekable file, whose position stays; None if it has none that libsndfile reads."""
    before = file.tell()
    try:
        position = _id3_end(file)
        file.seek(position)
        head = file.read(_INDEX_BYTES)
    finally:
        file.seek(before)
    length = mp3_frame_bytes(head)
    if not length:
        return None
    is_first, is_mono = head[1] >> 3 & 3 == 3, head[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    tag = _HEADER_BYTES + side_bytes
    if head[tag : tag + 4] not in (b"Xing", b"Info") or any(head[_HEADER_BYTES + 2 : tag]):
        return None
    flags, *numbers = (int.from_bytes(head[at : at + 4], "big") for at in range(tag + 4, tag + 16, 4))
    frames = numbers.pop(0) if flags & 1 else 0
    return Index(position, length, frames, numbers[0] if flags & 2 else 0)


def tells_length(file: IO[bytes]) -> bool:
    """Returns whether libsndfile finds the length of a seekable MP3 in it, rather than to estimate it.

    The estimate is from the size of the file and the bit rate of the first frame. An index that tells no size in bytes
    does not count: nothing tells then whether more follows, as in files that were joined.
    """
    index = read_index(file)
    return index is not None and index.frames > 0 and index.size > 0


def first_frames(data: bytes, start: int = 0) -> int:
    """Returns the position of the first of several frames in sequence; -1 if there are none."""
    for header in _HEADER.finditer(data, start):
        end = header.start()
        for _ in range(_IN_SEQUENCE):
            length = mp3_frame_bytes(data[end : end + _HEADER_BYTES])
            end += length
            if not length or end > len(data):
                break
        else:
            return header.start()
    return -1


def frames_end(data: bytes) -> int:
    """Returns where the last whole frame of a file ends; 0 if it has none."""
    position = max(first_frames(data), 0)
    end = 0
    while position >= 0:
        length = mp3_frame_bytes(data[position : position + _HEADER_BYTES])
        if length and position + length <= len(data):
            position = end = position + length
        else:
            position = first_frames(data, position + 1)
    return end


class EndlessFile(io.RawIOBase):
    """A file that claims to be far longer than it is, so that libsndfile reads an MP3 to where its frames end.

    libsndfile takes its estimate of the length for the truth: where the first frame has a higher bit rate than the
        others, it stops before the end without a word. The estimate grows with the size of the file.

    Args:
        file: seekable; it is not closed.
        size: bytes of it that are shown.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__()
        self._file, self._size = file, size
        self._position = 0
        self.furthest = 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        self._position = offset + (0, self._position, self._size * _CLAIM)[whence]
        return self._position

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """See `io.RawIOBase`."""
        self._file.seek(self._position)
        data = self._file.read(min(len(buffer), max(self._size - self._position, 0)))
        end = self._size * _CLAIM
        if end - _ID3V1_BYTES <= self._position < end:  # mpg123 looks for ID3v1 there, and fails if it finds nothing
            data = bytes(min(len(buffer), end - self._position))
        else:
            self.furthest = max(self.furthest, self._position + len(data))
        self._position += len(data)
        buffer[: len(data)] = data
        return len(data)


def _id3_end(file: IO[bytes], position: int = 0) -> int:
    """Returns where an ID3v2 tag at `position` ends; `position` if there is none."""
    file.seek(position)
    tag = file.read(_ID3_BYTES)
    if tag[:3] != b"ID3" or len(tag) < _ID3_BYTES:
        return position
    length = 0
    for value in tag[6:]:
        length = length << 7 | value & 0x7F
    return position + _ID3_BYTES + length
