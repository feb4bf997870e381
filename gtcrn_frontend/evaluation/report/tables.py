"""Measurements as text: Markdown tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gtcrn_frontend.atomic_write import replaced_at_end, write_text

Value = str | int | float | None
Row = dict[str, Value]

WIDTH = 100
"""Columns of a terminal that tables should fit."""


def markdown_table(rows: Sequence[Mapping[str, Value]], digits: Mapping[str, int]) -> str:
    """Returns rows as a Markdown table, aligned so that it reads well as plain text.

    Args:
        rows: at least one; the keys of the first one are the columns. None and nan are shown as a dash.
        digits: decimals by column; other columns are shown as they are.
    """
    columns = list(rows[0])
    return _table(columns, [_column(rows, column, digits) for column in columns])


def fitted_table(
    rows: Sequence[Mapping[str, Value]], digits: Mapping[str, int] | None = None, width: int = WIDTH
) -> str:
    """Returns rows as a Markdown table, split into several ones, each with the first column, if it is too wide.

    Args:
        rows, digits: see `markdown_table`.
        width: characters that a line should not exceed.
    """
    titles = list(rows[0])
    columns = [_column(rows, title, digits or {}) for title in titles]
    widths = [max(map(len, (title, *cells))) + 3 for title, (cells, _) in zip(titles, columns, strict=True)]
    parts: list[list[int]] = [[0]]
    for number in range(1, len(titles)):
        used = 1 + sum(widths[i] for i in parts[-1])
        if len(parts[-1]) > 1 and used + widths[number] > width:
            parts.append([0])
        parts[-1].append(number)
    return "\n\n".join(_table([titles[i] for i in part], [columns[i] for i in part]) for part in parts)


def to_json(content: object) -> str:
    """Returns content as standard JSON: values that are not finite become null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def write_json(path: Path, content: object) -> None:
    """Writes content as JSON; the file appears, or is replaced, when it is complete.

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, to_json(content))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes rows as CSV, None and nan as empty cells; the file appears, or is replaced, when it is complete.

    Raises:
        OSError: the file cannot be written.
    """
    with replaced_at_end(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _is_missing(value) else value for name, value in row.items()})


def _column(rows: Sequence[Mapping[str, Value]], title: str, digits: Mapping[str, int]) -> tuple[list[str], bool]:
    """The cells of a column, and whether it is numeric."""
    is_numeric = all(not isinstance(row[title], str) for row in rows)
    return [_cell(row[title], digits.get(title)) for row in rows], is_numeric


def _table(titles: Sequence[str], columns: Sequence[tuple[list[str], bool]]) -> str:
    widths = [max(map(len, (title, *cells))) for title, (cells, _) in zip(titles, columns, strict=True)]
    numeric = [is_numeric for _, is_numeric in columns]

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (w + 1) + (':' if right else '-') for w, right in zip(widths, numeric, strict=True))}|"
    return "\n".join([line(titles), rule, *map(line, zip(*(cells for cells, _ in columns), strict=True))])


def _cell(value: Value, digits: int | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "-"
    return str(value) if digits is None else f"{value:.{digits}f}"


def _is_missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _finite(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
