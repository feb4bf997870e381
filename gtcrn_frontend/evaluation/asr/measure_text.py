"""Text and tables of the measures beside error rates: kinds of errors, hallucinated words, voice activity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.event_rates import EventRates
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.voice_activity import VoiceActivity
from gtcrn_frontend.evaluation.asr.wer import Kind, Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.systems import RAW, name_of_setting

HALLUCINATED = "hallucinated words per minute"
ALL = "all"
CAPPED = "Each utterance counts with at most as many errors as it has words; uncapped: all errors."


@dataclass(frozen=True)
class Cell:
    """A rate behind a setting, and its change from no front-end, as texts.

    Attributes:
        value: such as `12.3`.
        half: half the width of the 95 % interval, such as `1.5`.
        mark: of the change, see `Rate.mark`.
        change: such as `-1.2 (-2.0 to -0.4)`; empty without a front-end.
    """

    value: str
    half: str
    mark: str
    change: str

    def __str__(self) -> str:
        return f"{self.value} ±{self.half} {self.mark}"


@dataclass(frozen=True)
class MeasureTable:
    """A measure by condition: titles of the columns, and a row of cells for each setting."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[EnhancerConfig, Sequence[Cell]]]


def kinds(scores: Scores) -> dict[str, Kind]:
    """Returns the kinds of errors by the title of their column; all errors if not all of them count."""
    shown: dict[str, Kind] = {"sub": "substitutions", "del": "deletions", "ins": "insertions"}
    return {"uncapped": "all_errors", **shown} if has_excess(scores) else shown


def has_excess(scores: Scores) -> bool:
    """Whether some errors do not count, see `ErrorMetric.capped`."""
    return any(count.excess for counts in scores.counts.values() for count in counts)


def kind_cells(scores: Scores, setting: EnhancerConfig) -> dict[str, Cell]:
    """Returns the rates of the kinds of errors over all conditions in percent, by the title of their column."""
    before, after = scores.of(RAW), scores.of(setting)
    return {
        title: cell(error_rate(after, kind=kind), rate_difference(before, after, kind=kind), setting, 100)
        for title, kind in kinds(scores).items()
    }


def kind_table(scores: Scores, settings: Sequence[EnhancerConfig]) -> MeasureTable:
    """Returns the table of the kinds of errors, over all conditions."""
    rows = [(setting, list(kind_cells(scores, setting).values())) for setting in settings]
    return MeasureTable("Kinds of errors in all conditions, percent", list(kinds(scores)), rows)


def hallucination_table(rates: EventRates, settings: Sequence[EnhancerConfig]) -> MeasureTable:
    """Returns the table of hallucinated words."""
    title = f"{HALLUCINATED.capitalize()}, in {rates.minutes:.1f} minutes without speech"
    return _event_table(title, rates, settings)


def voice_activity_tables(found: VoiceActivity, settings: Sequence[EnhancerConfig]) -> list[MeasureTable]:
    """Returns the tables of a detector's false starts and missed speech."""
    conditions = _with_all(found.conditions)
    rows = [
        (each, [cell(found.missed(each, c), found.change(each, c), each, 100) for c in conditions.values()])
        for each in settings
        if each in found.speech
    ]
    name = found.detector.name
    missed = MeasureTable(f"Speech missed by {name}, percent of its time", list(conditions), rows)
    if found.false_starts is None:
        return [missed]
    minutes = found.false_starts.minutes
    title = f"False starts of {name} per minute, in {minutes:.1f} minutes without speech"
    return [_event_table(title, found.false_starts, settings), missed]


def hallucination_reasons(
    rates: EventRates, scores: Scores, candidate: EnhancerConfig | None, ruled_out: Sequence[EnhancerConfig], name: str
) -> list[str]:
    """Returns what hallucinated words have to do with the decision, one sentence each.

    Args:
        rates: hallucinated words.
        scores: error counts.
        candidate: the setting that the decision is about; None if there is none.
        ruled_out: settings that add hallucinated words significantly.
        name: of the error rate.
    """
    sentences = []
    if candidate in rates.events and candidate is not None:
        sentences.append(
            f"Where nobody speaks, {HALLUCINATED} go from {per_minute(rates.rate(RAW))} to "
            f"{per_minute(rates.rate(candidate))}: {change_text(rates.change(candidate))}, "
            f"{_verdict(rates.change(candidate))}."
        )
    if ruled_out:
        shown = []
        for setting in ruled_out:
            errors = rate_difference(scores.of(RAW), scores.of(setting))
            change = change_text(rates.change(setting))
            shown.append(
                f"{name_of_setting(setting)} ({change} per minute, while its {name} changes by {errors.points})"
            )
        sentences.append(f"Ruled out because they add hallucinated words where nobody speaks: {', '.join(shown)}.")
    return sentences


def voice_activity_reasons(found: VoiceActivity, candidate: EnhancerConfig | None) -> list[str]:
    """Returns what a setting does to a voice activity detector, in one sentence; nothing without a setting."""
    if candidate is None or candidate not in found.speech:
        return []
    parts = []
    if found.false_starts is not None:
        change = found.false_starts.change(candidate)
        before, after = found.false_starts.rate(RAW), found.false_starts.rate(candidate)
        parts.append(
            f"false starts per minute go from {per_minute(before)} to {per_minute(after)}: {change_text(change)}, "
            f"{_verdict(change)}"
        )
    change = found.change(candidate)
    parts.append(
        f"missed speech goes from {found.missed(RAW).percent} % to {found.missed(candidate).percent} %: "
        f"{change.points} ({change.points_interval}), {_verdict(change)}"
    )
    return [f"With {name_of_setting(candidate)} before {found.detector.name}, {'; '.join(parts)}."]


def cell(rate: Rate, change: Rate, setting: EnhancerConfig, scale: float = 1) -> Cell:
    """Returns a rate times `scale` as a cell."""
    shown = "" if setting.bypass else change_text(Rate(change.value * scale, change.low * scale, change.high * scale))
    return Cell(f"{scale * rate.value:.1f}", f"{scale * (rate.high - rate.low) / 2:.1f}", change.mark, shown)


def per_minute(rate: Rate) -> str:
    """Returns a rate per minute and half the width of its interval, such as `3.2 ±1.1`."""
    return f"{rate.value:.1f} ±{(rate.high - rate.low) / 2:.1f}"


def change_text(change: Rate) -> str:
    """Returns a change and its interval, such as `+3.2 (+1.0 to +6.0)`."""
    return f"{change.value:+.1f} ({change.low:+.1f} to {change.high:+.1f})"


def _event_table(title: str, rates: EventRates, settings: Sequence[EnhancerConfig]) -> MeasureTable:
    conditions = _with_all(rates.conditions)
    rows = [
        (each, [cell(rates.rate(each, c), rates.change(each, c), each) for c in conditions.values()])
        for each in settings
        if each in rates.events
    ]
    return MeasureTable(title, list(conditions), rows)


def _with_all(conditions: Sequence[str]) -> dict[str, str | None]:
    shown: dict[str, str | None] = {condition: condition for condition in conditions}
    return {**shown, ALL: None} if len(conditions) > 1 else shown


def _verdict(change: Rate) -> str:
    return {"-": "significantly less", "!": "significantly more", " ": "no significant difference"}[change.mark]
