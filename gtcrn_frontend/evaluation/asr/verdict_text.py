"""Text of a calibration's outcome: headline, reasons, table rows and the setting as YAML, for terminal and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import yaml

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.auto_strength_fit import AutoStrengthFit
from gtcrn_frontend.evaluation.asr.decision import RELEVANT, Decision, Verdict
from gtcrn_frontend.evaluation.asr.measure_text import kind_cells
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.wer import error_rate, rate_difference
from gtcrn_frontend.evaluation.report.tables import Row
from gtcrn_frontend.evaluation.systems import RAW, by_strength, name_of_model, name_of_setting, name_of_strength


def headline(decision: Decision) -> str:
    """Returns the decision in one short sentence."""
    if decision.verdict is Verdict.HELPS:
        return f"Use {name_of_model(decision.setting)} at strength {name_of_strength(decision.setting)}"
    if decision.verdict is Verdict.NOTHING_HELPS:
        return "Use no front-end: nothing helps"
    return "Too little data to decide: use no front-end for now"


def reasons(decision: Decision, rate_name: str) -> list[str]:
    """Returns the reasons of a decision, one sentence each."""
    sentences = []
    if decision.candidate is None:
        adds = ", or adds hallucinated words where nobody speaks" if decision.hallucinating else ""
        sentences.append(f"Every setting that was tried makes clean speech significantly worse{adds}.")
    else:
        name = name_of_setting(decision.candidate)
        sentences.append(
            f"Without front-end the {rate_name} is {decision.raw.percent}, with {name} {decision.rate.percent}: "
            f"{decision.change.points}{_relative(decision)}. Corrected for the number of settings, the change is "
            f"between {decision.change.points_interval.replace(' to ', ' and ')} points (95 % confidence)."
        )
    if decision.verdict is Verdict.NOTHING_HELPS and decision.candidate is not None:
        sentences.append(_why_nothing(decision))
    if decision.verdict is Verdict.TOO_LITTLE_DATA:
        needed = decision.utterances_needed
        estimate = f": about {_rounded(needed)} would probably do" if needed else ""
        sentences.append(f"{decision.utterances} utterances are too few to tell{estimate}.")
        if decision.raw.value == 0:
            sentences.append("There are no errors that a front-end could remove: try noisier recordings.")
    if decision.candidate is not None:
        sentences.append(_on_clean(decision, rate_name))
    if decision.harmful:
        names = ", ".join(map(name_of_setting, decision.harmful))
        sentences.append(f"Ruled out because clean speech gets significantly worse: {names}.")
    return sentences


def fit_summary(fit: AutoStrengthFit, scores: Scores, rate_name: str) -> str:
    """Returns the outcome of fitting strength `auto`, on utterances that were not part of the fit."""
    on = f"{fit.utterances} other utterances" + (
        f" of {len(fit.recognizers)} recognisers" if fit.recognizers[1:] else ""
    )
    if fit.setting == fit.default:
        return f"Fitting strength auto on {on} found nothing better than its default parameters."
    if not {fit.setting, fit.default} <= set(scores.counts):
        return f"Strength auto was fitted on {on}, but the recogniser fails too often behind it for a comparison."
    before, after = scores.of(fit.default), scores.of(fit.setting)
    change = rate_difference(before, after)
    verdict = {"-": "fitting helps", "!": "fitting hurts", " ": "no significant difference"}[change.mark]
    changed = {
        name: value
        for name, value in asdict(fit.setting.auto_strength_config).items()
        if value != getattr(fit.default.auto_strength_config, name)
    }
    return (
        f"Strength auto was fitted on {on}: {', '.join(f'{name} {value:g}' for name, value in changed.items())}. "
        f"On the utterances in this table its {rate_name} is {error_rate(after).percent} instead of "
        f"{error_rate(before).percent} with the default parameters: {change.points} ({change.points_interval}), "
        f"{verdict}."
    )


def summary_rows(scores: Scores, rate_name: str) -> list[Row]:
    """Returns a table row per setting: rates in percent by condition and overall.

    `-` marks a rate significantly below that without a front-end, `!` one above (paired bootstrap, 95 %).
    """
    rows: list[Row] = []
    for setting in in_order(scores):
        row: Row = {"front-end": name_of_setting(setting)}
        rows.append(row | condition_cells(scores, setting, rate_name))
    return rows


def rate_cells(scores: Scores, setting: EnhancerConfig, rate_name: str) -> Row:
    """Returns the cells of `condition_cells`, and the rates of the kinds of errors."""
    kinds = {title: str(cell) for title, cell in kind_cells(scores, setting).items()}
    return condition_cells(scores, setting, rate_name) | kinds


def condition_cells(scores: Scores, setting: EnhancerConfig, rate_name: str) -> Row:
    """Returns the rates of one setting, by condition and overall."""
    cells: Row = {}
    for title, condition in columns(scores, rate_name).items():
        counts = scores.of(setting, condition)
        mark = rate_difference(scores.of(RAW, condition), counts).mark
        cells[title] = f"{error_rate(counts).percent} {mark}"
    return cells


def columns(scores: Scores, rate_name: str) -> dict[str, str | None]:
    """Returns the condition of each column by its title, None for all of them; a single column for one condition."""
    conditions = scores.conditions
    if len(conditions) == 1:
        return {f"{conditions[0]}: {rate_name}": None}
    return {**{condition: condition for condition in conditions}, f"all: {rate_name}": None}


def settings_line(settings: Sequence[tuple[str, str]]) -> str:
    """Returns the settings of a recogniser in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings)


def setting_yaml(setting: EnhancerConfig) -> str:
    """Returns a setting as `EnhancerConfig.from_yaml` reads it: model and strength, and what is not the default."""
    defaults = EnhancerConfig().to_dict()
    always = ("bypass",) if setting.bypass else ("model", "strength")
    shown = {name: value for name, value in setting.to_dict().items() if name in always or value != defaults[name]}
    return yaml.safe_dump(shown, sort_keys=False)


def in_order(scores: Scores) -> list[EnhancerConfig]:
    """Returns the settings: no front-end first, then model by model in the order of trial, by strength."""
    models = list(dict.fromkeys(setting.model for setting in scores.settings))
    return sorted(scores.settings, key=lambda s: (not s.bypass, models.index(s.model), by_strength(s)))


def _why_nothing(decision: Decision) -> str:
    if decision.raw.value == 0:
        return "There are no errors that a front-end could remove."
    if decision.change.low > 0:
        return "That is worse."
    return f"A relevant improvement, by {RELEVANT:.0%} of the errors, can be ruled out."


def _on_clean(decision: Decision, rate_name: str) -> str:
    change = decision.clean_change
    if change is None:
        return "Clean speech was not among the conditions: the effect on it was not measured."
    return (
        f"On clean speech the {rate_name} changes by {change.points} ({change.points_interval}): not significantly "
        "worse."
    )


def _relative(decision: Decision) -> str:
    return f" ({100 * decision.change.value / decision.raw.value:+.0f} % relative)" if decision.raw.value > 0 else ""


def _rounded(count: int) -> int:
    """Two digits of a rough estimate."""
    magnitude: int = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // magnitude) * magnitude
