"""`Progress`: where long evaluations report how far they are, and what they could not use."""

from __future__ import annotations

import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives the progress of an evaluation, for example to draw a bar."""

    def begin(self, name: str, count: float, later: float = 0) -> None:
        """Begins a phase.

        Args:
            name: of the phase.
            count: steps in it.
            later: steps that may follow after it, at most.
        """
        ...

    def update(self, count: float = 1) -> None:
        """Counts steps, or seconds of audio, that are done."""
        ...

    def message(self, text: str) -> None:
        """Reports one line, such as a recording that cannot be used."""
        ...


class LoggedProgress:
    """Logs messages as warnings, and nothing else: what a program gets that does not pass its own `Progress`."""

    def begin(self, name: str, count: float, later: float = 0) -> None:
        """See `Progress`."""
        _log.debug("%s: %g steps", name, count)

    def update(self, count: float = 1) -> None:
        """See `Progress`."""

    def message(self, text: str) -> None:
        """See `Progress`."""
        _log.warning("%s", text)
