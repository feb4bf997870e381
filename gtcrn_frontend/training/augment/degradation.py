"""Speech that a narrow channel has damaged, for restoration: clipped, or with few bits per sample.

Source: the second task of WaveCRN (Hsieh et al., IEEE Signal Processing Letters 27, 2020), speech of two bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

CLIPPED_SHARE = 0.5
CLIP_LEVEL = (0.05, 0.5)  # of the peak
BITS = (2, 6)  # lowest and highest


def damage(rng: np.random.Generator, samples: Samples) -> Samples:
    """Returns the samples `(n,) float32` clipped at a random level, or rounded to a random number of bits."""
    peak = float(np.abs(samples).max(initial=0))
    if peak == 0:
        return samples
    if rng.random() < CLIPPED_SHARE:
        return clip(samples, peak * rng.uniform(*CLIP_LEVEL))
    return quantise(samples, int(rng.integers(BITS[0], BITS[1] + 1)), peak)


def clip(samples: Samples, level: float) -> Samples:
    """Returns the samples, none further from 0 than `level`."""
    return np.clip(samples, np.float32(-level), np.float32(level))


def quantise(samples: Samples, bits: int, peak: float) -> Samples:
    """Returns the samples rounded to evenly spaced values from -peak to peak, 0 among them: three values for 2 bits."""
    steps = np.float32((2 ** (bits - 1) - 1) / peak)
    return np.asarray(np.round(samples * steps) / steps, np.float32)
