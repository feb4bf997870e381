"""Settings from and to dicts and YAML files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import read_yaml
from gtcrn_frontend.settings.validation import absolute_paths, build

C = TypeVar("C")


def settings_from_dict(cls: type[C], values: Mapping[str, Any], where: str = "", folder: Path | None = None) -> C:
    """Returns an instance of a class of settings, from values by name; nested classes are mappings inside.

    Args:
        cls: a dataclass of fields made by `setting`.
        values: also as YAML and JSON hold them: lists for tuples, strings for paths.
        where: stands before the names in messages, for example the name of the file.
        folder: that relative paths start at; None leaves them as they are.

    Raises:
        ConfigError: a name is unknown (the nearest known one is named) or missing, or a value is wrong.
    """
    instance: C = build(cls, values, where, folder)
    return instance


def settings_to_dict(instance: Any) -> dict[str, Any]:
    """Returns all settings by name, as values that YAML and JSON hold."""
    return {item.name: _plain(getattr(instance, item.name)) for item in dataclasses.fields(instance)}


def settings_from_yaml(cls: type[C], path: str | Path) -> C:
    """Returns an instance of a class of settings from a YAML file; an empty file holds the defaults.

    Relative paths in the file start at its folder, and `~` is the user's home.

    Args:
        cls: a dataclass of fields made by `setting`.
        path: of the file.

    Raises:
        ConfigError: no such file, not YAML, or wrong settings; the message names the file.
    """
    path = Path(path)
    values = read_yaml(path, "a YAML file of settings")
    return settings_from_dict(cls, {} if values is None else values, str(path), path.parent)


def settings_to_yaml(instance: Any, path: str | Path) -> None:
    """Writes all settings to a YAML file, with paths from the root; raises `ConfigError` if that fails."""
    try:
        write_text(Path(path), yaml.safe_dump(settings_to_dict(absolute_paths(instance)), sort_keys=False))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return settings_to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value
