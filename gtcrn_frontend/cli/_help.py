"""Help texts: paragraphs and options wrapped, examples as written."""

from __future__ import annotations

import argparse
import itertools
import textwrap

MAX_WIDTH = 98


class HelpFormatter(argparse.HelpFormatter):
    """Wraps to the terminal, at most 98 columns; keeps the lines of descriptions and examples that are indented."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._width = min(self._width, MAX_WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for is_prose, group in itertools.groupby(text.strip("\n").splitlines(), _is_prose):
            part = list(group)
            lines += textwrap.wrap(" ".join(part), width) if is_prose else part
        return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def listed(values: object) -> str:
    """Returns a default that is a sequence as the user would write it."""
    return " ".join(map(str, values)) if isinstance(values, (list, tuple)) else str(values)


def _is_prose(line: str) -> bool:
    return bool(line) and not line.startswith(" ")
