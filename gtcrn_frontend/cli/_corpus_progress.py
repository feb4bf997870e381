"""Progress of `enhance-corpus` on stderr: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from tqdm import tqdm

from gtcrn_frontend.corpus.items import Outcome, Problem

EVERY_S = 60.0
"""Seconds between lines where stderr is no terminal."""

_LAYOUT = "{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} items, {desc}, {elapsed} elapsed, {remaining} left"


class CorpusProgress:
    """A `Progress` of `enhance_corpus`; a context manager, which removes the bar."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] = tqdm(bar_format=_LAYOUT, disable=None, leave=False)
        self._count = self._done = 0
        self._hours = 0.0
        self._began_s = self._said_s = time.monotonic()

    def __enter__(self) -> CorpusProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def begin(self, count: int, problems: Iterable[Problem]) -> None:
        """Takes the number of items, and names entries that are none."""
        self._name(problems)
        self._count = self._bar.total = count
        self._began_s = self._said_s = time.monotonic()

    def update(self, outcome: Outcome) -> None:
        """Counts an item, and names what was left out."""
        self._done += 1
        self._hours += outcome.audio_s / 3600
        self._name(outcome.problems)
        now_s = time.monotonic()
        speed = f"{self._hours:.2f} h of audio, {self._hours / max(now_s - self._began_s, 1e-3):.4f} h/s"
        self._bar.set_description_str(speed, refresh=False)
        self._bar.update()
        if self._bar.disable and now_s - self._said_s >= EVERY_S:
            self._said_s = now_s
            left_s = (now_s - self._began_s) * (self._count - self._done) / self._done
            self.message(f"{self._done} of {self._count} items, {speed}, {timedelta(seconds=round(left_s))} left")

    def _name(self, problems: Iterable[Problem]) -> None:
        for name, reason in problems:
            self.message(f"failed: {name}: {reason}")

    def message(self, text: str) -> None:
        """Writes a line above the bar."""
        tqdm.write(text, file=sys.stderr)
