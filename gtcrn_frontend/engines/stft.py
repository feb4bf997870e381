"""Streaming STFT and inverse STFT by overlap-add, batched over streams.

Frame t covers the `win_length` samples that end with hop t. The inverse of frame t completes the hop that starts
`win_length - hop_length` samples earlier, which is the delay of analysis plus synthesis.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.model_spec import ModelSpec

C64 = npt.NDArray[np.complex64]


def window(spec: ModelSpec) -> F32:
    """Returns the analysis and synthesis window, `(win_length,) float32`, read-only.

    `hann_sqrt` is the square root of the periodic Hann window: its square adds up to one at 50 % overlap, so that
        analysis followed by synthesis is the identity.
    """
    return _window(spec.window, spec.win_length)


@lru_cache
def _window(name: str, length: int) -> F32:
    if name != "hann_sqrt":
        raise ConfigError(f"expected the window hann_sqrt, got {name!r}")
    phase = 2 * np.pi * np.arange(length) / length
    values = np.sqrt(0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    values.setflags(write=False)
    return values


def analyse(spec: ModelSpec, hops: F32, past: F32) -> tuple[C64, F32]:
    """Returns the spectra of the next frames, and the new `past`.

    Args:
        hops: `(streams, n_hops, hop_length)`, n_hops >= 1.
        past: the last `(streams, win_length - hop_length)` samples before.

    Returns:
        `(streams, n_hops, n_bins)`, and `past` for the next call.
    """
    streams, n_hops, hop = hops.shape
    samples = np.concatenate([past, hops.reshape(streams, n_hops * hop)], axis=1)
    # Overlapping frames without a copy: as_strided in a tenth of its time.
    step = samples.itemsize
    strides = (samples.strides[0], hop * step, step)
    frames: F32 = np.ndarray((streams, n_hops, spec.win_length), samples.dtype, samples, strides=strides)
    # Single precision also with numpy 1, whose transforms return double.
    spectra = np.fft.rfft(frames * window(spec), n=spec.n_fft).astype(np.complex64, copy=False)
    return spectra, samples[:, n_hops * hop :]


def synthesise(spec: ModelSpec, spectra: C64, tail: F32) -> tuple[F32, F32]:
    """Returns the samples that the next frames complete, and the new `tail`.

    Args:
        spectra: `(streams, n_hops, n_bins)`, n_hops >= 1.
        tail: `(streams, win_length - hop_length)`, the contribution of earlier frames to the next samples.

    Returns:
        `(streams, n_hops, hop_length)`, and `tail` for the next call.
    """
    streams, n_hops, _ = spectra.shape
    hop, overlap = spec.hop_length, spec.overlap
    frames = np.fft.irfft(spectra, n=spec.n_fft).astype(np.float32, copy=False)[..., : spec.win_length]
    frames *= window(spec)
    samples = np.empty((streams, n_hops, hop), np.float32)
    # 50 % overlap (GTCRN and similar): a hop is the second half of one frame plus the first half of the next.
    np.add(frames[:, 0, :hop], tail, out=samples[:, 0])
    if n_hops > 1:
        np.add(frames[:, 1:, :hop], frames[:, :-1, hop:], out=samples[:, 1:])
    return samples, frames[:, -1, hop : hop + overlap]
