"""Telephone channel: 8 kHz by the package's own resampler, narrow bands, G.711."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.signal

from gtcrn_frontend.audio import g711
from gtcrn_frontend.audio.resampler import resampled

Samples = npt.NDArray[np.float32]

RATE_HZ = 8_000
# Drawn uniformly; None is a recording at 8 kHz without a codec.
CODECS: tuple[g711.Law | None, ...] = (None, None, *g711.LAWS)
NARROW_PROB = 0.4  # the band of AMR and of analogue lines
HIGH_PASS_HZ = (150.0, 300.0)
LOW_PASS_HZ = (3300.0, 3600.0)
ORDER = 4


def telephone(rng: np.random.Generator, mixture: Samples, target: Samples, sample_rate: int) -> tuple[Samples, Samples]:
    """Returns mixture and target `(n,) float32` after a telephone line, back at their own rate.

    The target has the line's band, because the network should not synthesise what was cut off, but no quantisation.
    """
    pair = np.stack([resampled(signal, sample_rate, RATE_HZ) for signal in (mixture, target)])
    if rng.random() < NARROW_PROB:
        band = rng.uniform(*HIGH_PASS_HZ), rng.uniform(*LOW_PASS_HZ)
        sections = scipy.signal.butter(ORDER // 2, band, "bandpass", fs=RATE_HZ, output="sos")
        pair = scipy.signal.sosfilt(sections, pair).astype(np.float32)
    codec = CODECS[int(rng.integers(len(CODECS)))]
    if codec is not None:
        pair[0] = g711.decode(g711.encode(pair[0], codec), codec)
    mixture, target = (resampled(signal, RATE_HZ, sample_rate)[: len(mixture)] for signal in pair)
    return mixture, target
