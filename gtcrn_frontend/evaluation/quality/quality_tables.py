"""What was measured as tables for people, and as rows for spreadsheets."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.evaluation.bootstrap import LEAST_UNITS
from gtcrn_frontend.evaluation.quality.aggregate import ALL, Mean, bands, mean
from gtcrn_frontend.evaluation.quality.metric_registry import Metric
from gtcrn_frontend.evaluation.quality.published import PUBLISHED
from gtcrn_frontend.evaluation.quality.score_signals import Scored
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

COLUMNS = ("material", "snr_db", "system", "measure", "signals", "mean", "low", "high", "against", "published")

Row = dict[str, Value]


def mean_table(scored: Sequence[Scored], measures: Sequence[Metric]) -> str:
    """Returns the means of all systems with half of their intervals, beside published figures."""
    systems = list(scored[0].values)
    comparable = any(measure.title in published.values for published in PUBLISHED for measure in measures)
    rows: list[Row] = []
    for measure in measures:
        row: Row = {"mean ±95 %": measure.title}
        row |= {system: _with_interval(mean(scored, system, measure), measure) for system in systems}
        rows.append(row | (_published_cells(measure) if comparable else {}))
    return markdown_table(rows, {})


def difference_table(scored: Sequence[Scored], measures: Sequence[Metric], first: str) -> str | None:
    """Returns by how much other systems differ from the first one, with the interval; None if there is no other one.

    An interval without zero is marked, + for the better and ! for the worse, unless there are too few signals.
    """
    others = [system for system in scored[0].values if system != first]
    if not others:
        return None
    rows: list[Row] = []
    for measure in measures:
        row: Row = {f"minus {first}": measure.title}
        row |= {system: _difference(mean(scored, system, measure, first), measure) for system in others}
        rows.append(row)
    return markdown_table(rows, {})


def marks_line(scored: Sequence[Scored]) -> str:
    """Returns what the marks of `difference_table` mean, or why there are none."""
    groups = len({one.group for one in scored})
    if groups >= LEAST_UNITS:
        return "+ better, ! worse, beyond chance (95 %)."
    return (
        f"No difference is marked as better or worse: {groups} independent signals give intervals too narrow to be "
        f"believed, {LEAST_UNITS} are needed."
    )


def band_table(scored: Sequence[Scored], measures: Sequence[Metric]) -> str | None:
    """Returns the means of all systems by input SNR; None if all signals are of one band."""
    by_band = bands(scored)
    if len(by_band) < 2:
        return None
    rows: list[Row] = []
    for band, part in by_band.items():
        for system in scored[0].values:
            row: Row = {"SNR dB": band, "system": system, "signals": len(part)}
            row |= {measure.title: mean(part, system, measure).value for measure in measures}
            rows.append(row)
    return markdown_table(rows, {measure.title: measure.digits for measure in measures})


def left_out(scored: Sequence[Scored], measures: Sequence[Metric]) -> list[str]:
    """Returns a line for each measure that is not defined for some signal of some system."""
    lines = []
    for measure in measures:
        values = {system: [one.values[system][measure.title] for one in scored] for system in scored[0].values}
        undefined = {system: sum(not math.isfinite(value) for value in v) for system, v in values.items()}
        counted = ", ".join(f"{count} of {system}" for system, count in undefined.items() if count)
        if counted:
            lines.append(f"{measure.title}: not defined for {counted}, which the means leave out")
    return lines


def rows_of(material: str, scored: Sequence[Scored], measures: Sequence[Metric], first: str) -> list[Row]:
    """Returns all means and differences, of all signals and of each band, with `COLUMNS` as keys."""
    return [
        _row(material, band, system, measure, mean(part, system, measure, than), than)
        for band, part in {ALL: scored, **bands(scored)}.items()
        for measure in measures
        for system in scored[0].values
        for than in ((None, first) if system != first else (None,))
    ]


def published_rows() -> list[Row]:
    """Returns the published figures with `COLUMNS` as keys; their material is the test set."""
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


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows with `COLUMNS` as keys; the file appears, or is replaced, when it is complete.

    Raises:
        OSError: the file cannot be written.
    """
    with replaced_at_end(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _is_nothing(value) else value for name, value in row.items()})


def _published_cells(measure: Metric) -> Row:
    """What is published of a measure, as further columns."""
    cells: Row = {f"{published.system} (published)": "-" for published in PUBLISHED}
    cells["published for"] = "-"
    for published in PUBLISHED:
        if measure.title in published.values:
            cells[f"{published.system} (published)"] = _number(published.values[measure.title], measure)
            cells["published for"] = published.test_set
    return cells


def _row(material: str, band: str, system: str, measure: Metric, found: Mean, than: str | None) -> Row:
    return {
        "material": material,
        "snr_db": band,
        "system": system,
        "measure": measure.title,
        "signals": found.signals,
        "mean": found.value,
        "low": found.low,
        "high": found.high,
        "against": than,
        "published": None,
    }


def _with_interval(found: Mean, measure: Metric) -> str:
    if math.isnan(found.low):
        return _number(found.value, measure)
    return f"{_number(found.value, measure)} ±{_number(found.half_width, measure)}"


def _difference(found: Mean, measure: Metric) -> str:
    value = _number(found.value, measure, "+")
    if math.isnan(found.low):
        return value
    mark = ""
    if measure.more_is_better is not None and found.is_trusted and (found.low > 0 or found.high < 0):
        mark = " +" if (found.low > 0) == measure.more_is_better else " !"
    return f"{value} ({_number(found.low, measure, '+')} to {_number(found.high, measure, '+')}){mark}"


def _number(value: float, measure: Metric, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.{measure.digits}f}"


def _is_nothing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
