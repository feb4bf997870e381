"""Summary of the table: the best fixed strength, the choice of `calibrate`, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from noisy_set import Condition

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.config import Strength
from gtcrn_frontend.evaluation.asr.decision import decide
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, error_rate, rate_difference
from gtcrn_frontend.evaluation.manifest import CLEAN, Utterance
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.report.tables import Value
from gtcrn_frontend.evaluation.systems import RAW as NO_FRONT_END

RAW = "raw"
MIDDLE_DB = (0, 5, 10)  # where a front-end should help; the table by noise is over these

Counts = dict[str, list[ErrorCounts]]  # by front-end, one per utterance
Results = dict[Condition, Counts]


def front_end(model: str, strength: Strength | str) -> str:
    """Returns the name of a front-end in the table."""
    return f"{Path(model).stem} {strength if isinstance(strength, str) else f'{strength:g}'}"


def with_choices(results: Results, models: Sequence[str], strengths: Sequence[Strength]) -> Results:
    """Returns the rows of the table: for each model full strength, the best fixed one, the calibrated one, and auto."""
    table: Results = {condition: {RAW: counts[RAW]} for condition, counts in results.items()}
    fixed = [strength for strength in strengths if strength != "auto"]
    for model in models:
        best = min(fixed, key=lambda strength: _errors(results, front_end(model, strength)))
        chosen = calibrated(results, model, strengths)
        for condition, row in table.items():
            counts = results[condition]
            if 1.0 in fixed:
                row[front_end(model, 1.0)] = counts[front_end(model, 1.0)]
            row[front_end(model, f"best fixed ({best:g})")] = counts[front_end(model, best)]
            row[front_end(model, "calibrated")] = chosen[condition]
            if "auto" in strengths:
                row[front_end(model, "auto")] = counts[front_end(model, "auto")]
    return table


def calibrated(results: Results, model: str, strengths: Sequence[Strength]) -> dict[Condition, list[ErrorCounts]]:
    """Returns the errors behind the setting that `calibrate` decides on.

    Cross-validated: the decision on every other utterance is scored on the remaining ones, and vice versa.
    """
    settings = {EnhancerConfig(model=model, strength=s): front_end(model, s) for s in strengths} | {NO_FRONT_END: RAW}
    chosen = {condition: list(counts[RAW]) for condition, counts in results.items()}
    for half in (0, 1):
        items, counts = [], {setting: [] for setting in settings}
        for condition, by_name in results.items():
            name = CLEAN if condition.kind is None else f"{condition.kind} {condition.snr_db}"
            numbers = range(half, len(by_name[RAW]), 2)
            items += [Item(Utterance(str(i), Path(str(i)), ""), name, f"{name} {i}") for i in numbers]
            for setting, of in settings.items():
                counts[setting] += [by_name[of][i] for i in numbers]
        scores = Scores(tuple(items), tuple(settings), {setting: tuple(each) for setting, each in counts.items()})
        name = settings[decide(scores).setting]
        for condition, by_name in results.items():
            chosen[condition][1 - half :: 2] = by_name[name][1 - half :: 2]
    return chosen


def goals(tables: dict[str, Results], models: Sequence[str]) -> list[dict[str, Value]]:
    """Returns a row per recogniser and model with the gains of strength auto and of calibration."""
    return [_goals(name, table, model) for name, table in tables.items() for model in models]


def _goals(name: str, table: Results, model: str) -> dict[str, Value]:
    auto, chosen = front_end(model, "auto"), front_end(model, "calibrated")
    best = next(front for front in next(iter(table.values())) if front.startswith(front_end(model, "best fixed")))
    middle = [condition for condition in table if condition.snr_db in MIDDLE_DB]
    raw_rate, rate = (error_rate(_pooled(table, middle, front)).value for front in (RAW, auto))
    worse = [c for c in table if rate_difference(table[c][RAW], table[c][auto]).low > 0]
    change = rate_difference(_pooled(table, table, best), _pooled(table, table, chosen))
    return {
        "recogniser": name,
        "model": Path(model).stem,
        "auto to raw, 0..10 dB": f"{100 * (rate / raw_rate - 1):+.0f} %",
        f"auto worse than raw, of {len(table)}": ", ".join(_shown(c) for c in worse) or "nowhere",
        "calibrated to best fixed, points": f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to "
        f"{100 * change.high:+.1f})",
    }


def _shown(condition: Condition) -> str:
    return CLEAN if condition.kind is None else f"{condition.kind} {condition.snr_db} dB"


def _errors(results: Results, front: str) -> int:
    return sum(count.errors for counts in results.values() for count in counts[front])


def _pooled(results: Results, conditions: Iterable[Condition], front: str) -> list[ErrorCounts]:
    return [count for condition in conditions for count in results[condition][front]]
