"""Raw PCM, as it comes through pipes and sockets: bytes without a header, in pieces that end anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.validation import INT16_SCALE, restore_type

PCM_FORMATS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
"""Sample formats by the names that ffmpeg and GStreamer know them by."""


def frame_bytes(pcm_format: str, channels: int) -> int:
    """Returns the bytes of one sample of all channels."""
    return PCM_FORMATS[pcm_format].itemsize * channels


def whole_frames(data: bytes, pcm_format: str, channels: int) -> tuple[npt.NDArray[Any], bytes]:
    """Returns the samples in `data`, `(n,)` or `(n, channels)`, and the bytes that are left over.

    Args:
        data: interleaved samples; put the bytes that were left over before the new ones.
        pcm_format: one of `PCM_FORMATS`: int16 or float32 comes out.
        channels: 1 for the shape `(n,)`.
    """
    whole = len(data) - len(data) % frame_bytes(pcm_format, channels)
    dtype = PCM_FORMATS[pcm_format]
    samples = np.frombuffer(data[:whole], dtype).astype(dtype.newbyteorder("="), copy=False)
    return samples if channels == 1 else samples.reshape(-1, channels), data[whole:]


def pcm_bytes(samples: npt.NDArray[Any], pcm_format: str) -> bytes:
    """Returns samples as interleaved PCM; between integers and floats, full scale stays full scale.

    Args:
        samples: int16, float32 or float64, `(n,)` or `(n, channels)`.
        pcm_format: one of `PCM_FORMATS`.
    """
    dtype = PCM_FORMATS[pcm_format]
    if samples.dtype == np.int16 and dtype.kind == "f":
        samples = samples / np.float32(INT16_SCALE)
    elif samples.dtype != np.int16 and dtype.kind == "i":
        samples = restore_type(samples, np.dtype(np.int16))
    return samples.astype(dtype, copy=False).tobytes()
