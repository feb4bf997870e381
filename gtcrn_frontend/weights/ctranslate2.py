"""Reads the weights of CTranslate2 models (such as faster-whisper's) without CTranslate2.

`model.bin`, little endian, as `ctranslate2.specs.model_spec` writes it: u32 version, the model's name, u32 revision,
u32 number of variables; each variable: name, u8 rank, rank x u32 shape, u8 type, u32 size in bytes, values. After them
u32 number of aliases, each two names: the alias and the variable that it stands for. A name is its length as u16, the
final NUL counted, and UTF-8.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ModelError

FILE = "model.bin"
VERSION = 6

_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
    5: np.dtype("<u2"),  # bfloat16: the upper half of a float32
}
_BFLOAT16 = 5
_INTEGERS = (1, 2, 3)
_SCALE = "_scale"
_MAX_RANK = 8


def read_ctranslate2(path: str | Path) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the variables of a CTranslate2 model as float32, by their names in the file.

    Quantised weights are dequantised, `value / scale` with one scale per row or one in total; the scales are dropped.
    Aliases, such as a projection that shares its weight with an embedding, are entries of their own with the same
    array. Scalars, such as `encoder/num_heads`, have shape `()`.

    Args:
        path: `model.bin`, or the folder that holds it.

    Raises:
        ModelError: the file is missing, damaged, or of another format or version.
    """
    path = Path(path)
    if path.is_dir():
        path /= FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: expected the weights of a CTranslate2 model: {error.strerror}") from error
    try:
        return _read(_Reader(data))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


@dataclass(frozen=True, eq=False)
class _Variable:
    values: npt.NDArray[np.float32]
    is_integer: bool


class _Reader:
    """Reads values from the front of a file, never past its end."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._position = 0

    @property
    def remaining(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> memoryview:
        if count > self.remaining:
            raise ModelError(
                f"damaged CTranslate2 model: expected {count} bytes more at byte {self._position}, "
                f"got {self.remaining}; copy or convert it again"
            )
        self._position += count
        return self._data[self._position - count : self._position]

    def unsigned(self, kind: str) -> int:
        """Reads an unsigned integer: `B`, `H` or `I` for 8, 16 or 32 bits."""
        value: int = struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]
        return value

    def name(self) -> str:
        raw = bytes(self.take(self.unsigned("H")))
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise ModelError("damaged CTranslate2 model: expected a name in UTF-8, got other bytes") from error
        if not text.endswith("\0") or "\0" in text[:-1]:
            raise ModelError("damaged CTranslate2 model: expected a name that ends with its only NUL")
        return text[:-1]


def _read(reader: _Reader) -> dict[str, npt.NDArray[np.float32]]:
    version = reader.unsigned("I")
    if version != VERSION:
        raise ModelError(
            f"expected a CTranslate2 model of version {VERSION}, got {version} in its place; "
            "convert the original model with a current ctranslate2"
        )
    reader.name(), reader.unsigned("I")  # the model's name and revision
    variables: dict[str, _Variable] = {}
    for _ in range(reader.unsigned("I")):
        name = _new_name(reader, variables)
        variables[name] = _variable(reader, name)
    for _ in range(reader.unsigned("I")):  # of scales, too: equal ones of different weights are kept once
        alias, name = _new_name(reader, variables), reader.name()
        if name not in variables:
            raise ModelError(f"damaged CTranslate2 model: {alias!r} stands for {name!r}, which is not in it")
        variables[alias] = variables[name]
    if reader.remaining:
        raise ModelError(f"damaged CTranslate2 model: {reader.remaining} bytes after its end")
    return _dequantized(variables)


def _new_name(reader: _Reader, known: Mapping[str, _Variable]) -> str:
    name = reader.name()
    if name in known:
        raise ModelError(f"damaged CTranslate2 model: it holds {name!r} twice")
    return name


def _variable(reader: _Reader, name: str) -> _Variable:
    rank = reader.unsigned("B")
    if rank > _MAX_RANK:
        raise ModelError(f"damaged CTranslate2 model: expected {name!r} with at most {_MAX_RANK} axes, got {rank}")
    shape = tuple(reader.unsigned("I") for _ in range(rank))
    kind, size = reader.unsigned("B"), reader.unsigned("I")
    if 0 in shape:
        raise ModelError(f"damaged CTranslate2 model: expected {name!r} with values, got shape {shape}")
    if kind not in _TYPES:
        raise ModelError(f"damaged CTranslate2 model: expected {name!r} of a type from 0 to {max(_TYPES)}, got {kind}")
    dtype = _TYPES[kind]
    if size != math.prod(shape) * dtype.itemsize:
        raise ModelError(
            f"damaged CTranslate2 model: expected {math.prod(shape) * dtype.itemsize} bytes for {name!r} of shape "
            f"{shape}, got {size}"
        )
    raw: npt.NDArray[Any] = np.frombuffer(reader.take(size), dtype=dtype)
    values = (raw.astype(np.uint32) << 16).view(np.float32) if kind == _BFLOAT16 else raw.astype(np.float32)
    if not np.isfinite(values).all():
        raise ModelError(f"damaged CTranslate2 model: expected finite values in {name!r}, got NaN or infinity")
    return _Variable(values.reshape(shape), is_integer=kind in _INTEGERS)


def _dequantized(variables: Mapping[str, _Variable]) -> dict[str, npt.NDArray[np.float32]]:
    weights: dict[str, npt.NDArray[np.float32]] = {}
    known: dict[tuple[int, int], npt.NDArray[np.float32]] = {}
    scales = {name + _SCALE for name, variable in variables.items() if variable.is_integer}
    for name, variable in variables.items():
        scale = variables.get(name + _SCALE)
        if variable.is_integer and scale is not None:
            key = (id(variable), id(scale))
            if key not in known:  # an alias shares the array
                known[key] = _divided(name, variable.values, scale.values)
            weights[name] = known[key]
        elif name.endswith("/weight") and variable.is_integer:
            raise ModelError(f"damaged CTranslate2 model: {name!r} is quantised, but its scale is not in it")
        elif name not in scales:
            weights[name] = variable.values
    return weights


def _divided(name: str, values: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if scale.shape not in ((), (1,), values.shape[:1]) or not (scale > 0).all():
        raise ModelError(
            f"damaged CTranslate2 model: expected positive scales for {name!r}, one for all or one for each of "
            f"{values.shape[:1]} rows, got shape {scale.shape}"
        )
    with np.errstate(over="ignore"):
        divided: npt.NDArray[np.float32] = values / scale.reshape(-1, *[1] * (values.ndim - 1))
    if not np.isfinite(divided).all():
        raise ModelError(f"damaged CTranslate2 model: expected finite values in {name!r}, got a scale near 0")
    return divided
