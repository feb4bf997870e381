"""Reads checkpoints into numpy arrays: safetensors, and zip files written by `torch.save`.

A torch checkpoint is a pickle, which could execute code: it is read without Python's unpickler and without torch.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.parsing import parse_json
from gtcrn_frontend.weights.safe_unpickler import Tensor, read_pickle

Arrays = dict[str, npt.NDArray[Any]]

_STORAGE_DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),  # see `_of_bfloat16`
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_SAFETENSORS_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # see `_of_bfloat16`
    **{f"{sign}{bits}": np.dtype(f"<{sign.lower()}{bits // 8}") for sign in "IU" for bits in (8, 16, 32, 64)},
    "BOOL": np.dtype(np.bool_),
}
_STATE_DICT_KEYS = ("model", "state_dict", "model_state_dict", "generator")
_ZIP_MAGIC = b"PK\x03\x04"
# Far above any checkpoint of these networks; larger files are mistakes or attempts to exhaust the memory.
_MAX_BYTES = 1 << 30
_MAX_PICKLE_BYTES = 1 << 24
# Tensors may share storages, each as often as this on average: a small file must not take much memory.
_MAX_SHARING = 4
# Exceptions of zipfile on damaged archives; KeyError for a missing member, RuntimeError for an encrypted one.
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, KeyError, OSError, OverflowError, RuntimeError, ValueError)


def read_checkpoint(path: str | Path) -> Arrays:
    """Returns the state dict of a checkpoint file as arrays by parameter name.

    Args:
        path: a `.safetensors` file, or a file written by `torch.save` (with any suffix, such as `.tar`) that holds a
            state dict at the top level or under `model`, `state_dict`, `model_state_dict` or `generator`. bfloat16
            becomes float32.

    Raises:
        ModelError: the file is missing, damaged, of another format, or holds objects other than tensors.
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


def read_architecture(path: str | Path) -> str:
    """Returns the network's name in the metadata of a safetensors file, `architecture`; empty if there is none.

    The file must be one that `read_checkpoint` accepts.
    """
    data = Path(path).read_bytes()
    if data.startswith(_ZIP_MAGIC):
        return ""
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.get("__metadata__")  # the format allows null
    return str(metadata.get("architecture", "")) if isinstance(metadata, dict) else ""


def write_safetensors(path: str | Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Writes arrays to a safetensors file, with `metadata` as text by key; atomically, see `replaced_at_end`."""
    # Not np.ascontiguousarray, which turns a scalar into shape (1,), nor save_file, which creates private files (0600).
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_bytes(Path(path), safetensors.numpy.save(contiguous, metadata=dict(metadata)))


def _read_safetensors(data: bytes) -> Arrays:
    try:
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        return {name: _safetensor(tensor) for name, tensor in found}
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(
            "expected a safetensors file or one written by torch.save (torch 1.6 or later), "
            f"got neither, or a damaged one ({error})"
        ) from error


def _safetensor(tensor: Mapping[str, Any]) -> npt.NDArray[Any]:
    kind = tensor["dtype"]
    dtype = _SAFETENSORS_DTYPES.get(kind)
    if dtype is None:
        raise ModelError(f"expected tensors of {', '.join(_SAFETENSORS_DTYPES)}, got {kind}: save them as float32")
    array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    return _of_bfloat16(array) if kind == "BF16" else array


def _of_bfloat16(bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns bfloat16 values, given as uint16, as float32: bfloat16 is its upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _read_torch_zip(data: bytes) -> Arrays:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_archive(archive)
    except ModelError:
        raise
    except _ZIP_ERRORS as error:
        raise ModelError(f"damaged checkpoint ({type(error).__name__}: {error})") from error


def _read_archive(archive: zipfile.ZipFile) -> Arrays:
    members = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise ModelError("expected a checkpoint written by torch.save, got another zip file (compressed)")
    pickles = [info for info in members if info.filename.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise ModelError("expected a checkpoint written by torch.save, got another zip file (no data.pkl)")
    if pickles[0].file_size > _MAX_PICKLE_BYTES or sum(info.file_size for info in members) > _MAX_BYTES:
        raise ModelError(f"expected at most {_MAX_BYTES} bytes of tensors, the archive claims to hold more")
    prefix = pickles[0].filename.removesuffix("data.pkl")
    if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
        raise ModelError("expected a little-endian checkpoint, got a big-endian one: save it again")

    storages: dict[str, bytes] = {}  # tensors may share storages
    arrays: Arrays = {}
    total, most = 0, min(_MAX_BYTES, _MAX_SHARING * sum(info.file_size for info in members))
    for name, tensor in _state_dict_of(read_pickle(archive.read(pickles[0]))).items():
        key = tensor.storage.key
        if key not in storages:
            storages[key] = archive.read(f"{prefix}data/{key}")
        arrays[name] = _array(tensor, storages[key])
        total += arrays[name].nbytes
        if total > most:
            raise ModelError(f"expected at most {most} bytes of tensors, the tensors take more")
    return arrays


def _state_dict_of(loaded: object) -> dict[str, Tensor]:
    """Finds the state dict in the saved object."""
    if isinstance(loaded, dict):
        for key in _STATE_DICT_KEYS:
            if isinstance(loaded.get(key), dict):
                loaded = loaded[key]
                break
    if not isinstance(loaded, dict) or not loaded:
        got = "an empty one" if isinstance(loaded, dict) else type(loaded).__name__
        raise ModelError(f"expected a state dict, got {got}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(f"expected tensors by name, got {name!r}: {type(value).__name__}")
    return dict(loaded)


def _array(tensor: Tensor, values: bytes) -> npt.NDArray[Any]:
    """Returns a copy of the tensor's values; never reads outside of its storage."""
    storage = tensor.storage
    dtype = _STORAGE_DTYPES.get(storage.kind)
    if dtype is None:
        raise ModelError(f"expected tensors out of {sorted(_STORAGE_DTYPES)}, got {storage.kind}")
    if len(values) != storage.count * dtype.itemsize:
        raise ModelError(f"storage {storage.key!r}: expected {storage.count} values, got {len(values)} bytes")
    count = math.prod(tensor.size)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    if count > storage.count or (count > 0 and last >= storage.count):
        raise ModelError(f"tensor of shape {tensor.size} reaches beyond its storage of {storage.count} values")
    whole = np.frombuffer(values, dtype)
    strides = tuple(step * dtype.itemsize for step in tensor.stride)
    array = np.lib.stride_tricks.as_strided(whole[tensor.offset :], tensor.size, strides).copy()
    return _of_bfloat16(array) if storage.kind == "BFloat16Storage" else array
