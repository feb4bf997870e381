"""Headerless PCM and G.711 from pipes and sockets, in byte chunks of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio import g711
from gtcrn_frontend.audio.validation import INT16_SCALE, restore_type
from gtcrn_frontend.errors import AudioFormatError

PCM_FORMATS: dict[str, np.dtype[Any]] = {
    "s16le": np.dtype("<i2"),
    "f32le": np.dtype("<f4"),
    "mulaw": np.dtype("u1"),
    "alaw": np.dtype("u1"),
}
"""Sample formats, by their names in ffmpeg."""

BYTE_ENCODINGS = ("s16le", *g711.LAWS)
"""Those of `Enhancer.process_bytes`."""


def checked_bytes(data: Any, encoding: str) -> bytes:
    """Returns the bytes of a bytes-like object; raises `AudioFormatError` for others, and for unknown encodings."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise AudioFormatError(f"expected bytes, got {type(data).__name__}: pass samples to process_chunk")
    if encoding not in BYTE_ENCODINGS:
        raise AudioFormatError(f"encoding: expected one of {', '.join(BYTE_ENCODINGS)}, got {encoding!r}")
    return bytes(data)


def frame_bytes(pcm_format: str, channels: int) -> int:
    """Returns the size of one frame (one sample of each channel) in bytes."""
    return PCM_FORMATS[pcm_format].itemsize * channels


def whole_frames(data: bytes, pcm_format: str, channels: int) -> tuple[npt.NDArray[Any], bytes]:
    """Returns the complete frames in `data`, `(n,)` or `(n, channels)`, and the remaining bytes.

    Args:
        data: interleaved samples; prepend the remaining bytes of the previous call.
        pcm_format: one of `PCM_FORMATS`; the result is int16, from `f32le` float32.
        channels: 1 for the shape `(n,)`.
    """
    whole = len(data) - len(data) % frame_bytes(pcm_format, channels)
    dtype = PCM_FORMATS[pcm_format]
    samples = np.frombuffer(data[:whole], dtype).astype(dtype.newbyteorder("="), copy=False)
    if law := g711.law_of(pcm_format):
        samples = g711.decode_int16(samples, law)
    return samples if channels == 1 else samples.reshape(-1, channels), data[whole:]


def pcm_bytes(samples: npt.NDArray[Any], pcm_format: str) -> bytes:
    """Returns samples as interleaved PCM or G.711; conversion between formats preserves full scale.

    Args:
        samples: int16, float32 or float64, `(n,)` or `(n, channels)`.
        pcm_format: one of `PCM_FORMATS`.
    """
    dtype = PCM_FORMATS[pcm_format]
    if law := g711.law_of(pcm_format):
        encode = g711.encode_int16 if samples.dtype == np.int16 else g711.encode
        return encode(samples, law).tobytes()
    if samples.dtype == np.int16 and dtype.kind == "f":
        samples = samples / np.float32(INT16_SCALE)
    elif samples.dtype != np.int16 and dtype.kind == "i":
        samples = restore_type(samples, np.dtype(np.int16))
    return samples.astype(dtype, copy=False).tobytes()


def recoded(data: bytes, encoding: str, other: str) -> bytes:
    """Returns whole samples of one of `PCM_FORMATS` in another."""
    samples, _ = whole_frames(data, encoding, 1)
    return pcm_bytes(samples, other)
