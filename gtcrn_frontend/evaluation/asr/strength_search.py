"""Searches front-ends and strengths for the fewest recognition errors: listed strengths, or coarse to fine."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence

from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.asr_sanity import ADVICE, why_implausible
from gtcrn_frontend.evaluation.asr.auto_strength_fit import AutoStrengthFit
from gtcrn_frontend.evaluation.asr.decision import clean_change
from gtcrn_frontend.evaluation.asr.scores import MAX_FAILURES, Scores, score
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric, rate_difference
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.systems import RAW, at_full_strength

FIRST: tuple[Strength, ...] = (0.5, 1.0, "auto")
"""Strengths of the first round: where enhancement helps, adding back the input often helps more than full strength."""
FINER_STEPS = (0.25, 0.125)

_log = logging.getLogger(__name__)


def search_strengths(
    sweep: Sweep,
    front_ends: Sequence[EnhancerConfig],
    strengths: Sequence[Strength],
    metric: ErrorMetric,
    progress: Progress,
    fit: AutoStrengthFit | None = None,
) -> Scores:
    """Returns the errors without a front-end and behind every setting that was tried.

    Args:
        sweep: the recogniser and the items.
        front_ends: models and engines to try, at full strength.
        strengths: to try with each of them; if empty, the search goes from coarse to fine.
        metric: how errors are counted.
        progress: receives the rounds of the search.
        fit: parameters of strength `auto` that were fitted on other utterances, to be tried as well.

    Raises:
        ImportError: the package jiwer is not installed.
        ModelError: a model or the recogniser cannot be loaded, the recogniser fails on too many items without a
            front-end, or its text does not depend on the audio.
        ConfigError: the cache cannot be written to.
    """
    tried: list[EnhancerConfig] = []
    fitted = [fit.default, fit.setting] if fit else []
    at_most = 1 + (len(strengths) * len(front_ends) if strengths else max_settings(front_ends)) + len(fitted)

    def run(name: str, settings: Sequence[EnhancerConfig]) -> Scores:
        tried.extend(settings)
        progress.begin(name, sweep.missing(settings), (len(sweep.items) + len(sweep.others)) * (at_most - len(tried)))
        sweep.run(settings)
        scores = checked_scores(sweep, tried, metric)
        results = [sweep.recognitions[setting] for setting in tried]
        if reason := why_implausible(sweep.items, results, metric.normalisation):
            if tried != [RAW]:
                raise ModelError(f"{reason}, with and without front-end: {ADVICE}")
            _log.warning("%s, without front-end: if that is unexpected, %s", reason, ADVICE)
        return scores

    scores = run("no front-end", [RAW])
    if strengths:
        listed = [dataclasses.replace(front, strength=strength) for strength in strengths for front in front_ends]
        return run("strengths", _unique([*listed, *fitted]))
    scores = run("coarse", _unique([*first_round(front_ends), *fitted]))
    for step in FINER_STEPS:
        if settings := next_round(front_ends, step, scores):
            scores = run(f"steps of {step:g}", settings)
    return scores


def checked_scores(sweep: Sweep, settings: Sequence[EnhancerConfig], metric: ErrorMetric) -> Scores:
    """Returns the errors behind settings, `RAW` among them, of which a sweep has the results.

    Raises:
        ImportError: the package jiwer is not installed.
        ModelError: the recogniser failed on too many items without a front-end, or no item has all results.
    """
    scores = score(sweep.items, {setting: sweep.recognitions[setting] for setting in settings}, metric)
    if RAW in scores.counts and scores.items:
        return scores
    if not sweep.failures:
        raise ModelError(f"{sweep.name}: expected items to recognise, got none")
    raise ModelError(
        f"{sweep.name} failed on more than {MAX_FAILURES:.0%} of the items without front-end, or on each item behind "
        f"some setting; first on {sweep.failures[0]}"
    )


def first_round(front_ends: Sequence[EnhancerConfig]) -> list[EnhancerConfig]:
    """Returns the settings to begin with: each front-end at the first strengths."""
    return [dataclasses.replace(front, strength=strength) for strength in FIRST for front in front_ends]


def next_round(front_ends: Sequence[EnhancerConfig], step: float, scores: Scores) -> list[EnhancerConfig]:
    """Returns the neighbours of the best fixed strength of each front-end that is not significantly behind the best.

    Args:
        front_ends: at full strength.
        step: distance of the neighbours in strength.
        scores: of the settings tried so far.
    """
    best = {front: _best(scores, front) for front in front_ends}
    found = {front: setting for front, setting in best.items() if setting is not None}
    if not found:
        return []
    leader = min(found.values(), key=lambda setting: scores.total(setting).errors)
    return [
        neighbour
        for front, setting in sorted(found.items(), key=lambda pair: scores.total(pair[1]).errors)
        if not _is_worse(scores, setting, leader)
        for neighbour in _neighbours(setting, step)
        if neighbour not in scores.counts
    ]


def max_settings(front_ends: Sequence[EnhancerConfig]) -> int:
    """Returns the largest number of settings that a search tries."""
    return len(front_ends) * (len(FIRST) + 2 * len(FINER_STEPS))


def _best(scores: Scores, front: EnhancerConfig) -> EnhancerConfig | None:
    fixed = [s for s in scores.settings if not s.bypass and s.strength != "auto"]
    own = [s for s in fixed if at_full_strength(s) == at_full_strength(front)]
    return min(own, key=lambda setting: (_is_harmful(scores, setting), scores.total(setting).errors), default=None)


def _is_harmful(scores: Scores, setting: EnhancerConfig) -> bool:
    change = clean_change(scores, setting)
    return change is not None and change.low > 0


def _is_worse(scores: Scores, setting: EnhancerConfig, leader: EnhancerConfig) -> bool:
    return rate_difference(scores.of(leader), scores.of(setting)).low > 0


def _neighbours(setting: EnhancerConfig, step: float) -> Iterator[EnhancerConfig]:
    for strength in (setting.effective_strength - step, setting.effective_strength + step):
        if 0 < strength <= 1:
            yield dataclasses.replace(setting, strength=strength)


def _unique(settings: Sequence[EnhancerConfig]) -> list[EnhancerConfig]:
    return list(dict.fromkeys(settings))
