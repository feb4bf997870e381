"""`EnhancerConfig`: all settings of an `Enhancer`, and `AutoStrengthConfig`, those of `strength="auto"`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ
from gtcrn_frontend.deprecation import renamed_attribute, renamed_fields
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.model_spec import MAX_SEGMENT_LATENCY_MS, MIN_SEGMENT_LATENCY_MS
from gtcrn_frontend.settings import (
    add_options,
    check_settings,
    document_settings,
    setting,
    settings_from_args,
    settings_from_dict,
    settings_from_yaml,
    settings_to_dict,
    settings_to_yaml,
)

Strength = float | Literal["auto"]
"""Weight of the enhanced signal in the output, 0 to 1 (observation adding), or `auto`: chosen hop by hop."""

DEFAULT_STRENGTH = 0.8
"""Noise is lowered by at most 14 dB. Whisper errs less than at full strength, see docs/benchmarks/recognition.md."""
MAX_CHANNELS = 16
MAX_THREADS = 64


@document_settings
@dataclass(frozen=True)
class AutoStrengthConfig:
    """Parameters of `strength="auto"`; `gtcrn-frontend calibrate --fit-auto-strength` fits them to a recogniser.

    The defaults were chosen on several recognisers, models and kinds of noise: see `benchmarks/fit_auto_strength.py`.

    Raises:
        ConfigError: a value is out of range.
    """

    noisy_snr_db: float = setting(
        20.0, unit="dB", help="at this estimated SNR and below, the strength is `max_strength`"
    )
    clean_snr_db: float = setting(30.0, unit="dB", help="at this estimated SNR and above, it is `min_strength`")
    min_strength: float = setting(0.3, low=0, below=1, help="lowest strength, at most `max_strength`")
    max_strength: float = setting(
        0.98, low=0, below=1, help="highest strength; noise is lowered by at most -20 log10(1 - max_strength) dB"
    )
    caution: float = setting(
        0.25, low=0, high=1, help="fraction of the strength that is given up where speech seems to be lost"
    )
    max_doubt: float = setting(
        0.55,
        above=0,
        help="doubt at which the strength reaches 0; up to two thirds of it the strength is not lowered. Doubt is 0 "
        "where the network keeps or removes each hop as a whole, and 1 where it keeps half of each; 1.5 and more "
        "switch this off",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.noisy_snr_db < self.clean_snr_db:
            raise ConfigError(
                f"expected noisy_snr_db below clean_snr_db, got {self.noisy_snr_db} and {self.clean_snr_db}"
            )
        if self.min_strength > self.max_strength:
            raise ConfigError(
                f"expected min_strength of at most max_strength, got {self.min_strength} and {self.max_strength}"
            )


@document_settings
@renamed_fields(guard="auto_strength")
@dataclass(frozen=True)
class EnhancerConfig:
    """Settings of an `Enhancer`; every adapter and command takes the same ones.

    Raises:
        ConfigError: a value is out of range or of a wrong type, or both strength and max_attenuation_db are given.
    """

    model: str | Path = setting("gtcrn-asr", help="name of a registered model, or path of a checkpoint or ONNX file")
    engine: str = setting(
        "auto", choices=("auto", "native", "onnx", "torch"), help="engine that runs the network; auto is the fastest"
    )
    sample_rate: int | None = setting(
        None,
        low=MIN_RATE_HZ,
        high=MAX_RATE_HZ,
        unit="Hz",
        default_text="the model's",
        help="sample rate of the input",
    )
    output_sample_rate: int | None = setting(
        None,
        low=MIN_RATE_HZ,
        high=MAX_RATE_HZ,
        unit="Hz",
        default_text="that of the input",
        help="sample rate of the output",
    )
    channels: int = setting(
        1,
        low=1,
        high=MAX_CHANNELS,
        help="channels of the input: 1 for samples of shape (n,), else (n, channels); each is enhanced on its own",
    )
    downmix: bool = setting(False, help="average the channels first; the output is mono")
    strength: Strength = setting(
        DEFAULT_STRENGTH,
        low=0,
        high=1,
        help="weight of the enhanced signal in the output, strength * enhanced + (1 - strength) * input, which is "
        "known as observation adding: 0 is the input unchanged, 1 full enhancement; auto adapts it to the signal, "
        "hop by hop",
    )
    max_attenuation_db: float | None = setting(
        None,
        above=0,
        unit="dB",
        help="the strength as the most that noise is lowered, strength = 1 - 10^(-dB / 20); instead of strength",
    )
    bypass: bool = setting(False, help="deliver the input, aligned as if enhanced; the network keeps running")
    auto_strength: AutoStrengthConfig | Mapping[str, float] | None = setting(
        None, default_text="as fitted", help="parameters of strength auto by name, see `AutoStrengthConfig`"
    )
    num_threads: int = setting(
        1,
        low=1,
        high=MAX_THREADS,
        help="threads: of ONNX Runtime within an operator, of the native engine over channels and streams; torch "
        "keeps those of the process",
    )
    providers: Sequence[str] = setting(
        (),
        default_text="those of the CPU",
        help="execution providers of ONNX Runtime, the preferred first, for example CUDAExecutionProvider",
    )
    segment_latency_ms: int | None = setting(
        None,
        low=MIN_SEGMENT_LATENCY_MS,
        high=MAX_SEGMENT_LATENCY_MS,
        unit="ms",
        default_text="1000",
        help="latency in a stream of non-causal networks (FRCRN), which run on overlapping segments: a longer one "
        "costs less computing. Whole signals (`enhance`, files) are not affected; causal networks have a fixed "
        "latency and refuse it",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max_attenuation_db is not None and self.strength not in (DEFAULT_STRENGTH, 1):
            raise ConfigError(
                f"expected strength or max_attenuation_db, got both ({self.strength}, {self.max_attenuation_db}): "
                "they are one setting in two units"
            )

    guard = renamed_attribute("guard", "auto_strength")
    guard_config = renamed_attribute("guard_config", "auto_strength_config")

    @property
    def effective_strength(self) -> float:
        """The strength, from `max_attenuation_db` where that is set; `ConfigError` if it is `auto`."""
        if self.strength_or_auto == "auto":
            raise ConfigError("expected a strength from 0 to 1 here, got 'auto', which changes from hop to hop")
        return self.strength_or_auto

    @property
    def strength_or_auto(self) -> Strength:
        """The strength, from `max_attenuation_db` where that is set, or `auto`."""
        if self.max_attenuation_db is None:
            return self.strength
        return strength_of_attenuation(self.max_attenuation_db)

    @property
    def auto_strength_config(self) -> AutoStrengthConfig:
        """The parameters of `strength="auto"`."""
        return self.auto_strength if isinstance(self.auto_strength, AutoStrengthConfig) else AutoStrengthConfig()

    @property
    def engine_settings(self) -> EngineSettings:
        """The settings that all streams of a pool share, as keyword arguments of `StreamPool`."""
        return cast(EngineSettings, {name: getattr(self, name) for name in EngineSettings.__annotations__})

    @property
    def stream_settings(self) -> StreamSettings:
        """The settings of one stream, as keyword arguments of `StreamPool.open`."""
        return cast(StreamSettings, {name: getattr(self, name) for name in StreamSettings.__annotations__})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EnhancerConfig:
        """Returns a config from settings by name.

        Raises:
            ConfigError: a name is unknown (the nearest known one is named) or a value is wrong.
        """
        return settings_from_dict(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings by name, as values that YAML and JSON hold."""
        return settings_to_dict(self)

    @classmethod
    def from_yaml(cls, path: str | Path) -> EnhancerConfig:
        """Returns a config from a YAML file of settings by name; `ConfigError` names the file.

        A relative path of a model starts at the file's folder, and `~` is the user's home.
        """
        return settings_from_yaml(cls, path)

    def to_yaml(self, path: str | Path) -> None:
        """Writes all settings to a YAML file, with the path of a model from the root."""
        settings_to_yaml(self, path)

    @classmethod
    def from_args(cls, args: argparse.Namespace, prefix: str = "") -> EnhancerConfig:
        """Returns a config from what a parser with `add_enhancer_args` has parsed."""
        return settings_from_args(cls, args, prefix)


