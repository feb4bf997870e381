"""Fits the parameters of strength `auto` to recognisers by a bounded coordinate search on separate utterances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.asr_sanity import ADVICE, why_implausible
from gtcrn_frontend.evaluation.asr.decision import clean_change
from gtcrn_frontend.evaluation.asr.scores import MAX_FAILURES, Scores, add_up, score
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.systems import RAW

CANDIDATES: Mapping[str, tuple[float, ...]] = {
    "noisy_snr_db": (5.0, 10.0, 15.0, 20.0, 25.0),
    "clean_snr_db": (20.0, 30.0, 40.0),
    "max_strength": (0.7, 0.8, 0.9, 0.95, 0.98),
    "min_strength": (0.0, 0.3, 0.6),
    "caution": (0.0, 0.25, 0.5),
    "max_doubt": (0.4, 0.55, 2.0),
}
"""Values that are tried of each parameter, in the order of the search."""
ROUNDS = 2
MIN_UTTERANCES = 10
"""With fewer, the parameters would be fitted to chance."""

Cost = tuple[float, ...]
"""What the search minimises; the first entry counts most."""
Objective = Callable[[Sequence[AutoStrengthConfig]], Sequence[Cost]]

FAILED: Cost = (float("inf"), float("inf"))
"""The recogniser failed on too many items."""

_SMALLEST_RATE = 0.01  # added to both sides of a ratio, so that a rate of zero does not divide


@dataclass(frozen=True)
class AutoStrengthFit:
    """Fitted parameters of strength `auto`.

    Attributes:
        setting: a front-end with them, strength `auto`; with the default parameters if none better were found.
        utterances: number of utterances they were fitted on.
        recognizers: names of the recognisers they were fitted on.
    """

    setting: EnhancerConfig
    utterances: int
    recognizers: tuple[str, ...]

    @property
    def default(self) -> EnhancerConfig:
        """The same front-end with the default parameters."""
        return dataclasses.replace(self.setting, auto_strength=None)


def fit_auto_strength(
    sweeps: Sequence[Sweep], front_ends: Sequence[EnhancerConfig], metric: ErrorMetric, progress: Progress
) -> AutoStrengthFit:
    """Returns the parameters with the fewest errors, for the front-end that is best with the default ones.

    Args:
        sweeps: recognisers with the items to fit on, which must not be those that the decision is made on.
        front_ends: models and engines, at any strength.
        metric: how errors are counted.
        progress: receives the rounds of the search.

    Raises:
        ModelError: a model or a recogniser cannot be loaded, a recogniser fails on too many items, or its text does
            not depend on the audio.
        ConfigError: the cache cannot be written to.
    """
    items = sum(len(sweep.items) for sweep in sweeps)
    settings_left = len(front_ends) + max_settings()

    def costs_of(front_end: EnhancerConfig, configs: Sequence[AutoStrengthConfig]) -> list[Cost]:
        nonlocal settings_left
        settings = [_with_auto_strength(front_end, config) for config in configs]
        settings_left -= len(settings)
        missing = sum(sweep.missing([RAW, *settings]) for sweep in sweeps)
        progress.begin("fitting strength auto", missing, items * settings_left)
        return costs(sweeps, settings, metric)

    first = {front_end: costs_of(front_end, [AutoStrengthConfig()])[0] for front_end in front_ends}
    if any(cost == FAILED for cost in first.values()):
        failure = next(failure for sweep in sweeps for failure in sweep.failures)
        raise ModelError(f"a recogniser failed on more than {MAX_FAILURES:.0%} of the items, first on {failure}")
    for sweep in sweeps:
        if reason := why_implausible(sweep.items, sweep.recognitions.values(), metric.normalisation):
            raise ModelError(f"{sweep.name}: {reason}: {ADVICE}")
    front_end = min(first, key=lambda front_end: first[front_end])
    best, _ = search(lambda configs: costs_of(front_end, configs))
    audio = {item.utterance.audio_id for item in sweeps[0].items}
    return AutoStrengthFit(_with_auto_strength(front_end, best), len(audio), tuple(sweep.name for sweep in sweeps))


def search(
    objective: Objective,
    candidates: Mapping[str, Sequence[float]] = CANDIDATES,
    rounds: int = ROUNDS,
    begin: AutoStrengthConfig | None = None,
) -> tuple[AutoStrengthConfig, dict[AutoStrengthConfig, Cost]]:
    """Returns the best parameters and the cost of all that were tried; of equally good ones, those tried first.

    Args:
        objective: returns the cost of each set of parameters of a call; it is asked once for each set.
        candidates: values to try of each parameter, one parameter after the other.
        rounds: passes over all parameters at most; the search ends after a pass without improvement.
        begin: parameters to begin with; None for the defaults.
    """
    best = begin or AutoStrengthConfig()
    known = dict(zip([best], objective([best]), strict=True))
    for _ in range(rounds):
        before = best
        for name, values in candidates.items():
            tries = [other for value in values if (other := _changed(best, name, value)) and other not in known]
            known |= zip(tries, objective(tries), strict=True)
            best = min([best, *tries], key=lambda config: known[config])
        if best == before:
            break
    return best, known


def max_settings(candidates: Mapping[str, Sequence[float]] = CANDIDATES, rounds: int = ROUNDS) -> int:
    """Returns the largest number of parameter sets that a search tries."""
    return 1 + rounds * sum(map(len, candidates.values()))


def split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Returns the items of every other utterance, to fit on, and the remaining ones, to decide on.

    Raises:
        ModelError: there are too few utterances for that.
    """
    audio = dict.fromkeys(item.utterance.audio_id for item in items)
    if len(audio) < 2 * MIN_UTTERANCES:
        raise ModelError(
            f"fitting strength auto: expected at least {2 * MIN_UTTERANCES} utterances, half to fit on and half to "
            f"decide on, got {len(audio)}"
        )
    to_fit = set(list(audio)[::2])
    parts: tuple[list[Item], list[Item]] = ([], [])
    for item in items:
        parts[item.utterance.audio_id not in to_fit].append(item)
    return parts


