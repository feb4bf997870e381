"""Binding of the C extension (optional), and its instruction sets."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ModelError, StreamBusyError

ISA_VARIABLE = "GTCRN_FRONTEND_NATIVE_ISA"
"""Environment variable that forces an instruction set, one of `instruction_sets()`; read when a model is loaded or a
resampling filter is created."""

ffi: Any = None
lib: Any = None
_import_error = ""

try:
    from gtcrn_frontend.native._native import ffi, lib  # type: ignore[import-not-found,no-redef,unused-ignore]
except ImportError as error:
    _import_error = str(error)


def _built_elsewhere() -> Path | None:
    """Returns the installed package with the extension if a checkout without it shadows it on Python's path."""
    package, here = Path(__file__).parents[1], Path(__file__).parents[2]
    if (package / "models").is_dir():  # an installation, see `gtcrn_frontend/__init__.py`
        return None
    for entry in map(Path, sys.path):
        if entry.resolve() != here and any((entry / "gtcrn_frontend/native").glob("_native.*")):
            return entry / "gtcrn_frontend"
    return None


_built = _built_elsewhere() if lib is None else None
if _built is not None:
    _import_error = f"Python imported the sources in {Path(__file__).parents[2]} instead of {_built}"
    logging.getLogger(__name__).warning("no native engine, ONNX Runtime is 8 to 20 times slower: %s", _import_error)


FLOATS = ffi and ffi.typeof("float[]")  # parsed once instead of in each call of `from_buffer`
DOUBLES = ffi and ffi.typeof("double[]")
_FLOAT32 = np.dtype(np.float32)


def for_c(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns float32 samples in a layout for C, as a copy if necessary."""
    flags = samples.flags
    if flags.c_contiguous and flags.aligned and samples.dtype == _FLOAT32:
        return samples
    return np.require(samples, np.float32, ["C", "A"])


def raise_for(status: int) -> None:
    """Raises `StreamBusyError` if a function in C says that it did nothing: a stream was in use, or had moved on."""
    if status:
        raise StreamBusyError()


def instruction_sets() -> tuple[str, ...]:
    """Returns the instruction sets of this build that this machine supports, fastest first."""
    names: list[str] = []
    while lib is not None and (name := lib.gtcrn_isa(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return tuple(names)


def why_absent() -> str | None:
    """Returns why the native engine is not available and what to do; None if it is."""
    if _built is not None:
        return f"{_import_error}: start it elsewhere, or pip install -e . builds the extension in the sources"
    if lib is None:
        return (
            f"its C extension is not installed ({_import_error}): install gcc or clang and Python's headers, then "
            "pip install --force-reinstall --no-deps --no-cache-dir gtcrn-frontend (in a checkout: .)"
        )
    if not instruction_sets():
        return "the processor does not support x86-64-v2: use engine='onnx'"
    return None


def chosen_instruction_set() -> str:
    """Returns the fastest instruction set, or the one that the environment variable `ISA_VARIABLE` forces.

    Raises:
        ModelError: the forced one is not supported.
    """
    present = instruction_sets()
    forced = os.environ.get(ISA_VARIABLE)
    if forced and forced not in present:
        raise ModelError(f"expected {ISA_VARIABLE} out of {present}, got {forced!r}: unset it for the fastest")
    return forced or present[0]
