"""`EnhancerConfig`: all settings of an `Enhancer`, from and to dict, YAML and argparse."""

from __future__ import annotations

import argparse
import difflib
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ
from gtcrn_frontend.deprecation import add_renamed_option, current_names, renamed_attribute, renamed_fields
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.model_spec import MAX_SEGMENT_LATENCY_MS, MIN_SEGMENT_LATENCY_MS
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthConfig, Strength

MAX_CHANNELS = 16
MAX_THREADS = 64


@renamed_fields(guard="auto_strength")
@dataclass(frozen=True)
class EnhancerConfig:
    """Settings of an `Enhancer`; every adapter and command takes the same ones.

    Attributes:
        model: name of a registered model, or path of a checkpoint or streaming ONNX file.
        engine: `auto` (the fastest present), `native`, `onnx` or `torch`.
        sample_rate: rate of the input in Hz, 8,000 to 192,000; None is the model's.
        output_sample_rate: rate of the output in Hz, 8,000 to 192,000; None is that of the input.
        channels: 1 for samples of shape `(n,)`; 2 to 16 for `(n, channels)`, each enhanced on its own.
        downmix: average the channels first; the output is mono, `(n,)`.
        strength: 0 (input unchanged) to 1 (full enhancement): strength * enhanced + (1 - strength) * input; or `auto`:
            the guard chooses it, hop by hop.
        max_attenuation_db: the same knob as the most that noise is lowered, > 0 dB; instead of `strength`.
        bypass: deliver the aligned input; the network keeps running.
        auto_strength: parameters of the guard, also by name; None are those fitted. Of no effect but with
            `strength="auto"`.
        num_threads: of ONNX Runtime within one operator, of `native` over channels; torch keeps those of the process.
        providers: ONNX Runtime execution providers in order of preference, for example `CUDAExecutionProvider`.
        segment_latency_ms: latency in a stream, 200 to 10,000 ms, of networks that need the future and so run in
            segments: the longer, the less computing; None is 1000. Whole signals (`enhance`, files) do not wait and
            are not affected. A network that runs frame by frame has a latency of its own, and refuses it.

    Raises:
        ConfigError: a value is out of range or of a wrong type, or both strength and max_attenuation_db are given.
    """

    model: str | Path = field(
        default="gtcrn-asr", metadata={"help": "model name, or path of a checkpoint or ONNX file"}
    )
    engine: str = field(default="auto", metadata={"help": "auto, native, onnx or torch"})
    sample_rate: int | None = field(default=None, metadata={"help": "rate of the input in Hz; without it the model's"})
    output_sample_rate: int | None = field(
        default=None, metadata={"help": "rate of the output in Hz; without it the input's"}
    )
    channels: int = field(default=1, metadata={"help": "channels of the input, each enhanced on its own"})
    downmix: bool = field(default=False, metadata={"help": "average the channels first"})
    strength: Strength = field(
        default=1.0, metadata={"help": "0 (input unchanged) to 1 (full enhancement), or auto: as the sound needs it"}
    )
    max_attenuation_db: float | None = field(
        default=None, metadata={"help": "lower noise by at most this many dB; instead of the strength"}
    )
    bypass: bool = field(default=False, metadata={"help": "deliver the input unchanged, aligned as if enhanced"})
    auto_strength: AutoStrengthConfig | Mapping[str, float] | None = field(
        default=None, metadata={"help": "parameters of the guard as name=value, comma-separated"}
    )
    num_threads: int = field(default=1, metadata={"help": "threads of the engine; torch keeps those of the process"})
    providers: Sequence[str] = field(
        default=(), metadata={"help": "ONNX Runtime execution providers, comma-separated, the preferred first"}
    )
    segment_latency_ms: int | None = field(
        default=None,
        metadata={"help": "latency in a stream of networks that need the future, such as FRCRN; without it 1000"},
    )

    def __post_init__(self) -> None:
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, (valid, expected) in _VALID.items():
            if not valid(given[name]):
                raise ConfigError(f"{name}: expected {expected}, got {given[name]!r}")
        if self.max_attenuation_db is not None and self.strength != 1:
            raise ConfigError(
                f"expected strength or max_attenuation_db, got both ({self.strength}, {self.max_attenuation_db}): "
                "they are one knob in two units"
            )
        if isinstance(self.auto_strength, Mapping):
            check_names(self.auto_strength, [f.name for f in fields(AutoStrengthConfig)], "parameters of the guard")
            object.__setattr__(self, "auto_strength", AutoStrengthConfig(**self.auto_strength))
        object.__setattr__(self, "model", str(given["model"]))
        object.__setattr__(self, "providers", tuple(given["providers"]))
        for name, kind in _NUMBERS.items():
            if given[name] not in (None, "auto"):
                object.__setattr__(self, name, kind(given[name]))  # numpy's numbers are welcome, but YAML has none

    guard = renamed_attribute("guard", "auto_strength")
    guard_config = renamed_attribute("guard_config", "auto_strength_config")

    @property
    def effective_strength(self) -> float:
        """The strength, computed from `max_attenuation_db` where that is set; `ConfigError` if the guard chooses it."""
        if self.strength_or_auto == "auto":
            raise ConfigError("expected a strength from 0 to 1 here, got 'auto', which changes from hop to hop")
        return self.strength_or_auto

    @property
    def strength_or_auto(self) -> Strength:
        """The strength, computed from `max_attenuation_db` where that is set, or `auto`."""
        if self.max_attenuation_db is None:
            return self.strength
        return strength_of_attenuation(self.max_attenuation_db)

    @property
    def auto_strength_config(self) -> AutoStrengthConfig:
        """The parameters of the guard."""
        return self.auto_strength if isinstance(self.auto_strength, AutoStrengthConfig) else AutoStrengthConfig()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EnhancerConfig:
        """Returns a config from settings by name.

        Raises:
            ConfigError: a name is unknown (the nearest known one is named) or a value is wrong.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected settings by name, got {type(values).__name__}")
        values = current_names(cls, values)
        check_names(values, [f.name for f in fields(cls)], "settings of the enhancer")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings by name, as values that YAML and JSON hold."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_yaml(cls, path: str | Path) -> EnhancerConfig:
        """Returns a config from a YAML file of settings by name; `ConfigError` names the file."""
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: expected a YAML file of settings: {error}") from error
        try:
            return cls.from_dict({} if values is None else values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def to_yaml(self, path: str | Path) -> None:
        """Writes all settings to a YAML file."""
        try:
            Path(path).write_text(yaml.safe_dump(self.to_dict(), sort_keys=False), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error

    @classmethod
    def from_args(cls, args: argparse.Namespace, prefix: str = "") -> EnhancerConfig:
        """Returns a config from what a parser with `add_enhancer_args` has parsed."""
        names = {f.name: prefix.replace("-", "_") + f.name for f in fields(cls)}
        return cls(**{name: getattr(args, dest) for name, dest in names.items() if hasattr(args, dest)})


def add_enhancer_args(parser: argparse.ArgumentParser, prefix: str = "", without: Sequence[str] = ()) -> None:
    """Adds an option for each setting, `--strength` and so on; with the prefix `frontend-`, `--frontend-strength`.

    Settings named in `without` get no option and keep their defaults.
    """
    types: dict[str, Callable[[str], Any]] = {
        "sample_rate": int,
        "output_sample_rate": int,
        "channels": int,
        "strength": _number_or_auto,
        "auto_strength": _numbers_by_name,
        "max_attenuation_db": float,
        "num_threads": int,
        "providers": _names,
        "segment_latency_ms": int,
    }
    group = parser.add_argument_group("enhancement")
    for setting in fields(EnhancerConfig):
        if setting.name in without:
            continue
        option = f"--{prefix}{setting.name}".replace("_", "-")
        help_text = setting.metadata["help"]
        if setting.default is False:
            group.add_argument(option, action="store_true", help=help_text)
            continue
        shown = "" if setting.default in (None, ()) else " (default: %(default)s)"
        group.add_argument(
            option,
            type=types.get(setting.name, str),
            default=setting.default,
            metavar=setting.name.upper(),
            help=help_text + shown,
        )
    if "auto_strength" not in without:
        old, new = f"--{prefix}guard", f"--{prefix}auto-strength"
        add_renamed_option(group, old, new, type=types["auto_strength"], metavar="AUTO_STRENGTH")


def strength_of_attenuation(max_attenuation_db: float) -> float:
    """Returns the strength that lowers noise by at most `max_attenuation_db`: 1 - 10^(-dB / 20)."""
    return 1.0 - math.pow(10.0, -max_attenuation_db / 20.0)


def attenuation_of_strength(strength: float) -> float:
    """Returns the most that noise is lowered in dB, -20 log10(1 - strength); infinite at strength 1."""
    return math.inf if strength == 1 else -20.0 * math.log10(1.0 - strength)


def check_names(values: Mapping[str, Any], known: Sequence[str], of_what: str) -> None:
    """Raises `ConfigError` if `values` has a key that is not known, and names the nearest one that is."""
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"expected {of_what}, got the unknown {name!r}: {hint}")


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number."""
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Returns whether a value is a whole number from 1."""
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and int(value) >= 1


def _is_rate(value: Any) -> bool:
    return value is None or (is_count(value) and MIN_RATE_HZ <= value <= MAX_RATE_HZ)


def _is_segment_latency(value: Any) -> bool:
    return value is None or (is_count(value) and MIN_SEGMENT_LATENCY_MS <= value <= MAX_SEGMENT_LATENCY_MS)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_NUMBERS: dict[str, Callable[[Any], int | float]] = {
    **dict.fromkeys(("sample_rate", "output_sample_rate", "channels", "num_threads", "segment_latency_ms"), int),
    **dict.fromkeys(("strength", "max_attenuation_db"), float),
}
_VALID: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda v: isinstance(v, (str, Path)) and str(v) != "", "a name or a path"),
    "engine": (lambda v: isinstance(v, str), "a name"),
    "sample_rate": (_is_rate, f"a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, or none"),
    "output_sample_rate": (_is_rate, f"a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, or none"),
    "channels": (lambda v: is_count(v) and v <= MAX_CHANNELS, f"a whole number from 1 to {MAX_CHANNELS}"),
    "downmix": (_is_flag, "true or false"),
    "strength": (lambda v: v == "auto" or (is_number(v) and 0 <= v <= 1), "auto, or a number from 0 to 1"),
    "auto_strength": (
        lambda v: v is None or isinstance(v, (AutoStrengthConfig, Mapping)),
        "parameters by name, or none",
    ),
    "max_attenuation_db": (lambda v: v is None or (is_number(v) and v > 0), "a number of dB above 0, or none"),
    "bypass": (_is_flag, "true or false"),
    "num_threads": (lambda v: is_count(v) and v <= MAX_THREADS, f"a whole number from 1 to {MAX_THREADS}"),
    "providers": (lambda v: isinstance(v, (list, tuple)) and all(isinstance(n, str) for n in v), "a list of names"),
    "segment_latency_ms": (
        _is_segment_latency,
        f"a whole number from {MIN_SEGMENT_LATENCY_MS} to {MAX_SEGMENT_LATENCY_MS} ms, or none",
    ),
}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number_or_auto(text: str) -> Strength:
    try:
        return "auto" if text == "auto" else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected auto, or a number from 0 to 1, got {text!r}") from error


def _numbers_by_name(text: str) -> dict[str, float]:
    pairs = [pair.partition("=") for pair in _names(text)]
    try:
        return {name.strip(): float(value) for name, _, value in pairs}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected name=value, comma-separated, got {text!r}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, AutoStrengthConfig):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value
