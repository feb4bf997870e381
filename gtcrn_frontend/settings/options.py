"""Command-line options of a class of settings, for argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from gtcrn_frontend.deprecation import add_renamed_option, old_names
from gtcrn_frontend.settings.fields import default_of, fields_of, is_required, setting_of
from gtcrn_frontend.settings.kinds import Flag, Kind
from gtcrn_frontend.settings.validation import kinds_of

C = TypeVar("C")


def add_options(
    group: argparse._ActionsContainer,
    cls: type,
    prefix: str = "",
    *,
    without: Collection[str] = (),
    shown_as: Mapping[str, str] | None = None,
) -> None:
    """Adds an option for each field, `--sample-rate` for `sample_rate`; with the prefix `x-`, `--x-sample-rate`.

    Lists are given as `a,b`, values by name as `a=1,b=2`. A flag whose default is False is set by its option alone; one
    whose default is True also has `--no-...`. Old names of fields (`renamed_fields`) work, with a warning.

    Args:
        group: a parser or a group of arguments.
        cls: a dataclass of fields made by `setting`.
        prefix: before each name.
        without: fields that get no option, and so keep their defaults.
        shown_as: metavars by the name of the field; else it is the unit in capitals, or the name.
    """
    for item in fields_of(cls):
        if item.name in without:
            continue
        kind, declared, default = kinds_of(cls)[item.name], setting_of(item), default_of(item)
        option = _option(prefix, item.name)
        if isinstance(kind, Flag):
            action: Any = argparse.BooleanOptionalAction if default is True else "store_true"
            group.add_argument(option, action=action, default=default, help=_escaped(declared.help))
            continue
        group.add_argument(
            option,
            type=_parser_of(kind),
            default=None if is_required(item) else default,
            required=is_required(item),
            metavar=(shown_as or {}).get(item.name) or declared.unit.upper() or item.name.upper(),
            help=_escaped(declared.help + _default_text(default, declared.default_text, required=is_required(item))),
        )
    for old, new in old_names(cls).items():
        if new in kinds_of(cls) and new not in without:
            parse = _parser_of(kinds_of(cls)[new])
            add_renamed_option(group, _option(prefix, old), _option(prefix, new), type=parse, metavar=new.upper())


def settings_from_args(cls: type[C], args: argparse.Namespace, prefix: str = "") -> C:
    """Returns an instance from what a parser with `add_options` has parsed; raises `ConfigError`.

    Fields that have no option keep their defaults.
    """
    names = {item.name: prefix.replace("-", "_") + item.name for item in fields_of(cls)}
    return cls(**{name: getattr(args, dest) for name, dest in names.items() if hasattr(args, dest)})


def _option(prefix: str, name: str) -> str:
    return f"--{prefix}{name}".replace("_", "-")


def _parser_of(kind: Kind) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {kind.expected}, got {text!r}") from error

    return parse


def _default_text(default: Any, text: str, *, required: bool) -> str:
    if text:
        return f" (default: {text})"
    return "" if required or default in (None, (), "") else f" (default: {default})"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
