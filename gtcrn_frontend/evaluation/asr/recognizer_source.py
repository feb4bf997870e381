"""Where a recogniser comes from: how other processes make one, and what names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gtcrn_frontend.evaluation.asr.recognizer import Recognizer


@dataclass(frozen=True)
class RecognizerSource:
    """A recogniser to be made where it is needed.

    Attributes:
        name: what reports call it.
        identity: equal identities recognise the same; part of what names a result in the cache.
        make: loads and returns it, given a folder for temporary files; is pickled for other processes. These may be
            killed at any time: the folder is deleted after them.
        settings: what it is set to, by name, as reports show it; empty where that is not known.
    """

    name: str
    identity: str
    make: Callable[[str], Recognizer]
    settings: tuple[tuple[str, str], ...] = ()
