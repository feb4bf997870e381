"""Deprecated names of settings and attributes: accepted for one release, with a `DeprecationWarning`."""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from gtcrn_frontend.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

_OF_CLASSES: dict[type, Mapping[str, str]] = {}


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warns that `old` is now called `new`; `stacklevel` counts from the caller, as in `warnings.warn`."""
    message = f"{old!r} was renamed to {new!r}; the old name will be removed in the next release"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def with_new_names(values: Mapping[str, Any], renamed: Mapping[str, str], stacklevel: int = 3) -> dict[str, Any]:
    """Returns values by name, those under an old name under the new one, in the same order.

    Args:
        values: settings or arguments by name.
        renamed: new names by old name.
        stacklevel: of the warning, see `warn_renamed`.

    Raises:
        ConfigError: a value is given under both names.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        new = renamed.get(name)
        if new is None:
            result[name] = value
            continue
        if new in values:
            raise ConfigError(f"expected {new!r} only, got its old name {name!r} as well: remove {name!r}")
        warn_renamed(name, new, stacklevel + 1)
        result[new] = value
    return result


def renamed_arguments(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function that also takes keyword arguments by their old names: `old="new"`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if renamed.keys() & kwargs.keys():
                return function(*args, **with_new_names(kwargs, renamed))
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_fields(**renamed: str) -> Callable[[type[C]], type[C]]:
    """Decorates a dataclass whose constructor also takes fields by their old names, see `current_names`."""

    def decorate(cls: type[C]) -> type[C]:
        _OF_CLASSES[cls] = renamed
        cls.__init__ = renamed_arguments(**renamed)(cls.__init__)  # type: ignore[method-assign]
        return cls

    return decorate


def current_names(cls: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns values by the names of the fields of `cls`; old names are those given to `renamed_fields`."""
    return with_new_names(values, _OF_CLASSES.get(cls, {}), stacklevel=4)


def old_names(cls: type) -> Mapping[str, str]:
    """Returns the new names of the fields of `cls` by their old ones, see `renamed_fields`."""
    return _OF_CLASSES.get(cls, {})


def renamed_attribute(old: str, new: str) -> Any:
    """Returns a property of a class that reads the attribute `new` under its old name."""

    def read(instance: object) -> Any:
        warn_renamed(old, new)
        return getattr(instance, new)

    read.__doc__ = f"The old name of `{new}`."
    return property(read)


def add_renamed_option(group: argparse._ActionsContainer, old: str, new: str, **options: Any) -> None:
    """Adds a hidden option under its old name; `options` are passed to `add_argument`."""

    class Renamed(argparse.Action):
        def __call__(self, parser: object, namespace: argparse.Namespace, values: Any, name: str | None = None) -> None:
            warn_renamed(old, new)
            setattr(namespace, self.dest, values)

    dest = new.lstrip("-").replace("-", "_")
    group.add_argument(old, action=Renamed, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **options)
