"""Kinds of single values: what they accept, and how values are converted.

A kind converts Python values (also those of YAML and JSON: lists for tuples, strings for paths) and parses the text of
a command-line option. `expected` completes the sentence "expected ..., got ...".
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NewType

from gtcrn_frontend.settings.fields import Setting

ModelSource = NewType("ModelSource", str)
"""Name of a registered model, or a path; in a file, a path is relative to that file's folder."""


class MismatchError(ValueError):
    """The value is not of the kind; whoever knows the name of the setting makes a `ConfigError` of it."""


@dataclass(frozen=True)
class Place:
    """Where a value stands.

    Attributes:
        name: of the setting, with those around it: `train.yaml: loss: weights[0]`.
        folder: that relative paths start at; None leaves them as they are.
        build: makes an instance of a class of settings from values by name.
    """

    name: str
    folder: Path | None
    build: Callable[[type, Any, str, Path | None], Any]

    def inner(self, suffix: str) -> Place:
        """Returns the place of an element."""
        return dataclasses.replace(self, name=self.name + suffix)


class Kind(ABC):
    """One kind of values.

    Attributes:
        expected: with an article: `a number from 0 to 1`.
        plural: of many such values: `numbers from 0 to 1`.
        is_path: whether a value may be a path.
    """

    expected: str
    plural: str
    is_path = False

    @abstractmethod
    def convert(self, value: Any, place: Place) -> Any:
        """Returns the value in its canonical type; raises `MismatchError`, or `ConfigError` for a part of the value."""

    def parse(self, text: str) -> Any:
        """Returns the value that the text of an option stands for; ranges are not checked. Raises `ValueError`."""
        return text


class Number(Kind):
    """An `int` or a `float`; finite, not a `bool`. NumPy's numbers are converted."""

    def __init__(self, of: type[int] | type[float], setting: Setting) -> None:
        self._type, self._setting = of, setting
        noun = "whole number" if of is int else "number"
        limits = _limits(setting)
        self.expected, self.plural = f"a {noun}{limits}", f"{noun}s{limits}"

    def convert(self, value: Any, place: Place) -> Any:
        abstract = numbers.Integral if self._type is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, abstract) or not _is_finite(value):
            raise MismatchError
        setting, number = self._setting, self._type(value)  # type: ignore[call-overload]
        if (
            (setting.low is not None and number < setting.low)
            or (setting.high is not None and number > setting.high)
            or (setting.above is not None and number <= setting.above)
            or (setting.below is not None and number >= setting.below)
        ):
            raise MismatchError
        return number

    def parse(self, text: str) -> Any:
        return self._type(text)


class Flag(Kind):
    """A `bool`."""

    expected, plural = "true or false", "true or false values"

    def convert(self, value: Any, place: Place) -> Any:
        if not isinstance(value, bool):
            raise MismatchError
        return value


class Text(Kind):
    """A string, or one of several."""

    def __init__(self, choices: Sequence[str] = ()) -> None:
        self._choices = tuple(choices)
        names = ", ".join(choices)
        single = f"one of {names}" if len(self._choices) > 2 else " or ".join(choices)
        self.expected, self.plural = (single, f"strings out of {names}") if choices else ("a string", "strings")

    def convert(self, value: Any, place: Place) -> Any:
        if not isinstance(value, str) or (self._choices and value not in self._choices):
            raise MismatchError
        return value

    def parse(self, text: str) -> Any:
        if len(self._choices) == 1 and text not in self._choices:  # a word beside numbers, as in `auto`
            raise ValueError(text)
        return text


class PathKind(Kind):
    """A `Path`."""

    expected, plural = "a path", "paths"
    is_path = True

    def convert(self, value: Any, place: Place) -> Any:
        if not isinstance(value, (str, Path)) or str(value) == "":
            raise MismatchError
        return Path(value) if place.folder is None else place.folder / _expanded(value)

    def parse(self, text: str) -> Any:
        return Path(text)


class NameOrPath(Kind):
    """A name or a path, as a string."""

    expected, plural = "a name or a path", "names or paths"
    is_path = True

    def convert(self, value: Any, place: Place) -> Any:
        if not isinstance(value, (str, Path)) or str(value) == "":
            raise MismatchError
        text = str(value)
        if place.folder is None:
            return text
        path = place.folder / _expanded(text)
        return str(path) if "/" in text or _is_file(path) else text


def _expanded(path: str | Path) -> Path:
    """Returns a path of a file with the user's home for `~`; raises `MismatchError` if that is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise MismatchError from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for example a name that is too long
        return False


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # of an integer that no float can hold
        return False


def _limits(setting: Setting) -> str:
    """Returns " from 0 to 1 Hz", " above 0 dB" and the like; "" without limits and unit."""
    unit = f" {setting.unit}" if setting.unit else ""
    if setting.low is not None and setting.high is not None:
        return f" from {_shown(setting.low)} to {_shown(setting.high)}{unit}"
    parts = [
        f"{word} {_shown(limit)}"
        for word, limit in (
            ("of at least", setting.low),
            ("above", setting.above),
            ("of at most", setting.high),
            ("below", setting.below),
        )
        if limit is not None
    ]
    if parts:
        return f" {' and '.join(parts)}{unit}"
    return f" of {setting.unit}" if setting.unit else ""


def _shown(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)
