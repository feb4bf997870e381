"""The outcome of a calibration in words and tables, for the terminal and the report alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import yaml

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.decision import RELEVANT, Decision, Verdict
from gtcrn_frontend.evaluation.asr.scores import Scores, add_up
from gtcrn_frontend.evaluation.asr.wer import Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.report.tables import Value
from gtcrn_frontend.evaluation.systems import RAW, by_strength, name_of_model, name_of_setting, name_of_strength

if TYPE_CHECKING:
    from gtcrn_frontend.evaluation.asr.auto_strength_fit import AutoStrengthFit
    from gtcrn_frontend.evaluation.asr.calibrate import Calibration

RATE_NAMES = {"word": "WER", "character": "CER"}


def headline(decision: Decision) -> str:
    """Returns the decision in one short sentence."""
    if decision.verdict is Verdict.HELPS:
        return f"Use {name_of_model(decision.setting)} at strength {name_of_strength(decision.setting)}"
    if decision.verdict is Verdict.NOTHING_HELPS:
        return "Use no front-end: nothing helps"
    return "Too little data to decide: use no front-end for now"


def all_sentences(found: Calibration, unit: str) -> list[str]:
    """Returns the reasons of the decision, and what came of fitting the guard."""
    return sentences(found.decision, unit) + (fit_sentences(found.fit, found.scores, unit) if found.fit else [])


def sentences(decision: Decision, unit: str) -> list[str]:
    """Returns the reasons, a sentence each."""
    rate = RATE_NAMES[unit]
    said = []
    if decision.candidate is None:
        said.append("Every setting that was tried makes clean speech significantly worse.")
    else:
        name = name_of_setting(decision.candidate)
        low, high = 100 * decision.change.low, 100 * decision.change.high
        said.append(
            f"Without front-end the {rate} is {_percent(decision.raw)}, with {name} {_percent(decision.rate)}: "
            f"{_points(decision.change.value)}{_relative(decision)}. Allowing for all settings tried, "
            f"the true change is between {low:+.1f} and {high:+.1f} points (95 % confidence)."
        )
    if decision.verdict is Verdict.NOTHING_HELPS and decision.candidate is not None:
        said.append(_why_nothing(decision))
    if decision.verdict is Verdict.TOO_LITTLE_DATA:
        needed = decision.utterances_needed
        estimate = f": about {_rounded(needed)} would probably do" if needed else ""
        said.append(f"{decision.utterances} utterances are too few to tell{estimate}.")
        if decision.raw.value == 0:
            said.append("There are no errors that a front-end could take away: noisier recordings would tell more.")
    if decision.candidate is not None:
        said.append(_on_clean(decision, rate))
    if decision.harmful:
        names = ", ".join(map(name_of_setting, decision.harmful))
        said.append(f"Ruled out, as clean speech becomes significantly worse: {names}.")
    return said


def fit_sentences(fit: AutoStrengthFit, scores: Scores, unit: str) -> list[str]:
    """Returns what came of fitting the guard, judged on utterances that had no part in it."""
    on = f"{fit.utterances} other utterances" + (
        f" of {len(fit.recognizers)} recognisers" if fit.recognizers[1:] else ""
    )
    if fit.setting == fit.default:
        return [f"Fitting the guard on {on} found nothing better than its default parameters."]
    if not {fit.setting, fit.default} <= set(scores.counts):
        return [f"The guard was fitted on {on}, but the recogniser fails too often behind it to judge it."]
    rate, before, after = RATE_NAMES[unit], scores.of(fit.default), scores.of(fit.setting)
    change = rate_difference(before, after)
    verdict = {"-": "fitting it helps", "!": "fitting it hurts", " ": "no significant difference"}[marked(change)]
    changed = {
        name: value
        for name, value in asdict(fit.setting.auto_strength_config).items()
        if value != getattr(fit.default.auto_strength_config, name)
    }
    return [
        f"The guard was fitted on {on}: {', '.join(f'{name} {value:g}' for name, value in changed.items())}. "
        f"On the utterances judged here, its {rate} is {_percent(error_rate(after))} instead of "
        f"{_percent(error_rate(before))} with its default parameters: {_points(change.value)} "
        f"({100 * change.low:+.1f} to {100 * change.high:+.1f}), {verdict}."
    ]


def summary_rows(scores: Scores, unit: str) -> list[dict[str, Value]]:
    """Returns a row per setting: rates in percent by condition and over all, and kinds of errors.

    `-` marks a rate significantly below that without front-end, `!` one above (paired bootstrap, 95 %).
    """
    rows: list[dict[str, Value]] = []
    for setting in in_order(scores):
        row: dict[str, Value] = {"front-end": name_of_setting(setting)}
        for title, condition in columns(scores, unit).items():
            rate = error_rate(scores.of(setting, condition))
            mark = marked(rate_difference(scores.of(RAW, condition), scores.of(setting, condition)))
            row[title] = f"{_percent(rate)} {mark}"
        total = add_up(scores.counts[setting])
        row |= {"sub": total.substitutions, "del": total.deletions, "ins": total.insertions}
        rows.append(row)
    return rows


def columns(scores: Scores, unit: str) -> dict[str, str | None]:
    """Returns the columns of the table by title: each condition, and None for all; only that if there is one."""
    conditions = scores.conditions
    if len(conditions) == 1:
        return {f"{conditions[0]}: {RATE_NAMES[unit]}": None}
    return {**{condition: condition for condition in conditions}, f"all: {RATE_NAMES[unit]}": None}


def settings_line(settings: Sequence[tuple[str, str]]) -> str:
    """Returns the settings of a recogniser in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings)


