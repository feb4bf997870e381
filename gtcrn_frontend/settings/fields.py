"""`setting`: a dataclass field with a range, a unit and a help text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from typing import Any, TypedDict, TypeVar, Unpack, overload

T = TypeVar("T")

_KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """What a field says about its values, beyond their type.

    Attributes:
        help: the meaning, as a phrase: lower case, no full stop.
        low: lowest number that is allowed; None is no limit. Limits hold for each number of a sequence or mapping.
        high: highest number that is allowed.
        above: numbers must be greater than this.
        below: numbers must be less than this.
        unit: of numbers, for example `Hz`.
        choices: strings that are allowed; empty is any.
        ascending: whether the numbers of a sequence must not fall, as in a range [lowest, highest].
        default_text: what stands for the default in help texts and tables, for example "the model's rate" for None;
            empty is the value itself.
    """

    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    ascending: bool = False
    default_text: str = ""


class Limits(TypedDict, total=False):
    """The keywords of `setting` beside the default; see `Setting`."""

    low: float | None
    high: float | None
    above: float | None
    below: float | None
    unit: str
    choices: tuple[str, ...]
    ascending: bool
    default_text: str


@overload
def setting(default: T, *, help: str, **limits: Unpack[Limits]) -> T: ...
@overload
def setting(*, factory: Callable[[], T], help: str, **limits: Unpack[Limits]) -> T: ...
@overload
def setting(*, help: str, **limits: Unpack[Limits]) -> Any: ...
def setting(default: Any = MISSING, *, help: str, factory: Any = MISSING, **limits: Unpack[Limits]) -> Any:
    """Returns a field of a dataclass that carries a `Setting`.

    Args:
        default: value of the field; without it and `factory` the field is required.
        help: see `Setting`.
        factory: makes the default value, for mutable ones.
        **limits: see `Setting`.
    """
    metadata = {_KEY: Setting(help, **limits)}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def setting_of(item: Field[Any]) -> Setting:
    """Returns what a field declares; no limits and no help text for a field that is not made by `setting`."""
    found: Setting = item.metadata.get(_KEY, Setting(help=""))
    return found


def is_required(item: Field[Any]) -> bool:
    """Returns whether a field has no default."""
    return item.default is MISSING and item.default_factory is MISSING


def default_of(item: Field[Any]) -> Any:
    """Returns the default of a field; `MISSING` if it is required."""
    return item.default if item.default_factory is MISSING else item.default_factory()


def fields_of(cls: type) -> tuple[Field[Any], ...]:
    """Returns the fields of a class of settings that its constructor takes."""
    return tuple(item for item in dataclasses.fields(cls) if item.init)
