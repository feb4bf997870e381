"""Coarse to fine: which strengths to try next, the most promising first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.evaluation.asr.decision import clean_change
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.wer import rate_difference
from gtcrn_frontend.evaluation.systems import at_full_strength

FIRST: tuple[Strength, ...] = (0.5, 1.0, "auto")
"""Half strength first: where enhancement helps at all, adding the input back mostly helps more than full strength."""
FINER_STEPS = (0.25, 0.125)


def first_round(fronts: Sequence[EnhancerConfig]) -> list[EnhancerConfig]:
    """Returns the settings to begin with: each front-end at the first strengths."""
    return [dataclasses.replace(front, strength=strength) for strength in FIRST for front in fronts]


def next_round(fronts: Sequence[EnhancerConfig], step: float, scores: Scores) -> list[EnhancerConfig]:
    """Returns the neighbours of the best fixed strength of each front-end that may still win, at a distance of `step`.

    Args:
        fronts: front-ends at full strength.
        step: of the strength.
        scores: of what has been tried.
    """
    best = {front: _best(scores, front) for front in fronts}
    found = {front: setting for front, setting in best.items() if setting is not None}
    if not found:
        return []
    leader = min(found.values(), key=lambda setting: _errors(scores, setting))
    return [
        neighbour
        for front, setting in sorted(found.items(), key=lambda pair: _errors(scores, pair[1]))
        if not _is_beaten(scores, setting, leader)
        for neighbour in _neighbours(setting, step)
        if neighbour not in scores.counts
    ]


def settings_at_most(fronts: Sequence[EnhancerConfig]) -> int:
    """Returns how many settings a search tries at most."""
    return len(fronts) * (len(FIRST) + 2 * len(FINER_STEPS))


def _best(scores: Scores, front: EnhancerConfig) -> EnhancerConfig | None:
    fixed = [s for s in scores.settings if not s.bypass and s.strength != "auto"]
    own = [s for s in fixed if at_full_strength(s) == at_full_strength(front)]
    return min(own, key=lambda setting: (_is_harmful(scores, setting), _errors(scores, setting)), default=None)


def _is_harmful(scores: Scores, setting: EnhancerConfig) -> bool:
    change = clean_change(scores, setting)
    return change is not None and change.low > 0


def _errors(scores: Scores, setting: EnhancerConfig) -> int:
    return sum(count.errors for count in scores.counts[setting])


def _is_beaten(scores: Scores, setting: EnhancerConfig, leader: EnhancerConfig) -> bool:
    return rate_difference(scores.of(leader), scores.of(setting)).low > 0


def _neighbours(setting: EnhancerConfig, step: float) -> Iterator[EnhancerConfig]:
    for strength in (setting.effective_strength - step, setting.effective_strength + step):
        if 0 < strength <= 1:
            yield dataclasses.replace(setting, strength=strength)
