"""YAML and JSON from files that may be damaged or malicious: any failure is a `ValueError` with a short message.

And JSON to files, with the names of files that are not UTF-8.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from gtcrn_frontend.errors import ConfigError

_MAX_YAML_SIZE = 1 << 20  # nodes and characters with anchors expanded; settings have some thousands
_MAX_DIGITS = 308  # more do not fit into a float
_MAX_REASON = 300
# Of PyYAML's constructors on malformed scalars, beside its own: `2001-99-99`, `0b_`, `!!bool x`, `!!int ''`.
_YAML_ERRORS = (*(yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError),)


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses numbers of more than `_MAX_DIGITS` digits."""

    def construct_limited_int(self, node: Any) -> int:
        number = int(self.construct_yaml_int(node))
        if abs(number) >= 10**_MAX_DIGITS:
            raise ValueError(f"expected numbers of at most {_MAX_DIGITS} digits, got a longer one")
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_limited_int)


def parse_yaml(text: str) -> Any:
    """Returns the content of a YAML document; None if it is empty.

    Raises:
        ValueError: it is malformed, nested too deeply, or anchors make it much longer than it is written.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded_size(node, {}) > _MAX_YAML_SIZE:
            raise ValueError(f"expected at most {_MAX_YAML_SIZE} characters with all anchors expanded, got more")
        return loader.construct_document(node)
    except _YAML_ERRORS as error:
        raise ValueError(_reason(error)) from error


def read_yaml(path: Path, what: str) -> Any:
    """Returns the content of a YAML file; None if it is empty.

    Args:
        path: of the file.
        what: it should be, for messages: "a YAML file of settings".

    Raises:
        ConfigError: it cannot be read, or see `parse_yaml`; the message names the file.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: expected {what}, which cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: expected {what}: {error}") from error


def parse_json(text: str | bytes) -> Any:
    """Returns the content of a JSON document.

    Raises:
        ValueError: it is malformed (`json.JSONDecodeError`), nested too deeply, or holds a number that is too long.
    """
    try:
        return json.loads(text, parse_int=_parse_int)
    except RecursionError as error:
        raise ValueError(_reason(error)) from error


def json_line_of(values: Any) -> str:
    r"""Returns JSON on one line, in plain text unless a file name in it is not UTF-8: then with escapes alone.

    >>> print(json_line_of({"text": "café"}))
    {"text": "café"}
    >>> print(json_line_of({"file": "caf\udce9.wav", "text": "café"}))
    {"file": "caf\udce9.wav", "text": "caf\u00e9"}
    """
    line = json.dumps(values, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(values)
    return line


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"expected numbers of at most {_MAX_DIGITS} digits, got one of {len(text)}")
    return int(text)


def _expanded_size(node: Any, sizes: dict[int, int]) -> int:
    """Returns characters and nodes of a tree, those of an anchor once for each alias; cycles count as infinite."""
    key = id(node)
    if key not in sizes:
        sizes[key] = _MAX_YAML_SIZE + 1  # found again while its own size is being counted: a cycle
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        else:
            children = node.value if isinstance(node, yaml.SequenceNode) else []
        own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        sizes[key] = 1 + own + sum(_expanded_size(child, sizes) for child in children)
    return sizes[key]


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."
