"""Validation of keyword arguments of sherpa-onnx's factories, where some mistakes end the process."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.sherpa.library import sherpa_onnx
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_names

CLASSES = ("OnlineRecognizer", "OfflineRecognizer")

FILES = (
    *("tokens", "encoder", "decoder", "joiner", "model", "paraformer", "preprocessor", "uncached_decoder"),
    *("cached_decoder", "conv_frontend", "encoder_adaptor", "llm", "embedding", "bpe_vocab", "lm", "lodr_fst"),
    *("ctc_graph", "hotwords_file", "hr_lexicon"),
)
"""Arguments that name a file."""

FILE_LISTS = ("rule_fsts", "rule_fars", "hr_rule_fsts")
"""Arguments that name files, separated by commas."""

FOLDERS = ("tokenizer", "hr_dict_dir")
"""Arguments that name a folder."""

# Minimum values; smaller ones crash or make no sense.
_LEAST = {
    **dict.fromkeys(("num_threads", "feature_dim", "max_active_paths", "chunk_size", "window_size"), 1),
    "sample_rate": 8000,
    "buffer_size_in_seconds": 1,
}
_BEAM_SEARCH = "modified_beam_search"  # factories of other models than transducers end the process with it
_METHODS = ("greedy_search", _BEAM_SEARCH)
_UNITS = ("cjkchar", "bpe", "cjkchar+bpe", "bbpe")
# Annotations are classes, or names if the module postpones their evaluation.
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
}


def factory_names() -> list[str]:
    """Returns the names of all factories, such as `OnlineRecognizer.from_transducer`."""
    module = sherpa_onnx()
    return [f"{kind}.{name}" for kind in CLASSES for name in dir(getattr(module, kind)) if name.startswith("from_")]


def factory(name: str) -> Callable[..., Any]:
    """Returns the factory of that name.

    Raises:
        ConfigError: no such factory; the message suggests the closest name.
    """
    check_names({name: None}, factory_names(), "a factory of sherpa-onnx")
    kind, method = name.split(".")
    found: Callable[..., Any] = getattr(getattr(sherpa_onnx(), kind), method)
    return found


def checked_arguments(name: str, given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the arguments of a factory, with paths made absolute.

    Args:
        name: of the factory.
        given: arguments by name.
        folder: base of relative paths.

    Raises:
        ConfigError: an argument is unknown, missing, of a wrong type, out of range, or names a missing file.
    """
    parameters = inspect.signature(factory(name)).parameters
    check_names(given, list(parameters), f"arguments of {name}")
    missing = [
        key for key, parameter in parameters.items() if parameter.default is parameter.empty and key not in given
    ]
    if missing:
        raise ConfigError(f"expected the arguments {', '.join(missing)} of {name}, got none")
    arguments = {key: checked_value(key, value, parameters[key].annotation, folder) for key, value in given.items()}
    _check_together(name, arguments)
    return arguments


def checked_value(key: str, value: Any, annotation: Any, folder: Path) -> Any:
    """Returns a value in the annotated type; paths are made absolute.

    Raises:
        ConfigError: the value is of a wrong type, out of range, or names a missing file.
    """
    expected = _TYPES.get(getattr(annotation, "__name__", str(annotation)))
    if expected:
        types, words = expected
        is_flag = isinstance(value, bool)
        if not isinstance(value, types) or is_flag != (bool in types) or not _is_finite(value):
            hint = ": put it in quotes" if str in types and not isinstance(value, (dict, list)) else ""
            raise ConfigError(f"{key}: expected {words}, got {value!r}{hint}")
        value = types[-1](value)
    if key in _LEAST and value < _LEAST[key]:
        raise ConfigError(f"{key}: expected at least {_LEAST[key]}, got {value}")
    if value == "":  # sherpa-onnx's value for none
        return value
    if key in FILES:
        return _existing(key, value, folder)
    if key in FOLDERS:
        return _existing(key, value, folder, is_folder=True)
    if key in FILE_LISTS:
        return ",".join(_existing(key, each, folder) for each in value.split(","))
    return value


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _existing(key: str, text: str, folder: Path, *, is_folder: bool = False) -> str:
    kind = "folder" if is_folder else "file"
    try:
        path = folder / Path(text).expanduser()
        found = path.is_dir() if is_folder else path.is_file()
        empty = found and not is_folder and path.stat().st_size == 0
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long or contains NUL; ~ without a home
        raise ConfigError(f"{key}: expected a {kind}, {text!r} is none: {error}") from error
    if not found:
        other = "a file" if path.is_file() else "a folder" if path.is_dir() else "nothing there"
        raise ConfigError(f"{key}: expected a {kind}, found {other}: {path}; paths are relative to the pipeline file")
    if empty:
        raise ConfigError(f"{key}: expected a file with content, {path} is empty")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{key}: expected a {kind} that may be read, {path} may not")
    return str(path.absolute())


def _check_together(name: str, arguments: Mapping[str, Any]) -> None:
    """Rejects combinations of arguments that sherpa-onnx crashes on or ignores."""
    method, unit = arguments.get("decoding_method", _METHODS[0]), arguments.get("modeling_unit", _UNITS[0])
    known = _METHODS if "transducer" in name else _METHODS[:1]
    if method not in known:
        raise ConfigError(f"decoding_method: expected {' or '.join(known)} for {name}, got {method!r}")
    if unit not in _UNITS:
        raise ConfigError(f"modeling_unit: expected one of {', '.join(_UNITS)}, got {unit!r}")
    if "bpe" in unit and not arguments.get("bpe_vocab"):
        raise ConfigError(f"bpe_vocab: expected a file for modeling_unit {unit}, got none")
    if arguments.get("hotwords_file") and method != _BEAM_SEARCH:
        raise ConfigError(f"hotwords_file: expected decoding_method {_BEAM_SEARCH} with it, got {method}")
