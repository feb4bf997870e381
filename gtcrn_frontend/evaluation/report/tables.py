"""Measurements as text: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gtcrn_frontend.atomic_write import write_text

Value = str | int | float | None


def markdown_table(rows: Sequence[Mapping[str, Value]], digits: Mapping[str, int]) -> str:
    """Returns rows as a Markdown table, aligned for reading as plain text too.

    Args:
        rows: at least one; the first one's keys are the columns. None and nan are drawn as a dash.
        digits: decimals of a column; a column without is written as it is.
    """
    columns = list(rows[0])
    cells = [[_cell(row[column], digits.get(column)) for column in columns] for row in rows]
    widths = [max(len(text) for text in (column, *(row[i] for row in cells))) for i, column in enumerate(columns)]
    numeric = [all(not isinstance(row[column], str) for row in rows) for column in columns]

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (w + 1) + (':' if right else '-') for w, right in zip(widths, numeric, strict=True))}|"
    return "\n".join([line(columns), rule, *map(line, cells)])


def to_json(content: object) -> str:
    """Returns content as JSON that any reader takes: what is not finite becomes null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def write_json(path: Path, content: object) -> None:
    """Writes content as JSON; the file appears, or is replaced, when it is complete.

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, to_json(content))


def _cell(value: Value, digits: int | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "-"
    return str(value) if digits is None else f"{value:.{digits}f}"


def _finite(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
