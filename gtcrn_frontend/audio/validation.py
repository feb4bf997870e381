"""Validation of chunks: shape, type and range of samples."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import AudioFormatError, StateError

MAX_AMPLITUDE = 8.0
"""Full scale is 1; more than 18 dB above is a mistake in units."""
INT16_SCALE = 32768.0

_FLOAT32, _FLOAT64, _INT16 = DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int16))
_MAX_ENERGY_IN_RANGE = MAX_AMPLITUDE**2


def check_chunk(chunk: Any, channels: int = 1) -> tuple[F32, np.dtype[Any]]:
    """Returns the samples as float32 with full scale 1 in their shape, and their original type.

    Args:
        chunk: `(n,)` for one channel, else `(n, channels)`, n >= 0: float32 or float64 in [-1, 1] (up to +-8 is
            accepted), or int16.
        channels: expected number of channels.

    Raises:
        AudioFormatError: wrong shape or type, NaN, infinity, or floats beyond +-8.
    """
    try:
        samples = np.asarray(chunk)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of different lengths; tensors that require gradients
        raise AudioFormatError(
            f"expected samples that numpy can convert to an array, got {type(chunk).__name__}: {error}"
        ) from error
    dtype = samples.dtype
    if dtype not in DTYPES:
        raise AudioFormatError(_type_message(chunk, samples))
    if samples.shape[1:] != (() if channels == 1 else (channels,)) or samples.ndim == 0:
        raise AudioFormatError(_shape_message(samples.shape, channels))
    if dtype == _INT16:
        return samples.astype(np.float32) / np.float32(INT16_SCALE), dtype
    checked = samples if dtype == _FLOAT32 else _to_float32(samples)
    flat = checked if channels == 1 else checked.reshape(-1)
    # One pass without a temporary: if the sum of squares is small, so is each sample, and none is NaN. Unlike dot, vdot
    # does not warn about infinity, so errstate is not needed.
    if (
        not np.vdot(flat, flat) <= _MAX_ENERGY_IN_RANGE
        and not -MAX_AMPLITUDE <= flat.min() <= flat.max() <= MAX_AMPLITUDE
    ):
        _check_range(flat)
    return checked, dtype


def restore_type(samples: F32, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Returns samples in the type of the input; int16 is rounded and clipped to its range."""
    if dtype == _FLOAT32:
        return samples
    if dtype == _INT16:
        rounded = np.rint(samples * np.float32(INT16_SCALE))
        return np.asarray(np.clip(rounded, -INT16_SCALE, INT16_SCALE - 1), np.int16)
    return samples.astype(dtype)


def check_magnitude(array: npt.NDArray[Any], limit: float, name: str) -> None:
    """Raises `StateError` if an array of a saved state holds NaN, infinity, or a magnitude beyond a limit."""
    if array.size and not -limit <= array.min() <= array.max() <= limit:  # nor if one of them is NaN
        got = f"{array.min():g} to {array.max():g}"
        raise StateError(f"{name}: expected finite values from {-limit:g} to {limit:g}, got {got}")


def _to_float32(samples: npt.NDArray[np.float64]) -> F32:
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are rejected
        return samples.astype(np.float32)


def _type_message(chunk: Any, samples: npt.NDArray[Any]) -> str:
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return "expected an array of samples, got bytes: process_bytes takes 16-bit PCM"
    if chunk is None or isinstance(chunk, (str, os.PathLike)):
        return f"expected an array of samples, got {type(chunk).__name__}: enhance_file reads files"
    return f"expected samples of type float32, float64 or int16, got {samples.dtype}: convert them"


def _shape_message(shape: tuple[int, ...], channels: int) -> str:
    expected = "mono samples of shape (n,)" if channels == 1 else f"samples of shape (n, {channels})"
    message = f"expected {expected}, got shape {shape}"
    if len(shape) == 2 and shape[0] == channels != shape[1]:
        return f"{message}: channels come last, transpose them"
    if len(shape) == 2 and shape[1] == 1:
        return f"{message}: pass chunk[:, 0]"
    if len(shape) == 2:
        return f"{message}: set channels={shape[1]}, or pass one channel"
    return message


def _check_range(samples: F32) -> None:
    bad = np.flatnonzero(~np.isfinite(samples))
    if bad.size:
        raise AudioFormatError(f"expected finite samples, got {samples[bad[0]]} at index {bad[0]} ({bad.size} in all)")
    peak = float(np.abs(samples).max())
    if peak > MAX_AMPLITUDE:
        raise AudioFormatError(
            f"expected floats in [-1, 1], got {peak:g}: looks like int16 values as float: divide by {INT16_SCALE:g}"
        )
