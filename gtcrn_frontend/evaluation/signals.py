"""`Signal`: what a recogniser or a detector is tried on."""

from __future__ import annotations

from typing import Protocol

from gtcrn_frontend.audio.types import F32


class Signal(Protocol):
    """A signal that is made when it is read; picklable."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    @property
    def condition(self) -> str:
        """Name of its condition in reports."""
        ...

    @property
    def key(self) -> str:
        """Identifies the samples: signals with equal keys have equal samples."""
        ...

    @property
    def duration_s(self) -> float:
        """In seconds."""
        ...

    def read(self) -> tuple[F32, int]:
        """Returns the samples `(n,) float32` and their rate in Hz.

        Raises:
            AudioFormatError: a file cannot be read.
        """
        ...
