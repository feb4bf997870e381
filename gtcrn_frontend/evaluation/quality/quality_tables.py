"""Quality scores as tables for people, and as rows for spreadsheets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gtcrn_frontend.evaluation.bootstrap import MIN_UNITS
from gtcrn_frontend.evaluation.quality.aggregate import ALL, Mean, bands, mean
from gtcrn_frontend.evaluation.quality.metric_registry import Metric
from gtcrn_frontend.evaluation.quality.published import PUBLISHED
from gtcrn_frontend.evaluation.quality.score_signals import SignalScores
from gtcrn_frontend.evaluation.report.tables import Row, fitted_table

COLUMNS = ("material", "snr_db", "system", "measure", "signals", "mean", "low", "high", "against", "published")
"""Keys of rows: test set, band of input SNR, system, metric, number of signals, mean, ends of its interval, the system
that the mean is a difference from, and whether the score is a published one."""


def mean_table(signals: Sequence[SignalScores], metrics: Sequence[Metric]) -> str:
    """Returns the means of all systems, with half the width of their intervals."""
    rows: list[Row] = []
    for metric in metrics:
        row: Row = {"mean ±95 %": metric.title}
        row |= {system: _with_interval(mean(signals, system, metric), metric) for system in signals[0].values}
        rows.append(row)
    return fitted_table(rows)


def published_table(metrics: Sequence[Metric]) -> str | None:
    """Returns published scores of the metrics; None if there are none."""
    rows: list[Row] = []
    for metric in metrics:
        found = {each.system: each for each in PUBLISHED if metric.title in each.values}
        if not found:
            continue
        row: Row = {"published": metric.title}
        for system in dict.fromkeys(each.system for each in PUBLISHED):
            row[system] = _number(found[system].values[metric.title], metric) if system in found else "-"
        rows.append(row | {"test set": next(iter(found.values())).test_set})
    return fitted_table(rows) if rows else None


def difference_table(signals: Sequence[SignalScores], metrics: Sequence[Metric], first: str) -> str | None:
    """Returns the differences of other systems from the first one, with intervals; None if there is no other one.

    An interval without zero is marked: + for better, ! for worse, unless there are too few signals.
    """
    others = [system for system in signals[0].values if system != first]
    if not others:
        return None
    rows: list[Row] = []
    for metric in metrics:
        row: Row = {f"minus {first}": metric.title}
        row |= {system: _difference(mean(signals, system, metric, first), metric) for system in others}
        rows.append(row)
    return fitted_table(rows)


def marks_legend(signals: Sequence[SignalScores]) -> str:
    """Returns the legend of the marks in `difference_table`, or why there are none."""
    groups = len({one.group for one in signals})
    if groups >= MIN_UNITS:
        return "+ significantly better, ! significantly worse (95 %)."
    return f"No difference is marked as significant: {groups} independent signals are too few, {MIN_UNITS} are needed."


def band_table(signals: Sequence[SignalScores], metrics: Sequence[Metric]) -> str | None:
    """Returns the means of all systems by input SNR; None if all signals are in one band."""
    by_band = bands(signals)
    if len(by_band) < 2:
        return None
    title = "by input SNR in dB"
    counts: Row = {title: "signals"}
    rows = [counts | {band: str(len(part)) for band, part in by_band.items()}]
    for metric in metrics:
        for system in signals[0].values:
            row: Row = {title: f"{metric.title}, {system}"}
            rows.append(
                row | {band: _number(mean(part, system, metric).value, metric) for band, part in by_band.items()}
            )
    return fitted_table(rows)


def undefined_lines(signals: Sequence[SignalScores], metrics: Sequence[Metric]) -> list[str]:
    """Returns a line for each metric that is not defined for some signal of some system."""
    lines = []
    for metric in metrics:
        values = {system: [one.values[system][metric.title] for one in signals] for system in signals[0].values}
        undefined = {system: sum(not math.isfinite(value) for value in v) for system, v in values.items()}
        counted = ", ".join(f"{count} of {system}" for system, count in undefined.items() if count)
        if counted:
            lines.append(f"{metric.title}: not defined for {counted}; left out of the means")
    return lines


def rows_of(label: str, signals: Sequence[SignalScores], metrics: Sequence[Metric], first: str) -> list[Row]:
    """Returns all means and differences, over all signals and by band, with `COLUMNS` as keys."""
    return [
        _row(label, band, system, metric, mean(part, system, metric, against), against)
        for band, part in {ALL: signals, **bands(signals)}.items()
        for metric in metrics
        for system in signals[0].values
        for against in ((None, first) if system != first else (None,))
    ]


def published_rows() -> list[Row]:
    """Returns the published scores with `COLUMNS` as keys; their test set is the label."""
    return [
        dict.fromkeys(COLUMNS)
        | {
            "material": published.test_set,
            "snr_db": ALL,
            "system": published.system,
            "measure": title,
            "mean": value,
            "published": "published",
        }
        for published in PUBLISHED
        for title, value in published.values.items()
    ]


def _row(label: str, band: str, system: str, metric: Metric, found: Mean, against: str | None) -> Row:
    return {
        "material": label,
        "snr_db": band,
        "system": system,
        "measure": metric.title,
        "signals": found.signals,
        "mean": found.value,
        "low": found.low,
        "high": found.high,
        "against": against,
        "published": None,
    }


def _with_interval(found: Mean, metric: Metric) -> str:
    if math.isnan(found.low):
        return _number(found.value, metric)
    return f"{_number(found.value, metric)} ±{_number(found.half_width, metric)}"


def _difference(found: Mean, metric: Metric) -> str:
    value = _number(found.value, metric, "+")
    if math.isnan(found.low):
        return value
    mark = ""
    if metric.more_is_better is not None and found.is_trusted and (found.low > 0 or found.high < 0):
        mark = " +" if (found.low > 0) == metric.more_is_better else " !"
    return f"{value} ({_number(found.low, metric, '+')} to {_number(found.high, metric, '+')}){mark}"


def _number(value: float, metric: Metric, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.{metric.digits}f}"
