"""Training settings from YAML files: names checked, values converted to what the dataclasses declare."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtcrn_frontend.deprecation import current_names
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import read_yaml
from gtcrn_frontend.settings import check_names
from gtcrn_frontend.training.config import ModelSource, TrainConfig


def load_config(path: str | Path) -> TrainConfig:
    """Returns the settings in a YAML file; relative paths in it start at the file's folder.

    A model is a path if there is a slash in it, or if that file exists, and else a registered name.

    Raises:
        ConfigError: no such file, not YAML, unknown or missing settings, values of a wrong type.
    """
    path = Path(path)
    values = read_yaml(path, "a YAML file of training settings")
    return typing.cast(TrainConfig, _build(TrainConfig, values, path.name, path.parent))


def _build(kind: type, values: Any, where: str, base: Path) -> Any:
    """Returns an instance of the dataclass `kind` made from a mapping."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected settings by name, got {type(values).__name__}")
    values = current_names(kind, values)
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    check_names(values, list(fields), f"settings of {where}")
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{where}: the setting {name!r} is missing")
    return kind(**{name: _convert(hints[name], value, f"{where}: {name}", base) for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str, base: Path) -> Any:
    """Returns `value` as the annotated type."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return None if value is None else _convert(typing.get_args(hint)[0], value, where, base)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where, base)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        if args[-1] is Ellipsis:
            return tuple(_convert(args[0], item, f"{where}[{i}]", base) for i, item in enumerate(value))
        if len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, got {value!r}")
        return tuple(_convert(arg, item, where, base) for arg, item in zip(args, value, strict=True))
    if origin is not None:  # a mapping of numbers by name
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected numbers by name, got {value!r}")
        return {str(key): _convert(args[1], item, f"{where}.{key}", base) for key, item in value.items()}
    if hint is ModelSource and isinstance(value, str):
        return str(_path(base, value, where)) if "/" in value or (base / value).is_file() else value
    if hint is Path and isinstance(value, str):
        return _path(base, value, where)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{where}: expected a number that a float can hold") from error
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")


def _path(base: Path, value: str, where: str) -> Path:
    """Returns a path that begins at the file's folder, with the user's home for `~`."""
    try:
        return base / Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{where}: expected a path, got {value!r}: {error}") from error