def setting_yaml(setting: EnhancerConfig) -> str:
    """Returns a setting as `EnhancerConfig.from_yaml` reads it: its gist and what differs from the defaults."""
    defaults = EnhancerConfig().to_dict()
    always = ("bypass",) if setting.bypass else ("model", "strength")
    shown = {name: value for name, value in setting.to_dict().items() if name in always or value != defaults[name]}
    return yaml.safe_dump(shown, sort_keys=False)


def in_order(scores: Scores) -> list[EnhancerConfig]:
    """Returns the settings: no front-end first, then model by model as they were tried, by strength."""
    models = list(dict.fromkeys(setting.model for setting in scores.settings))
    return sorted(scores.settings, key=lambda s: (not s.bypass, models.index(s.model), by_strength(s)))


def marked(change: Rate) -> str:
    """Returns `-` for a significant fall, `!` for a significant rise, and else a space."""
    return "-" if change.high < 0 else "!" if change.low > 0 else " "


def _why_nothing(decision: Decision) -> str:
    if decision.raw.value == 0:
        return "There are no errors that a front-end could take away."
    if decision.change.low > 0:
        return "That is worse."
    return f"So an improvement that matters, by {RELEVANT:.0%} of the errors, can be ruled out."


def _on_clean(decision: Decision, rate: str) -> str:
    change = decision.clean_change
    if change is None:
        return "Clean speech was not among the conditions: whether it stays as good was not measured."
    return (
        f"On clean speech its {rate} changes by {_points(change.value)} "
        f"({100 * change.low:+.1f} to {100 * change.high:+.1f}): not worse beyond the noise of the measurement."
    )


def _percent(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} ±{50 * (rate.high - rate.low):.1f}"


def _points(change: float) -> str:
    return f"{100 * change:+.1f} points"


def _relative(decision: Decision) -> str:
    return f" ({100 * decision.change.value / decision.raw.value:+.0f} % relative)" if decision.raw.value > 0 else ""


def _rounded(count: int) -> int:
    """Two digits of a rough estimate."""
    magnitude: int = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // magnitude) * magnitude