class MixSettings(TypedDict, total=False):
    """Keyword arguments for the mix of enhanced signal and input; see `EnhancerConfig`, whose fields they are."""

    strength: Strength
    max_attenuation_db: float | None
    bypass: bool
    auto_strength: AutoStrengthConfig | Mapping[str, float] | None


class StreamSettings(MixSettings, total=False):
    """Keyword arguments for one stream; see `EnhancerConfig`, whose fields they are."""

    sample_rate: int | None
    output_sample_rate: int | None
    channels: int
    downmix: bool


class EngineSettings(TypedDict, total=False):
    """Keyword arguments for the engine beside model and engine; see `EnhancerConfig`, whose fields they are."""

    num_threads: int
    providers: Sequence[str]
    segment_latency_ms: int | None


class EnhancerSettings(StreamSettings, EngineSettings, total=False):
    """Keyword arguments of `Enhancer` beside model and engine; see `EnhancerConfig`, whose fields they are."""


def add_enhancer_args(parser: argparse.ArgumentParser, prefix: str = "", without: Collection[str] = ()) -> None:
    """Adds an option for each setting, `--strength` and so on; with the prefix `frontend-`, `--frontend-strength`.

    Settings named in `without` get no option and keep their defaults.
    """
    add_options(parser.add_argument_group("enhancement"), EnhancerConfig, prefix, without=without)


def strength_of_attenuation(max_attenuation_db: float) -> float:
    """Returns the strength that lowers noise by at most `max_attenuation_db`: 1 - 10^(-dB / 20)."""
    return 1.0 - math.pow(10.0, -max_attenuation_db / 20.0)


def attenuation_of_strength(strength: float) -> float:
    """Returns the most that noise is lowered in dB, -20 log10(1 - strength); infinite at strength 1."""
    return math.inf if strength == 1 else -20.0 * math.log10(1.0 - strength)
