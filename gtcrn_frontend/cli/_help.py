"""Help texts: descriptions and examples as written, options wrapped, wide enough for their names."""

from __future__ import annotations

import argparse


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples, and wraps the rest to at most 100 columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._width = min(self._width, 98)


def listed(values: object) -> str:
    """Returns a default that is a sequence as the user would write it."""
    return " ".join(map(str, values)) if isinstance(values, (list, tuple)) else str(values)
