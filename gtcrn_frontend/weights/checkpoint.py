"""Reads checkpoints into plain arrays: safetensors, and the zip files written by `torch.save`.

A torch checkpoint is a pickle, and a pickle may run code. The unpickler here knows the four names that a
state dict needs and refuses every other; it needs no torch.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from gtcrn_frontend.errors import ModelError

Arrays = dict[str, npt.NDArray[Any]]

_STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_STATE_DICT_KEYS = ("model", "state_dict", "model_state_dict")
_ZIP_MAGIC = b"PK\x03\x04"
_MAX_BYTES = 1 << 30  # no checkpoint of these networks comes near; a larger file is a mistake


def read_checkpoint(path: str | Path) -> Arrays:
    """Returns the state dict of a checkpoint file as arrays by parameter name.

    Args:
        path: a `.safetensors` file, or a file written by `torch.save` (whatever its suffix, also `.tar`) that
            holds a state dict itself or under `model`, `state_dict` or `model_state_dict`.

    Raises:
        ModelError: the file is missing, damaged, of another kind, or holds more than tensors.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ModelError(f"{path}: expected a checkpoint of at most {_MAX_BYTES} bytes, got {size}")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    try:
        return _read_torch_zip(data) if data.startswith(_ZIP_MAGIC) else _read_safetensors(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def write_safetensors(path: str | Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Writes arrays as a safetensors file; `metadata` is free text by key."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(contiguous, str(path), metadata=dict(metadata))


def _read_safetensors(data: bytes) -> Arrays:
    try:
        return dict(safetensors.numpy.load(data))
    except safetensors.SafetensorError as error:
        raise ModelError(
            f"expected a safetensors file or a checkpoint written by torch.save, got neither, or a damaged one ({error})"
        ) from error


def _read_torch_zip(data: bytes) -> Arrays:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MAX_BYTES:
                raise ModelError(f"expected at most {_MAX_BYTES} bytes of tensors, the archive unpacks to more")
            pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
            if len(pickles) != 1:
                raise ModelError("expected a checkpoint written by torch.save, got another zip file (no data.pkl)")
            prefix = pickles[0].removesuffix("data.pkl")
            if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
                raise ModelError("expected a little-endian checkpoint, got a big-endian one: save it again")
            loaded = _StateDictUnpickler(archive, prefix).load()
    except ModelError:
        raise
    except Exception as error:  # a damaged pickle may raise anything, none of it is more than "damaged"
        raise ModelError(f"damaged checkpoint ({type(error).__name__}: {error})") from error
    return _state_dict_of(loaded)


def _state_dict_of(loaded: object) -> Arrays:
    """The mapping of names to arrays inside of what was saved."""
    if isinstance(loaded, dict):
        for key in _STATE_DICT_KEYS:
            if isinstance(loaded.get(key), dict):
                loaded = loaded[key]
                break
    if not isinstance(loaded, dict) or not loaded:
        raise ModelError(f"expected a state dict, got {type(loaded).__name__}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise ModelError(f"expected tensors by name, got {name!r}: {type(value).__name__}")
    return dict(loaded)


class _StateDictUnpickler(pickle.Unpickler):
    """Unpickles dictionaries of tensors, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{prefix}data.pkl")))
        self._archive = archive
        self._prefix = prefix

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise ModelError(f"refused: the checkpoint asks for {module}.{name}, which is no part of a plain state dict")

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        kind, dtype, key, _device, count = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
            raise ModelError(f"expected a tensor storage, got {kind!r}")
        storage = np.frombuffer(self._archive.read(f"{self._prefix}data/{key}"), dtype=dtype)
        if storage.size != count:
            raise ModelError(f"storage {key}: expected {count} values, got {storage.size}")
        return storage


def _rebuild_tensor(
    storage: npt.NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_unused: object
) -> npt.NDArray[Any]:
    """Stands in for torch's function of the same arguments; never reads outside of the storage."""
    if not isinstance(storage, np.ndarray) or len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ModelError("expected a tensor as torch saves it, got a malformed one")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > storage.size or (math.prod(size) > 0 and last >= storage.size):
        raise ModelError(f"tensor of shape {tuple(size)} reaches beyond its storage of {storage.size} values")
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()
