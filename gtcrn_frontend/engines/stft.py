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
from gtcrn_frontend.model_spec import WINDOWS, ModelSpec

C64 = npt.NDArray[np.complex64]


def window(spec: ModelSpec) -> F32:
    """Returns the analysis window, `(win_length,) float32`, read-only.

    `hann` is the periodic Hann window, `hann_sqrt` its square root.
    """
    return _windows(spec.window, spec.win_length)[0]


def synthesis_window(spec: ModelSpec) -> F32:
    """Returns the synthesis window at 50 % overlap, `(win_length,) float32`, read-only.

    It is the analysis window divided by the sum of the squared analysis windows that overlap, as in `torch.istft`, so
    that analysis followed by synthesis is the identity. For `hann_sqrt` that sum is one and both windows are the same.
    """
    return _windows(spec.window, spec.win_length)[1]


@lru_cache
def _windows(name: str, length: int) -> tuple[F32, F32]:
    if name not in WINDOWS:
        raise ConfigError(f"expected a window out of {', '.join(WINDOWS)}, got {name!r}")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    values = hann if name == "hann" else np.sqrt(hann)
    overlapping = values**2 + np.roll(values**2, length // 2) if name == "hann" else 1.0
    analysis, synthesis = values.astype(np.float32), (values / overlapping).astype(np.float32)
    for array in (analysis, synthesis):
        array.setflags(write=False)
    return analysis, synthesis


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
    frames *= synthesis_window(spec)
    samples = np.empty((streams, n_hops, hop), np.float32)
    # 50 % overlap (GTCRN and similar): a hop is the second half of one frame plus the first half of the next.
    np.add(frames[:, 0, :hop], tail, out=samples[:, 0])
    if n_hops > 1:
        np.add(frames[:, 1:, :hop], frames[:, :-1, hop:], out=samples[:, 1:])
    return samples, frames[:, -1, hop : hop + overlap]
