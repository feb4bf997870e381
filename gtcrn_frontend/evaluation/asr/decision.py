"""Which setting to use: the one with the fewest errors that does not make clean speech worse, if it helps at all."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.significance import Change, changes_of_all
from gtcrn_frontend.evaluation.asr.wer import Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.bootstrap import LEAST_UNITS
from gtcrn_frontend.evaluation.manifest import CLEAN
from gtcrn_frontend.evaluation.systems import RAW, by_strength

LEAST_UTTERANCES = LEAST_UNITS
RELEVANT = 0.10
"""The smallest relative change of the error rate that a user would care about."""
ERRORLESS_WORDS = 300
"""With no error in as many, the rate is below 1 % with 95 % confidence (rule of three): nothing is left to gain."""
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
    changes = dict(zip(tried, changes_of_all(raw_counts, [scores.of(setting) for setting in tried], seed), strict=True))
    # What has more errors here may still help by more than the candidate, if it was tried on too little.
    lowest = min(allowed, key=lambda s: changes[s].rate.low)
    best, words = changes[candidate], sum(count.reference for count in raw_counts)
    verdict = _verdict(best, changes[lowest].rate.low, raw, words, n)
    unclear = [best] if best.rate.value < 0 else [best, changes[lowest]]
    return Decision(
        verdict,
        candidate if verdict is Verdict.HELPS else RAW,
        candidate,
        raw,
        error_rate(scores.of(candidate), seed),
        best.rate,
        clean_changes.get(candidate),
        harmful,
        n,
        _needed(unclear, raw, words, n) if verdict is Verdict.TOO_LITTLE_DATA else None,
    )


def clean_change(scores: Scores, setting: EnhancerConfig) -> Rate | None:
    """Returns by how much a setting changes the error rate of clean speech; None without that condition."""
    if CLEAN not in scores.conditions:
        return None
    before, after = scores.of(RAW, CLEAN), scores.of(setting, CLEAN)
    change = rate_difference(before, after)
    # What changed in none of these utterances may change in others.
    return changes_of_all(before, [after])[0].rate if change.low == change.high else change


def _errors(scores: Scores, setting: EnhancerConfig) -> int:
    return sum(count.errors for count in scores.counts[setting])


def _verdict(change: Change, lowest: float, raw: Rate, words: int, n: int) -> Verdict:
    if n < LEAST_UTTERANCES:
        return Verdict.TOO_LITTLE_DATA
    if raw.value == 0:  # no errors that could go away; in few words that says little of others
        return Verdict.NOTHING_HELPS if words >= ERRORLESS_WORDS else Verdict.TOO_LITTLE_DATA
    if change.rate.high < 0:
        return Verdict.HELPS
    return Verdict.NOTHING_HELPS if lowest > -RELEVANT * raw.value else Verdict.TOO_LITTLE_DATA


def _needed(changes: Sequence[Change], raw: Rate, words: int, n: int) -> int | None:
    """How many utterances would show that the settings do what these hint at, four times out of five."""
    if not words:
        return None
    if raw.value == 0:
        needed = math.ceil(n * ERRORLESS_WORDS / words)
    else:
        needed = max(math.ceil(n * _times(change, raw, words)) for change in changes)
    return min(max(needed, LEAST_UTTERANCES, n + 1), _LARGEST_ESTIMATE)


def _times(change: Change, raw: Rate, words: int) -> float:
    """How many times the data would do for one setting: to show that it helps, or that it does not by what matters."""
    value = change.rate.value
    effect = max(-value, RELEVANT * raw.value + max(value, 0.0))
    # An effect that is made of changes of this size has at least this variance, even if these data show less.
    variance = max(change.spread**2, effect * change.size / words)
    return ((change.critical + POWER_Z) / effect) ** 2 * variance
