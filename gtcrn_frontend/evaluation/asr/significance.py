"""By how much several settings change an error rate, with intervals that hold for all of them at once.

Whoever tries many settings and keeps the best one is fooled by luck. So a change is compared with the largest that luck
alone would reach among as many settings, on the same utterances (a maximum statistic over the bootstrap, Westfall and
Young, "Resampling-Based Multiple Testing", 1993).

A bootstrap draws what was seen. A setting that changed nothing in 50 utterances has no spread there, and yet may help
one utterance in 20: as many go unseen by chance. So the end of the interval towards fewer errors allows for as many
improved utterances as chance may have hidden, by the upper end of Wilson's interval (1927) of their share.
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
    """What a setting does to the error rate.

    Attributes:
        rate: by how much it changes, absolute; the interval allows for all settings tried.
        spread: standard error of the change, as far as it was seen.
        size: errors by which an utterance changes, if it does; root mean square.
        critical: half of an interval over the standard error.
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
        before: errors without front-end, one for each utterance.
        after: for each setting, the errors of the same utterances.
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
    """What the largest of all improvements stays below by luck alone, in standard errors."""
    moving = spreads > 0
    if not moving.any():
        return NORMAL_Z
    luck = ((drawn[moving] - values[moving, None]) / spreads[moving, None]).min(axis=0)
    # Where few utterances became worse and none better, the bootstrap has no luck towards fewer errors at all.
    return max(NORMAL_Z, float(-np.quantile(luck, (1 - CONFIDENCE) / 2)))


def _change(change: F64, errors: F64, words: float, value: float, spread: float, critical: float) -> Change:
    # Where no utterance has changed, one that does may change by all the errors in it: by one more such utterance.
    moved, wrong = change[change != 0], errors[errors > 0]
    at_most = float(np.square(wrong).mean()) if wrong.size else 1.0
    square = (float(np.square(moved).sum()) + at_most) / (moved.size + 1)
    hidden = _most_hidden(int((change < 0).sum()), len(change), critical)
    widened = critical * math.hypot(spread, math.sqrt(hidden * square) / words)
    # The other end shows whether the setting helps. If it did not, utterances would become better and worse alike, so
    # that the spread seen is the right one; unless nothing was seen.
    other = critical * spread if moved.size else widened
    return Change(Rate(value, value - widened, value + other), spread, math.sqrt(square), critical)


def _most_hidden(seen: int, n: int, z: float) -> float:
    """How many more of `n` utterances may become better than did, by chance."""
    share = seen / n
    middle = share + z**2 / (2 * n)
    upper = (middle + z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)
    return max(n * upper - seen, 0.0)  # rounding
