"""Decides on the setting with the fewest errors that neither degrades clean speech nor adds hallucinated words."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.event_rates import EventRates
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.significance import Change, changes_of_all
from gtcrn_frontend.evaluation.asr.wer import Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.bootstrap import MIN_UNITS
from gtcrn_frontend.evaluation.channels import WITHOUT_NOISE
from gtcrn_frontend.evaluation.systems import RAW, by_strength

MIN_UTTERANCES = MIN_UNITS
RELEVANT = 0.10
"""The smallest relative change of the error rate that matters to a user."""
ERRORLESS_WORDS = 300
"""Without an error in as many words, the rate is below 1 % with 95 % confidence (rule of three)."""
POWER_Z = 0.84
"""Standard errors to be added for a statistical power of 80 %."""

_MAX_ESTIMATE = 100_000


class Verdict(enum.Enum):
    """Outcome of a calibration."""

    HELPS = "the front-end helps"
    NOTHING_HELPS = "nothing helps"
    TOO_LITTLE_DATA = "too little data"


@dataclass(frozen=True)
class Decision:
    """The setting to use, and the figures behind it.

    Attributes:
        verdict: outcome.
        setting: to be used; with bypass unless the front-end helps.
        candidate: setting with the fewest errors among those that neither degrade clean speech nor add hallucinated
            words; None if all do.
        raw: error rate without a front-end.
        rate: error rate of the candidate.
        change: absolute change of the rate by the candidate; the interval is corrected for the number of settings.
        clean_change: change of the rate on clean speech by the candidate; None if no condition is clean.
        harmful: settings that are ruled out because they degrade clean speech.
        utterances: number of utterances.
        utterances_needed: estimated number of utterances for a decision; None if there are enough, or no estimate.
        hallucinating: settings that are ruled out because they add hallucinated words where nobody speaks.
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
    hallucinating: tuple[EnhancerConfig, ...] = ()


def decide(scores: Scores, seed: int = 0, hallucinations: EventRates | None = None) -> Decision:
    """Returns which setting to use.

    Args:
        scores: with `RAW` among the settings.
        seed: of the bootstrap.
        hallucinations: words recognised where nobody speaks; None if that was not measured.

    Raises:
        ValueError: `RAW` has no scores.
    """
    if RAW not in scores.counts:
        raise ValueError("expected scores without front-end to compare with")
    tried = [setting for setting in scores.settings if not setting.bypass]
    clean_changes = {setting: change for setting in tried if (change := clean_change(scores, setting))}
    harmful = tuple(setting for setting, change in clean_changes.items() if change.low > 0)
    hallucinating = hallucinations.adding(tried) if hallucinations else ()
    allowed = [setting for setting in tried if setting not in (*harmful, *hallucinating)]
    raw_counts = scores.of(RAW)
    raw, n = error_rate(raw_counts, seed), len(raw_counts)
    if not allowed:
        nothing = Rate(math.nan, math.nan, math.nan)
        verdict = Verdict.TOO_LITTLE_DATA if n < MIN_UTTERANCES else Verdict.NOTHING_HELPS
        needed = MIN_UTTERANCES if n < MIN_UTTERANCES else None
        return Decision(verdict, RAW, None, raw, nothing, nothing, None, harmful, n, needed, hallucinating)
    # Of equally good settings, the one that changes the signal least.
    candidate = min(allowed, key=lambda s: (scores.total(s).errors, by_strength(s)))
    changes = dict(zip(tried, changes_of_all(raw_counts, [scores.of(setting) for setting in tried], seed), strict=True))
    # A setting with more errors here may still help by more than the candidate, if its interval is wide.
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
        hallucinating,
    )


def clean_change(scores: Scores, setting: EnhancerConfig) -> Rate | None:
    """Returns by how much a setting changes the error rate without noise, behind any channel; None without that."""
    clean = WITHOUT_NOISE & set(scores.conditions)
    if not clean:
        return None
    before, after = scores.of(RAW, clean), scores.of(setting, clean)
    change = rate_difference(before, after)
    # The bootstrap has no spread if nothing changed in these utterances, but others may change.
    return changes_of_all(before, [after])[0].rate if change.low == change.high else change


def _verdict(change: Change, lowest: float, raw: Rate, words: int, n: int) -> Verdict:
    if n < MIN_UTTERANCES:
        return Verdict.TOO_LITTLE_DATA
    if raw.value == 0:  # no errors to remove; few words do not show that there are none in others
        return Verdict.NOTHING_HELPS if words >= ERRORLESS_WORDS else Verdict.TOO_LITTLE_DATA
    if change.rate.high < 0:
        return Verdict.HELPS
    return Verdict.NOTHING_HELPS if lowest > -RELEVANT * raw.value else Verdict.TOO_LITTLE_DATA


def _needed(changes: Sequence[Change], raw: Rate, words: int, n: int) -> int | None:
    """Number of utterances that would show the present effect of the settings, with a power of 80 %."""
    if not words:
        return None
    if raw.value == 0:
        needed = math.ceil(n * ERRORLESS_WORDS / words)
    else:
        needed = max(math.ceil(n * _times(change, raw, words)) for change in changes)
    return min(max(needed, MIN_UTTERANCES, n + 1), _MAX_ESTIMATE)


def _times(change: Change, raw: Rate, words: int) -> float:
    """Factor on the data to show for one setting that it helps, or that it does not help by a relevant amount."""
    value = change.rate.value
    effect = max(-value, RELEVANT * raw.value + max(value, 0.0))
    # An effect made of changes of this size has at least this variance, even if these data show less.
    variance = max(change.spread**2, effect * change.size / words)
    return ((change.critical + POWER_Z) / effect) ** 2 * variance
