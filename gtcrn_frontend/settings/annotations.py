"""`kind_of`: from the type annotation of a setting to the kind of its values."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from gtcrn_frontend.settings.containers import AnyOf, ListOf, MappingOf, Section
from gtcrn_frontend.settings.fields import Setting
from gtcrn_frontend.settings.kinds import Flag, Kind, ModelSource, NameOrPath, Number, PathKind, Text


def kind_of(hint: Any, setting: Setting) -> Kind:
    """Returns the kind of an annotation; raises `TypeError` for one that settings cannot have."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(args, setting)
    if origin is Literal:
        return Text([str(arg) for arg in args])
    if hint is ModelSource:
        return NameOrPath()
    if hint is bool:
        return Flag()
    if hint in (int, float):
        return Number(hint, setting)
    if hint is str:
        return Text(setting.choices)
    if hint is Path:
        return PathKind()
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return Section(hint)
    if origin is not None and issubclass(origin, tuple):
        return ListOf(kind_of(args[0], setting), None if args[-1] is Ellipsis else len(args), setting)
    if origin is not None and issubclass(origin, Mapping):
        return MappingOf(kind_of(args[1], setting))
    if origin is not None and issubclass(origin, Sequence):
        return ListOf(kind_of(args[0], setting), None, setting)
    raise TypeError(f"a setting cannot be of type {hint!r}")


def _is_literal(hint: Any) -> bool:
    origin: Any = typing.get_origin(hint)
    return origin is Literal


def _union(args: Sequence[Any], setting: Setting) -> Kind:
    hints = [arg for arg in args if arg is not types.NoneType]
    if set(hints) == {str, Path}:
        kinds: list[Kind] = [NameOrPath()]
    else:
        sections = any(dataclasses.is_dataclass(hint) for hint in hints)  # they take a mapping as well
        hints = [hint for hint in hints if not (sections and typing.get_origin(hint) is not None)]
        hints.sort(key=_is_literal, reverse=True)  # `auto` before numbers
        kinds = [kind_of(hint, setting) for hint in hints]
    or_none = types.NoneType in args
    return kinds[0] if len(kinds) == 1 and not or_none else AnyOf(kinds, or_none=or_none)
