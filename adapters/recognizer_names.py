"""Recognisers by short name: `KIND:WHAT[,option=value...]`, as `--recognizer` takes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource

NONE = "none"
"""How an option is written that is off where it has a value otherwise."""

_OPTION = re.compile(r",(?=\s*[A-Za-z_]+\s*=)")


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """Returns what stands before the options, and the options by name.

    >>> split_options("base.en,beam_size=1,temperature=0")
    ('base.en', {'beam_size': '1', 'temperature': '0'})

    Raises:
        ConfigError: nothing stands before them, or an option is given twice.
    """
    what, *parts = _OPTION.split(text)
    if not what.strip():
        raise ConfigError(f"expected NAME[,option=value...], got {text!r}")
    options: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name.strip() in options:
            raise ConfigError(f"expected the option {name.strip()} once, got it twice in {text!r}")
        options[name.strip()] = value.strip()
    return what.strip(), options


def parse_options(
    options: Mapping[str, str], kinds: Mapping[str, Callable[[str], object]], of: str
) -> dict[str, object]:
    """Returns options with their values parsed.

    Args:
        options: as written.
        kinds: what parses the value of each option there is; raises ValueError with what was expected.
        of: whose options they are, as messages call it.

    Raises:
        ConfigError: there is no such option, or its value cannot be parsed.
    """
    parsed: dict[str, object] = {}
    for name, text in options.items():
        if name not in kinds:
            raise ConfigError(f"{of} has no option {name!r}; expected one of {', '.join(kinds)}")
        try:
            parsed[name] = kinds[name](text)
        except ValueError as error:
            raise ConfigError(f"{of}, option {name}: expected {error}, got {text!r}") from error
    return parsed


def flag(text: str) -> bool:
    """Parses `true` or `false`."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise ValueError("true or false")
    return values[text.lower()]


def whole(text: str) -> int:
    """Parses a whole number from 0."""
    if not text.isdecimal():
        raise ValueError("a whole number")
    return int(text)


def number(text: str) -> float:
    """Parses a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError("a number")
    return value


def numbers(text: str) -> list[float]:
    """Parses one number, or several with `+` between them."""
    try:
        return [number(part) for part in text.split("+")]
    except ValueError as error:
        raise ValueError("a number, or several such as 0+0.2+0.4") from error


def words(text: str) -> str:
    """Parses any text but an empty one."""
    if not text:
        raise ValueError("some text")
    return text


def optional(kind: Callable[[str], object]) -> Callable[[str], object]:
    """Returns a parser that knows `none` as well."""
    return lambda text: None if text.lower() == NONE else kind(text)


def settings_shown(settings: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Returns settings as they are written in options, by name."""
    return tuple((name, _shown(value)) for name, value in settings.items())


def digest(*parts: object) -> str:
    """Returns a name for what is made of these parts, which may hold file names that are not UTF-8."""
    return hashlib.sha256("\n".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:32]


def installed_version(package: str) -> str:
    """Returns the version of a package, or `absent`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def named_source(text: str) -> RecognizerSource | None:
    """Returns the recogniser that a short name stands for; None if the text is no short name.

    Raises:
        ConfigError: what follows the kind is not valid.
        ModelError: a package is missing.
    """
    kind, colon, rest = text.partition(":")
    if not colon:
        return None
    if kind == "faster-whisper":
        from gtcrn_frontend.adapters import faster_whisper

        return faster_whisper.source(rest)
    if kind == "openai":
        from gtcrn_frontend.adapters import openai_api

        return openai_api.source(rest)
    return None


def _shown(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "+".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
