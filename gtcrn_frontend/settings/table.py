"""The documentation of a class of settings: a Markdown table, and the list of attributes in its docstring."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Any, TypeVar

from gtcrn_frontend.settings.fields import default_of, fields_of, is_required, setting_of
from gtcrn_frontend.settings.validation import kinds_of

C = TypeVar("C", bound=type)


def settings_table(cls: type) -> str:
    """Returns a Markdown table of all fields: name, allowed values, default, meaning.

    Args:
        cls: a dataclass of fields made by `setting`.
    """
    rows = [("Setting", "Values", "Default", "Meaning"), ("---", "---", "---", "---")]
    rows += [
        (f"`{item.name}`", kinds_of(cls)[item.name].expected, _default(item), _meaning(item)) for item in fields_of(cls)
    ]
    return "".join(f"| {' | '.join(_cell(cell) for cell in row)} |\n" for row in rows)


def document_settings(cls: C) -> C:
    """Decorates a class of settings: appends its fields to the docstring, in Google's style, from their help texts."""
    lines = [
        textwrap.fill(f"{item.name}: {setting_of(item).help}.", 116, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for item in dataclasses.fields(cls)
    ]
    cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or cls.__name__)}\n\nAttributes:\n" + "\n".join(lines) + "\n"
    return cls


def _default(item: dataclasses.Field[Any]) -> str:
    declared = setting_of(item)
    if declared.default_text:
        return declared.default_text
    if is_required(item):
        return "required"
    value = default_of(item)
    if value is None:
        return "none"
    if dataclasses.is_dataclass(value):
        return f"see `{type(value).__name__}`"
    if value is True or value is False:
        return f"`{str(value).lower()}`"
    if isinstance(value, (tuple, list)):
        return f"`[{', '.join(str(part) for part in value)}]`"
    return f"`{value}`" if isinstance(value, (str, int, float, Path)) else f"`{value!r}`"


def _meaning(item: dataclasses.Field[Any]) -> str:
    text = setting_of(item).help
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
