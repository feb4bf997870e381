"""`check_settings`: validates an instance of a class of settings; errors say what was expected, and what came."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gtcrn_frontend.deprecation import current_names
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings.annotations import kind_of
from gtcrn_frontend.settings.fields import fields_of, is_required, setting_of
from gtcrn_frontend.settings.kinds import Kind, MismatchError, Place

_COMPARED = 100  # characters of a name: comparing takes the square of them


@functools.cache
def kinds_of(cls: type) -> Mapping[str, Kind]:
    """Returns the kinds of the fields of a class of settings, by name."""
    hints = typing.get_type_hints(cls)
    return {item.name: kind_of(hints[item.name], setting_of(item)) for item in fields_of(cls)}


def check_settings(instance: Any) -> None:
    """Checks the types and ranges of all fields, and sets those of a dataclass to their canonical types.

    To be called in `__post_init__`, also of a frozen dataclass: sequences become tuples, NumPy's numbers Python's,
    mappings for a nested class of settings an instance of it.

    Raises:
        ConfigError: a value is of a wrong type or out of range; the message begins with its name.
    """
    cls: type = type(instance)
    for name, kind in kinds_of(cls).items():
        object.__setattr__(instance, name, converted(kind, getattr(instance, name), name, None))


def check_value(cls: type, name: str, value: Any) -> Any:
    """Returns a value for one field of a class of settings, in its canonical type; raises `ConfigError`."""
    return converted(kinds_of(cls)[name], value, name, None)


def parse_value(cls: type, name: str, text: str) -> Any:
    """Returns the value of one field of a class of settings from the text of an option; raises `ConfigError`."""
    kind = kinds_of(cls)[name]
    try:
        value = kind.parse(text)
    except ValueError:
        raise ConfigError(f"{name}: expected {kind.expected}, got {text!r}") from None
    return converted(kind, value, name, None)


def check_names(values: Iterable[object], known: Iterable[str], of_what: str) -> None:
    """Raises `ConfigError` if a name is not among those known, and names the nearest one that is.

    Args:
        values: names, or a mapping with such keys.
        known: all names that exist.
        of_what: what they name, in the plural.
    """
    known = list(known)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name)[:_COMPARED], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"expected {of_what}, got the unknown {name!r}: {hint}")


def check_keywords(given: Mapping[str, Any], known: Iterable[str], function: str) -> None:
    """Raises `TypeError`, as Python does for unknown keywords, if a keyword is not among those known."""
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(known)}"
            raise TypeError(f"{function} got an unexpected keyword argument {name!r}{hint}")


def build(cls: type, values: Any, where: str, folder: Path | None) -> Any:
    """Returns an instance of a class of settings, from values by name; see `settings_from_dict`."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{_prefix(where)}expected settings by name, got {type(values).__name__}")
    values = current_names(cls, values)
    kinds = kinds_of(cls)
    check_names(values, kinds, f"settings of {where}" if where else f"settings of {cls.__name__}")
    for item in fields_of(cls):
        if is_required(item) and item.name not in values:
            raise ConfigError(f"{_prefix(where)}expected the setting {item.name!r}, got none")
    named = {name: converted(kinds[name], value, f"{_prefix(where)}{name}", folder) for name, value in values.items()}
    try:
        return cls(**named)
    except ConfigError as error:
        raise ConfigError(f"{_prefix(where)}{error}") from error


def converted(kind: Kind, value: Any, name: str, folder: Path | None) -> Any:
    """Returns a value in the canonical type of its kind; raises `ConfigError`."""
    try:
        return kind.convert(value, Place(name, folder, build))
    except MismatchError:
        raise ConfigError(f"{name}: expected {kind.expected}, got {value!r}") from None


def absolute_paths(instance: Any) -> Any:
    """Returns the settings with paths from the root, so that they mean the same in a file anywhere."""
    cls: type = type(instance)
    changed: dict[str, Any] = {}
    for name, kind in kinds_of(cls).items():
        value = getattr(instance, name)
        if kind.is_path and isinstance(value, (str, Path)):
            changed[name] = kind.convert(value, Place(name, Path.cwd(), build))
        elif dataclasses.is_dataclass(value):
            changed[name] = absolute_paths(value)
    return dataclasses.replace(instance, **changed)


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
