"""Which setting to use: the one with the fewest errors that does not make clean speech worse, if it helps at all.

Whoever tries many settings and keeps the best one is fooled by luck. So the best change is compared with the best that
luck alone would reach among as many settings, on the same utterances (a maximum statistic over the bootstrap, Westfall
and Young, "Resampling-Based Multiple Testing", 1993).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.bootstrap import CONFIDENCE, LEAST_UNITS, RESAMPLES
from gtcrn_frontend.evaluation.manifest import CLEAN
from gtcrn_frontend.evaluation.outputs import RAW, by_strength
from gtcrn_frontend.evaluation.scores import Scores
from gtcrn_frontend.evaluation.wer import Rate, error_rate, rate_difference

LEAST_UTTERANCES = LEAST_UNITS
RELEVANT = 0.10
"""The smallest relative change of the error rate that a user would care about."""
POWER_Z = 0.84
"""With so many more standard errors a true effect is found four times out of five."""

_LARGEST_ESTIMATE = 100_000


class Verdict(enum.Enum):
    """What the data say."""

    HELPS = "the front-end helps"
    NOTHING_HELPS = "nothing helps"
    TOO_LITTLE_DATA = "too little data"


@dataclass(frozen=True)
class Decision:
    """What to do, and why.

    Attributes:
        verdict: what the data say.
        setting: to be used; with bypass unless the front-end helps.
        candidate: the setting with the fewest errors among those that spare clean speech; None if all harm it.
        raw: error rate without front-end.
        rate: error rate of the candidate.
        change: of the rate, absolute, by the candidate, with an interval that allows for all settings tried.
        clean_change: of the rate on clean speech, by the candidate, 95 % interval; None without such a condition.
        harmful: settings ruled out, as they make clean speech worse.
        utterances: that were judged.
        utterances_needed: an estimate of how many would do; None where they do, or none would.
    """

    verdict: Verdict
    setting: EnhancerConfig
    candidate: EnhancerConfig | None
    raw: Rate
    rate: Rate
    change: Rate
    clean_change: Rate | None
    harmful: tuple[EnhancerConfig, ...]
    utterances: int
    utterances_needed: int | None


def decide(scores: Scores, seed: int = 0) -> Decision:
    """Returns which setting to use.

    Args:
        scores: with `RAW` among the settings.
        seed: of the bootstrap.

    Raises:
        ValueError: `RAW` has no scores.
    """
    if RAW not in scores.counts:
        raise ValueError("expected errors without front-end, to compare with")
    tried = [setting for setting in scores.settings if not setting.bypass]
    clean_changes = {setting: change for setting in tried if (change := clean_change(scores, setting))}
    harmful = tuple(setting for setting, change in clean_changes.items() if change.low > 0)
    allowed = [setting for setting in tried if setting not in harmful]
    raw_counts = scores.of(RAW)
    raw, n = error_rate(raw_counts, seed), len(raw_counts)
    if not allowed:
        nothing = Rate(math.nan, math.nan, math.nan)
        verdict = Verdict.TOO_LITTLE_DATA if n < LEAST_UTTERANCES else Verdict.NOTHING_HELPS
        needed = LEAST_UTTERANCES if n < LEAST_UTTERANCES else None
        return Decision(verdict, RAW, None, raw, nothing, nothing, None, harmful, n, needed)
    # Of equals, the one that changes the signal least.
    candidate = min(allowed, key=lambda s: (_errors(scores, s), by_strength(s)))
    change, critical = _best_of_all(scores, candidate, tried, seed)
    verdict = _verdict(change, raw, n)
    return Decision(
        verdict,
        candidate if verdict is Verdict.HELPS else RAW,
        candidate,
        raw,
        error_rate(scores.of(candidate), seed),
        change,
        clean_changes.get(candidate),
        harmful,
        n,
        _needed(change, critical, raw, n) if verdict is Verdict.TOO_LITTLE_DATA else None,
    )


def clean_change(scores: Scores, setting: EnhancerConfig) -> Rate | None:
    """Returns by how much a setting changes the error rate of clean speech; None without that condition."""
    if CLEAN not in scores.conditions:
        return None
    return rate_difference(scores.of(RAW, CLEAN), scores.of(setting, CLEAN))


def _errors(scores: Scores, setting: EnhancerConfig) -> int:
    return sum(count.errors for count in scores.counts[setting])


def _verdict(change: Rate, raw: Rate, n: int) -> Verdict:
    if raw.value == 0 and n >= LEAST_UTTERANCES:  # no errors that could go away
        return Verdict.NOTHING_HELPS
    if n < LEAST_UTTERANCES:
        return Verdict.TOO_LITTLE_DATA
    if change.high < 0:
        return Verdict.HELPS
    return Verdict.NOTHING_HELPS if change.low > -RELEVANT * raw.value else Verdict.TOO_LITTLE_DATA


def _best_of_all(
    scores: Scores, candidate: EnhancerConfig, tried: Sequence[EnhancerConfig], seed: int
) -> tuple[Rate, float]:
    """The candidate's change of rate with an interval that holds for the best of all tried, and its z value."""
    before = scores.of(RAW)
    reference = np.array([count.reference for count in before], np.float64)
    errors = np.array([count.errors for count in before], np.float64)
    changes = np.array([[c.errors for c in scores.of(s)] for s in tried], np.float64) - errors  # (settings, utterances)
    n = len(reference)
    picks = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    totals = np.maximum(reference[picks].sum(axis=1), 1)
    drawn = np.stack([change[picks].sum(axis=1) for change in changes]) / totals  # (settings, resamples)
    values: npt.NDArray[np.float64] = changes.sum(axis=1) / max(reference.sum(), 1)
    spread = drawn.std(axis=1)
    moving = spread > 0
    i = list(tried).index(candidate)
    if not moving[i]:
        return Rate(float(values[i]), float(values[i]), float(values[i])), 0.0
    luck = ((drawn[moving] - values[moving, None]) / spread[moving, None]).min(axis=0)
    critical = float(-np.quantile(luck, (1 - CONFIDENCE) / 2))
    half = critical * float(spread[i])
    return Rate(float(values[i]), float(values[i]) - half, float(values[i]) + half), critical


def _needed(change: Rate, critical: float, raw: Rate, n: int) -> int | None:
    """How many utterances would show what these hint at, or else a change that matters, four times out of five."""
    if not critical:
        return max(LEAST_UTTERANCES, n + 1)
    error = (change.high - change.value) / critical
    effect = max(-change.value, RELEVANT * raw.value)
    if effect <= 0:
        return None
    needed = math.ceil(n * ((critical + POWER_Z) * error / effect) ** 2)
    return min(max(needed, LEAST_UTTERANCES, n + 1), _LARGEST_ESTIMATE)
