"""The fenced code blocks of a Markdown page, with the comments that say how they are tested (see CONTRIBUTING.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"```(\w*)\s*")
_RUN = re.compile(r"<!-- run -->")
_SKIP = re.compile(r"<!-- skip: (.+) -->")
_SETUP = "<!-- setup"
_END = "-->"


@dataclass(frozen=True)
class Block:
    """One fenced block, or a piece of setup code.

    Attributes:
        page: the file.
        line: number of the first line of the code, from 1.
        language: of the fence; `setup` for the code of a comment.
        code: text between the fences.
        run: whether a shell block is to be run.
        skip: why a block cannot be run; empty if it can.
    """

    page: Path
    line: int
    language: str
    code: str
    run: bool = False
    skip: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Returns the blocks of a page in order."""
    return list(_blocks(page, page.read_text(encoding="utf-8").splitlines()))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    run, skip, number = False, "", 0
    while number < len(lines):
        line = lines[number].strip()
        number += 1
        if _RUN.fullmatch(line):
            run = True
        elif found := _SKIP.fullmatch(line):
            skip = found[1]
        elif line == _SETUP:
            code = _until(lines, number, _END)
            yield Block(page, number + 1, "setup", "\n".join(code))
            number += len(code) + 1
        elif fence := _FENCE.fullmatch(line):
            code = _until(lines, number, "```")
            yield Block(page, number + 1, fence[1], "\n".join(code), run, skip)
            number += len(code) + 1
            run, skip = False, ""


def _until(lines: list[str], start: int, end: str) -> list[str]:
    for stop in range(start, len(lines)):
        if lines[stop].strip() == end:
            return lines[start:stop]
    raise ValueError(f"line {start}: expected {end!r} further down, got the end of the page")
