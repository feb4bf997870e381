"""Fits the guard's parameters: a bounded search by one parameter after the other, on whatever judges them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.asr_sanity import ADVICE, why_implausible
from gtcrn_frontend.evaluation.asr.calibrate import Counting, Progress
from gtcrn_frontend.evaluation.asr.decision import clean_change
from gtcrn_frontend.evaluation.asr.scores import MOST_FAILURES, Scores, add_up, score
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.systems import RAW

CANDIDATES: Mapping[str, tuple[float, ...]] = {
    "noisy_snr_db": (5.0, 10.0, 15.0, 20.0, 25.0),
    "clean_snr_db": (20.0, 30.0, 40.0),
    "max_strength": (0.8, 0.9, 0.95, 0.98),
    "min_strength": (0.0, 0.3, 0.6),
    "caution": (0.0, 0.25, 0.5),
    "max_doubt": (0.4, 0.55, 2.0),
}
"""What each parameter may become, in the order in which they are tried."""
ROUNDS = 2
LEAST_UTTERANCES = 10
"""With fewer, parameters are fitted to luck."""

Score = tuple[float, ...]
"""How good parameters are; less is better, the first entry counts most."""
Judge = Callable[[Sequence[AutoStrengthConfig]], Sequence[Score]]

FAILED: Score = (float("inf"), float("inf"))
"""A recogniser failed too often to judge."""

_SMALLEST_RATE = 0.01  # is added to both of a ratio: a rate of zero divides by nothing


@dataclass(frozen=True)
class AutoStrengthFit:
    """A guard whose parameters were fitted.

    Attributes:
        setting: a front-end with it, strength `auto`; with the default parameters if none better were found.
        utterances: it was fitted on.
        recognizers: names of those it was fitted on.
    """

    setting: EnhancerConfig
    utterances: int
    recognizers: tuple[str, ...]

    @property
    def default(self) -> EnhancerConfig:
        """The same front-end with the default parameters."""
        return dataclasses.replace(self.setting, auto_strength=None)


def fit_auto_strength(
    sweeps: Sequence[Sweep], fronts: Sequence[EnhancerConfig], counting: Counting, progress: Progress
) -> AutoStrengthFit:
    """Returns the guard that suits the recognisers best, in the front-end that does so with the default parameters.

    Args:
        sweeps: recognisers, and what they are to recognise; not what is decided on later.
        fronts: front-ends, at any strength.
        counting: how errors are counted.
        progress: where it is shown.

    Raises:
        ModelError: a model or a recogniser cannot be loaded, or a recogniser fails too often, or hears nothing.
        ConfigError: the cache cannot be written to.
    """
    items = sum(len(sweep.items) for sweep in sweeps)
    settings_left = len(fronts) + settings_at_most()

    def judged(front: EnhancerConfig, configs: Sequence[AutoStrengthConfig]) -> list[Score]:
        nonlocal settings_left
        settings = [_with_auto_strength(front, config) for config in configs]
        settings_left -= len(settings)
        missing = sum(sweep.missing([RAW, *settings]) for sweep in sweeps)
        progress.begin("fitting the guard", missing, items * settings_left)
        return judge(sweeps, settings, counting, progress.update)

    first = {front: judged(front, [AutoStrengthConfig()])[0] for front in fronts}
    if any(score == FAILED for score in first.values()):
        left = next(left for sweep in sweeps for left in sweep.left)
        raise ModelError(f"a recogniser failed on more than {MOST_FAILURES:.0%} of the items: {left}")
    for sweep in sweeps:
        if deaf := why_implausible(sweep.heard.values(), counting.normalisation):
            raise ModelError(f"{sweep.name}: {deaf}: {ADVICE}")
    front = min(first, key=lambda front: first[front])
    best, _ = search(lambda configs: judged(front, configs))
    names = {(item.utterance.name, item.utterance.path) for item in sweeps[0].items}
    return AutoStrengthFit(_with_auto_strength(front, best), len(names), tuple(sweep.name for sweep in sweeps))


def search(
    judge: Judge,
    candidates: Mapping[str, Sequence[float]] = CANDIDATES,
    rounds: int = ROUNDS,
    begin: AutoStrengthConfig | None = None,
) -> tuple[AutoStrengthConfig, dict[AutoStrengthConfig, Score]]:
    """Returns the best parameters found, and all that were judged; of equals, those found first.

    Args:
        judge: scores parameters; those of a call may be judged side by side, and none is asked for twice.
        candidates: values to try of each parameter, one parameter after the other.
        rounds: at most so many times through all of them; it ends when a round changes nothing.
        begin: where it begins; the default parameters.
    """
    best = begin or AutoStrengthConfig()
    scores = dict(zip([best], judge([best]), strict=True))
    for _ in range(rounds):
        before = best
        for name, values in candidates.items():
            tries = [other for value in values if (other := _changed(best, name, value)) and other not in scores]
            scores |= zip(tries, judge(tries), strict=True)
            best = min([best, *tries], key=lambda config: scores[config])
        if best == before:
            break
    return best, scores


def settings_at_most(candidates: Mapping[str, Sequence[float]] = CANDIDATES, rounds: int = ROUNDS) -> int:
    """Returns how many parameter sets a search judges at most."""
    return 1 + rounds * sum(map(len, candidates.values()))


def split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Returns the items of every other utterance, to fit on, and those of the others, to decide on.

    Raises:
        ModelError: there are too few utterances for that.
    """
    names = {(item.utterance.name, item.utterance.path): 0 for item in items}
    if len(names) < 2 * LEAST_UTTERANCES:
        raise ModelError(
            f"--fit-auto-strength: expected at least {2 * LEAST_UTTERANCES} utterances, half to fit on and half to "
            f"decide on, got {len(names)}"
        )
    to_fit = set(list(names)[::2])
    parts: tuple[list[Item], list[Item]] = ([], [])
    for item in items:
        parts[(item.utterance.name, item.utterance.path) not in to_fit].append(item)
    return parts


def judge(
    sweeps: Sequence[Sweep], settings: Sequence[EnhancerConfig], counting: Counting, progress: Callable[[int], None]
) -> list[Score]:
    """Returns a score per setting: clean speech that becomes significantly worse counts first, then errors.

    Errors are relative to those without front-end, and averaged over recognisers and conditions: none outweighs the
    others because it errs more.
    """
    found = []
    for sweep in sweeps:
        sweep.hear([RAW, *settings], progress)
        heard = {setting: sweep.heard[setting] for setting in (RAW, *settings)}
        found.append(score(sweep.items, heard, counting.normalisation, counting.unit))
    return [_score(found, setting) for setting in settings]


def _score(found: Sequence[Scores], setting: EnhancerConfig) -> Score:
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


def _with_auto_strength(front: EnhancerConfig, config: AutoStrengthConfig) -> EnhancerConfig:
    return dataclasses.replace(
        front,
        strength="auto",
        max_attenuation_db=None,
        auto_strength=None if config == AutoStrengthConfig() else config,
    )


def _changed(config: AutoStrengthConfig, name: str, value: float) -> AutoStrengthConfig | None:
    """The parameters with another value, or None where that is the same or does not fit the others."""
    values = dataclasses.asdict(config) | {name: value}
    is_valid = values["noisy_snr_db"] < values["clean_snr_db"] and values["min_strength"] <= values["max_strength"]
    return AutoStrengthConfig(**values) if is_valid and values != dataclasses.asdict(config) else None