def costs(sweeps: Sequence[Sweep], settings: Sequence[EnhancerConfig], metric: ErrorMetric) -> list[Cost]:
    """Returns the cost of each setting: first in how many sweeps clean speech gets significantly worse, then errors.

    Errors are relative to those without a front-end, averaged over recognisers and conditions, so that none dominates
    because of its higher error rate.
    """
    found = []
    for sweep in sweeps:
        sweep.run([RAW, *settings])
        recognitions = {setting: sweep.recognitions[setting] for setting in (RAW, *settings)}
        found.append(score(sweep.items, recognitions, metric))
    return [_cost(found, setting) for setting in settings]


def _cost(found: Sequence[Scores], setting: EnhancerConfig) -> Cost:
    if any(setting not in scores.counts or RAW not in scores.counts for scores in found):
        return FAILED
    changes = [clean_change(scores, setting) for scores in found]
    harmful = sum(change is not None and change.low > 0 for change in changes)
    ratios = [
        (_rate(scores, setting, condition) + _SMALLEST_RATE) / (_rate(scores, RAW, condition) + _SMALLEST_RATE)
        for scores in found
        for condition in scores.conditions
    ]
    return (harmful, float(np.mean(ratios)))


def _rate(scores: Scores, setting: EnhancerConfig, condition: str) -> float:
    total = add_up(scores.of(setting, condition))
    return total.errors / max(total.reference, 1)


def _with_auto_strength(front_end: EnhancerConfig, config: AutoStrengthConfig) -> EnhancerConfig:
    return dataclasses.replace(
        front_end,
        strength="auto",
        max_attenuation_db=None,
        auto_strength=None if config == AutoStrengthConfig() else config,
    )


def _changed(config: AutoStrengthConfig, name: str, value: float) -> AutoStrengthConfig | None:
    """The parameters with another value of one; None if that is the same value or contradicts the others."""
    values = dataclasses.asdict(config) | {name: value}
    is_valid = values["noisy_snr_db"] < values["clean_snr_db"] and values["min_strength"] <= values["max_strength"]
    return AutoStrengthConfig(**values) if is_valid and values != dataclasses.asdict(config) else None
