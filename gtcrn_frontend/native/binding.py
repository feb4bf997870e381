"""The C extension, if it was built, and what it runs on here."""

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
"""Environment variable that forces an instruction set, one of `instruction_sets()`; read when a model is loaded, and
when the filter between two rates is first made."""

ffi: Any = None
lib: Any = None
_import_error = ""

try:
    from gtcrn_frontend.native._native import ffi, lib  # type: ignore[import-not-found,no-redef,unused-ignore]
except ImportError as error:
    _import_error = str(error)


def _built_elsewhere() -> Path | None:
    """The installed package, with the extension, that a checkout without it comes before on Python's path."""
    package, here = Path(__file__).parents[1], Path(__file__).parents[2]
    if (package / "models").is_dir():  # an installation, see `gtcrn_frontend/__init__.py`
        return None
    for entry in map(Path, sys.path):
        if entry.resolve() != here and any((entry / "gtcrn_frontend/native").glob("_native.*")):
            return entry / "gtcrn_frontend"
    return None


_built = _built_elsewhere() if lib is None else None
if _built is not None:
    _import_error = f"Python was started in {Path(__file__).parents[2]} and runs the sources there, not {_built}"
    logging.getLogger(__name__).warning("no native engine, a tenth of the speed: %s", _import_error)


FLOATS = ffi and ffi.typeof("float[]")  # looked up once: each call of `from_buffer` would parse it
DOUBLES = ffi and ffi.typeof("double[]")
_FLOAT32 = np.dtype(np.float32)


def for_c(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns samples in float32 as C can read them, themselves or a copy."""
    flags = samples.flags
    if flags.c_contiguous and flags.aligned and samples.dtype == _FLOAT32:
        return samples
    return np.require(samples, np.float32, ["C", "A"])


def raise_for(status: int) -> None:
    """Raises `StreamBusyError` if a function in C says that it did nothing: a stream was in use, or had moved on."""
    if status:
        raise StreamBusyError()


def instruction_sets() -> tuple[str, ...]:
    """Returns the names of the instruction sets that this build has and this machine runs, fastest first."""
    names: list[str] = []
    while lib is not None and (name := lib.gtcrn_isa(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return tuple(names)


def why_absent() -> str | None:
    """Returns why the native engine cannot run here and what to do, or None if it can."""
    if _built is not None:
        return f"{_import_error}: start it elsewhere, or pip install -e . builds the extension in the sources"
    if lib is None:
        return (
            f"its C extension is not installed ({_import_error}): install gcc or clang and Python's headers, then "
            "pip install --force-reinstall --no-deps --no-cache-dir gtcrn-frontend (in a checkout: .)"
        )
    if not instruction_sets():
        return "the processor is older than x86-64-v2: use engine='onnx'"
    return None


def chosen_instruction_set() -> str:
    """Returns the fastest instruction set, or the one that the environment variable `ISA_VARIABLE` forces.

    Raises:
        ModelError: the forced one is not present.
    """
    present = instruction_sets()
    forced = os.environ.get(ISA_VARIABLE)
    if forced and forced not in present:
        raise ModelError(f"expected {ISA_VARIABLE} out of {present}, got {forced!r}: unset it for the fastest")
    return forced or present[0]
