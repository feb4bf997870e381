"""Percentile bootstrap: 95 % confidence intervals of a ratio of sums over independent units."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
CONFIDENCE = 0.95
MIN_UNITS = 10
"""With fewer units the intervals are too narrow to be trusted."""


def ratio_interval(numerators: npt.ArrayLike, denominators: npt.ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Returns both ends of the interval of sum(numerators) / sum(denominators).

    Args:
        numerators, denominators: `(n,)`, one of each per unit (an utterance, a group of signals), n > 0; units are
            resampled with both.
        seed: of the resampling; the same seed and number of units give the same resamples.
    """
    above, below = np.asarray(numerators), np.asarray(denominators)
    picks = np.random.default_rng(seed).integers(0, len(above), (RESAMPLES, len(above)))
    drawn = below[picks].sum(axis=1)
    ratios = above[picks].sum(axis=1) / np.where(drawn == 0, 1, drawn)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
