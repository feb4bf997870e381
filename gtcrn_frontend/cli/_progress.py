"""Progress bars on stderr, shown if it is a terminal, with lines of text above them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.errors import AudioFormatError

STEPS = "{desc}{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}, {elapsed} elapsed, {remaining} left"
SEARCH = "{desc}{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}, {elapsed} elapsed, at most {remaining} left"
SECONDS = "{percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s of audio, {elapsed} elapsed, {remaining} left"


class ProgressBar:
    """A bar as `evaluation.progress.Progress`; a context manager, which removes it.

    Args:
        layout: one of `STEPS`, `SEARCH` and `SECONDS`.
        total: steps of a bar without phases.

    Attributes:
        done: steps that were counted.
    """

    def __init__(self, layout: str = STEPS, total: float = 0.0) -> None:
        self.done = 0.0
        self._bar: tqdm[Any] = tqdm(total=total, bar_format=layout, disable=None, leave=False)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def begin(self, name: str, count: float, later: float = 0) -> None:
        """See `Progress`."""
        self._bar.total = self._bar.n + count + later
        self._bar.set_description(name)

    def update(self, count: float = 1) -> None:
        """See `Progress`."""
        self.done += count
        self._bar.update(count)

    def message(self, text: str) -> None:
        """See `Progress`."""
        tqdm.write(text, file=sys.stderr)


def audio_bar(paths: Iterable[str | Path]) -> ProgressBar:
    """Returns a bar over the seconds of audio in files."""
    return ProgressBar(SECONDS, sum(map(_duration_s, paths)) if sys.stderr.isatty() else 0.0)


def _duration_s(path: str | Path) -> float:
    if not Path(path).is_file():  # a pipe can be read only once
        return 0.0
    try:
        with open_audio(path) as audio:
            return float(audio.frames / audio.samplerate)
    except AudioFormatError:  # reported when it is the file's turn
        return 0.0
