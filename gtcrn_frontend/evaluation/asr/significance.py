"""Changes of an error rate by several settings, with confidence intervals that hold for all of them at once.

The best of many settings looks good by chance alone. Each change is therefore compared with the largest change that
chance produces among as many settings on the same utterances (a maximum statistic over the bootstrap; Westfall and
Young, "Resampling-Based Multiple Testing", 1993).

A bootstrap only resamples what was observed: a setting that changed nothing in 50 utterances has no spread, although
it may help in one utterance out of 20. The end of the interval towards fewer errors therefore allows for as many
unobserved improvements as chance may have hidden, by the upper end of Wilson's interval (1927) for their share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, Rate
from gtcrn_frontend.evaluation.bootstrap import CONFIDENCE, RESAMPLES

NORMAL_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """Change of the error rate by one setting.

    Attributes:
        rate: absolute change; the interval is corrected for the number of settings.
        spread: standard error of the change, as observed.
        size: errors by which an utterance changes, if it changes; root mean square.
        critical: half the width of the interval, in standard errors.
    """

    rate: Rate
    spread: float
    size: float
    critical: float


def changes_of_all(
    before: Sequence[ErrorCounts], after: Sequence[Sequence[ErrorCounts]], seed: int = 0
) -> list[Change]:
    """Returns the change by each setting.

    Args:
        before: errors without a front-end, one entry per utterance.
        after: errors of each setting on the same utterances.
        seed: of the bootstrap.
    """
    reference = np.array([count.reference for count in before], np.float64)
    errors = np.array([count.errors for count in before], np.float64)
    changes = np.array([[count.errors for count in counts] for counts in after], np.float64) - errors
    n, words = len(reference), max(float(reference.sum()), 1.0)
    picks = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    totals = np.maximum(reference[picks].sum(axis=1), 1)
    drawn = np.stack([change[picks].sum(axis=1) for change in changes]) / totals  # (settings, resamples)
    values, spreads = changes.sum(axis=1) / words, drawn.std(axis=1)
    critical = _critical(drawn, values, spreads)
    return [
        _change(change, errors, words, float(value), float(spread), critical)
        for change, value, spread in zip(changes, values, spreads, strict=True)
    ]


def _critical(drawn: F64, values: F64, spreads: F64) -> float:
    """Upper bound of the largest improvement by chance alone, in standard errors."""
    moving = spreads > 0
    if not moving.any():
        return NORMAL_Z
    by_chance = ((drawn[moving] - values[moving, None]) / spreads[moving, None]).min(axis=0)
    # If few utterances got worse and none better, the resamples contain no chance improvement at all.
    return max(NORMAL_Z, float(-np.quantile(by_chance, (1 - CONFIDENCE) / 2)))


def _change(change: F64, errors: F64, words: float, value: float, spread: float, critical: float) -> Change:
    # An utterance that was not observed to change may change by all of its errors: one such utterance is added.
    moved, wrong = change[change != 0], errors[errors > 0]
    at_most = float(np.square(wrong).mean()) if wrong.size else 1.0
    square = (float(np.square(moved).sum()) + at_most) / (moved.size + 1)
    hidden = _most_hidden(int((change < 0).sum()), len(change), critical)
    widened = critical * math.hypot(spread, math.sqrt(hidden * square) / words)
    # The other end decides whether the setting helps. Under the null hypothesis utterances get better and worse alike,
    # so that the observed spread is the right one, unless no change was observed.
    other = critical * spread if moved.size else widened
    return Change(Rate(value, value - widened, value + other), spread, math.sqrt(square), critical)


def _most_hidden(seen: int, n: int, z: float) -> float:
    """How many more of `n` utterances may improve than the `seen` ones, at confidence `z`."""
    share = seen / n
    middle = share + z**2 / (2 * n)
    upper = (middle + z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)
    return max(n * upper - seen, 0.0)  # rounding
