"""Audio lengths that AVR, MAT4, MAT5 and MPC2K headers announce; libsndfile reads a cut file of these without a word.

Headers of IRCAM, PAF, PVF and XI files say nothing about the length: such a file ends where it ends.
"""

from __future__ import annotations

import struct
from typing import IO

_AVR_BYTES = 128
_MPC2K_BYTES = 42
_MAT4_WIDTHS = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}  # by the tens digit of a matrix's type
_MAT4_MARKS = (bytes(4), b"\x00\x00\x03\xe8")  # type of the first matrix, in double precision, of either byte order
_MAT5_BYTES = 128
_MAX_NAME_BYTES = 64
_MAX_MATRICES = 100


def announced_bytes(file: IO[bytes], size: int) -> tuple[int, int] | None:
    """Returns the bytes of samples that the header announces and those in the file; None for other formats."""
    file.seek(0)
    head = file.read(_MAT5_BYTES)
    if len(head) < _MAT5_BYTES:
        return None
    if head[:4] == b"2BIT":
        channels = 2 if head[12:14] != bytes(2) else 1
        bits, frames = struct.unpack(">H", head[14:16])[0], struct.unpack(">I", head[26:30])[0]
        return frames * channels * (2 if bits > 8 else 1), size - _AVR_BYTES
    if head[:2] == b"\x01\x04":
        channels, frames = 1 + (head[21] & 1), struct.unpack("<I", head[30:34])[0]
        return frames * channels * 2, size - _MPC2K_BYTES
    if head[:10] == b"MATLAB 5.0":
        return _mat5(file, size, "<" if head[126:128] == b"IM" else ">")
    if head[:4] in _MAT4_MARKS and b"samplerate" in head[20:31]:
        return _mat4(file, size, "<" if head[:4] == _MAT4_MARKS[0] else ">")
    return None


def _mat4(file: IO[bytes], size: int, order: str) -> tuple[int, int] | None:
    """The first matrix that ends behind the file, or the last one."""
    position, found = 0, None
    for _ in range(_MAX_MATRICES):
        file.seek(position)
        header = file.read(20)
        if len(header) < 20:
            break
        kind, rows, columns, _, name_bytes = struct.unpack(f"{order}5I", header)
        width = _MAT4_WIDTHS.get(kind // 10 % 10)
        if width is None or name_bytes > _MAX_NAME_BYTES:
            break
        start = position + 20 + name_bytes
        announced = rows * columns * width
        found, position = (announced, size - start), start + announced
        if position > size:
            break
    return found


def _mat5(file: IO[bytes], size: int, order: str) -> tuple[int, int] | None:
    """As for MAT4; the values of a matrix are its fourth element, behind flags, dimensions and name."""
    position, found = _MAT5_BYTES, None
    for _ in range(_MAX_MATRICES):
        position += 8  # the header of the matrix, whose length libsndfile does not write as others do
        for _ in range(4):
            file.seek(position)
            header = file.read(8)
            if len(header) < 8:
                return found
            kind, length = struct.unpack(f"{order}II", header)
            position += 8
            if kind >> 16:  # a small element: its value is in the second half of these eight bytes
                values = None
            else:
                values = length, size - position
                position += length + 7 & ~7
        found = values or found
    return found
