"""Degradations for restoration training: clipped or coarsely quantised speech.

Source: the second task of WaveCRN (Hsieh et al., IEEE Signal Processing Letters 27, 2020), speech of two bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

CLIPPED_PROB = 0.5
CLIP_LEVEL = (0.05, 0.5)  # relative to the peak
BITS = (2, 6)  # lowest and highest


def damage(rng: np.random.Generator, samples: Samples) -> Samples:
    """Returns the samples `(n,) float32` clipped at a random level, or rounded to a random number of bits."""
    peak = float(np.abs(samples).max(initial=0))
    if peak == 0:
        return samples
    if rng.random() < CLIPPED_PROB:
        return clip(samples, peak * rng.uniform(*CLIP_LEVEL))
    return quantise(samples, int(rng.integers(BITS[0], BITS[1] + 1)), peak)


def clip(samples: Samples, level: float) -> Samples:
    """Returns the samples limited to [-level, level]."""
    return np.clip(samples, np.float32(-level), np.float32(level))


def quantise(samples: Samples, bits: int, peak: float) -> Samples:
    """Returns the samples rounded to evenly spaced values from -peak to peak, including 0: three values for 2 bits."""
    steps = np.float32((2 ** (bits - 1) - 1) / peak)
    return np.asarray(np.round(samples * steps) / steps, np.float32)
