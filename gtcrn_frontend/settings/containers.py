"""Kinds of values that are made of others: lists, mappings, nested classes of settings, alternatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gtcrn_frontend.settings.fields import Setting
from gtcrn_frontend.settings.kinds import Kind, MismatchError, Place


class ListOf(Kind):
    """A sequence as a tuple, of any length or of a given one."""

    def __init__(self, item: Kind, length: int | None, setting: Setting) -> None:
        self._item, self._length, self._ascending = item, length, setting.ascending
        count = "a list of" if length is None else str(length)
        self.expected = f"{count} {item.plural}{', not falling' if setting.ascending else ''}"
        self.plural = f"lists of {item.plural}"

    def convert(self, value: Any, place: Place) -> Any:
        if not isinstance(value, (list, tuple)) or self._length not in (None, len(value)):
            raise MismatchError
        items = tuple(self._item.convert(item, place.inner(f"[{i}]")) for i, item in enumerate(value))
        if self._ascending and list(items) != sorted(items):
            raise MismatchError
        return items

    def parse(self, text: str) -> Any:
        return tuple(self._item.parse(part) for part in split_list(text))


class MappingOf(Kind):
    """Values by name, as a dict."""

    def __init__(self, item: Kind) -> None:
        self._item = item
        self.expected = self.plural = f"{item.plural} by name"

    def convert(self, value: Any, place: Place) -> Any:
        if not isinstance(value, Mapping):
            raise MismatchError
        return {str(name): self._item.convert(item, place.inner(f".{name}")) for name, item in value.items()}

    def parse(self, text: str) -> Any:
        return {name: self._item.parse(value) for name, value in split_pairs(text).items()}


class Section(Kind):
    """A class of settings inside another one; as an option, numbers by name."""

    expected, plural = "settings by name", "groups of settings by name"

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def convert(self, value: Any, place: Place) -> Any:
        if isinstance(value, self.cls):
            return value
        if not isinstance(value, Mapping):
            raise MismatchError
        return place.build(self.cls, value, place.name, place.folder)

    def parse(self, text: str) -> Any:
        return {name: float(value) for name, value in split_pairs(text).items()}


class AnyOf(Kind):
    """One of several kinds, or None."""

    def __init__(self, kinds: Sequence[Kind], *, or_none: bool) -> None:
        self._kinds, self._or_none = tuple(kinds), or_none
        names = [kind.expected for kind in kinds] + ["none"] * or_none
        self.expected = f"{', '.join(names[:-1])}, or {names[-1]}" if len(names) > 1 else names[0]
        self.plural = " or ".join(kind.plural for kind in kinds)

    def convert(self, value: Any, place: Place) -> Any:
        if value is None and self._or_none:
            return None
        for kind in self._kinds:
            try:
                return kind.convert(value, place)
            except MismatchError:
                continue
        raise MismatchError

    def parse(self, text: str) -> Any:
        for kind in self._kinds:
            try:
                return kind.parse(text)
            except ValueError:
                continue
        raise ValueError(text)


def split_list(text: str) -> list[str]:
    """Returns the parts of `a,b,c`."""
    return [part.strip() for part in text.split(",") if part.strip()]


def split_pairs(text: str) -> dict[str, str]:
    """Returns the values of `name=value,name=value` by name; raises `ValueError`."""
    pairs = [part.partition("=") for part in split_list(text)]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}
