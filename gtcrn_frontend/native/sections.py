"""Saved states of the C library as named arrays; native/state.h documents the format."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC, _VERSION, _ORDER = b"GTCRNENH", 2, 0x01020304
_HEADER = struct.Struct("=8s6I")
_SECTION = struct.Struct("=48s2I")
_TYPES: dict[int, np.dtype[Any]] = {
    ord("f"): np.dtype(np.float32),
    ord("d"): np.dtype(np.float64),
    ord("i"): np.dtype(np.int64),
}
_LETTERS = {dtype: letter for letter, dtype in _TYPES.items()}

Arrays = dict[str, npt.NDArray[Any]]


def unpack_sections(state: bytes) -> Arrays:
    """Returns the arrays, each `(n,)`, of a state that the C library has exported."""
    *_, sections = _HEADER.unpack_from(state)
    arrays, place = {}, _HEADER.size
    for _ in range(sections):
        name, letter, count = _SECTION.unpack_from(state, place)
        place += _SECTION.size
        dtype = _TYPES[letter]
        arrays[name.rstrip(b"\0").decode()] = np.frombuffer(state, dtype, count, place).copy()
        place += -(-count * dtype.itemsize // 8) * 8
    return arrays


def pack_sections(
    arrays: Mapping[str, npt.NDArray[Any]], sample_rate: int, output_sample_rate: int, paths: int
) -> bytes:
    """Returns arrays of any shape as a state for the C library.

    Args:
        arrays: float32, float64 or int64.
        sample_rate, output_sample_rate: of the enhancer.
        paths: its output channels.
    """
    parts = [_HEADER.pack(_MAGIC, _VERSION, _ORDER, sample_rate, output_sample_rate, paths, len(arrays))]
    for name, array in arrays.items():
        data = array.tobytes()
        parts += [_SECTION.pack(name.encode(), _LETTERS[array.dtype], array.size), data, bytes(-len(data) % 8)]
    return b"".join(parts)
