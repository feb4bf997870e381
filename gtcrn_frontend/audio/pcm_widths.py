"""Linear PCM of all widths that pipes, sockets and WAVE files carry, to float32 and back."""

from __future__ import annotations

import numpy as np

from gtcrn_frontend.audio.types import F32

_INTEGERS = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4}  # bytes per sample
WIDTHS = {"f32le": 4, **_INTEGERS}
"""Bytes per sample by the names of ffmpeg."""


def decode_linear(data: bytes, encoding: str, channels: int) -> tuple[F32, bytes]:
    """Returns the whole frames in `data` as float32 of full scale 1, `(n,)` or `(n, channels)`, and the bytes left."""
    size = WIDTHS[encoding] * channels
    whole = len(data) - len(data) % size
    raw = np.frombuffer(data, np.uint8, whole)
    samples: F32
    if encoding == "f32le":
        samples = raw.view("<f4").astype(np.float32)
    elif encoding == "u8":
        samples = ((raw - 128.0) / 128).astype(np.float32)
    elif encoding == "s24le":
        wide = np.zeros((whole // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        samples = (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    else:
        scale = 2.0 ** (8 * _INTEGERS[encoding] - 1)
        samples = (raw.view(f"<i{_INTEGERS[encoding]}") / scale).astype(np.float32)
    return samples if channels == 1 else samples.reshape(-1, channels), data[whole:]


def encode_linear(samples: F32, encoding: str) -> bytes:
    """Returns samples `(n,)` or `(n, channels)` of full scale 1 as interleaved PCM; louder ones are clipped."""
    if encoding == "f32le":
        return samples.astype("<f4", copy=False).tobytes()
    width = _INTEGERS[encoding]
    scale = 2.0 ** (8 * width - 1)
    levels = np.clip(np.rint(samples.astype(np.float64) * scale), -scale, scale - 1)
    if encoding == "u8":
        return (levels + 128).astype(np.uint8).tobytes()
    if encoding == "s24le":
        return np.ascontiguousarray(levels.reshape(-1)).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return levels.astype(f"<i{width}").tobytes()
