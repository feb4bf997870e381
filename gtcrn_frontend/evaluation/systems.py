"""Outputs of enhancer settings for a signal, with one run of the network for all strengths of a model; their names."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig, Strength
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.streaming.auto_strength.controller import new_levels
from gtcrn_frontend.streaming.auto_strength.level_tracker import Energies, decide, hop_energies
from gtcrn_frontend.streaming.strength_ramp import HopGrid, StrengthRamp
from gtcrn_frontend.weights.model import installed_registry, model_path

AUTO_STRENGTH_VERSION = 2
"""Part of the cache key of an output: to be raised when the decisions of strength `auto` change."""
RAW = EnhancerConfig(bypass=True)
"""The setting that stands for no front-end."""
NOISY = "noisy"
"""Name of the unprocessed input among the systems of `evaluate`."""


@dataclasses.dataclass(frozen=True)
class Output:
    """A signal behind the front-end, and the time of the network in seconds."""

    samples: F32
    took_s: float


class Enhanced:
    """A signal that was enhanced once, from which the output at any strength is mixed without running the network.

    Args:
        samples: `(n,)` in [-1, 1].
        sample_rate: in Hz.
        setting: model and engine; its strength and rates are ignored.

    Raises:
        ModelError: the model cannot be loaded.
        AudioFormatError, ConfigError: the samples or the rate cannot be processed.
    """

    def __init__(self, samples: F32, sample_rate: int, setting: EnhancerConfig) -> None:
        self._setting = dataclasses.replace(at_full_strength(setting), sample_rate=sample_rate)
        enhancer = _enhancer(self._setting)
        began = time.perf_counter()
        self.dry = samples
        self.wet: F32 = np.asarray(enhancer.enhance(samples), np.float32)
        self.took_s = time.perf_counter() - began
        self._spec = spec = enhancer.spec
        self._grid = HopGrid(spec.hop_length, spec.delay, spec.sample_rate, sample_rate)
        self._first_hop = -(-spec.delay // spec.hop_length)

    def mixed(self, strength: float) -> F32:
        """Returns what `Enhancer(strength=strength).enhance` does."""
        s = np.float32(strength)
        return self.wet if s == 1 else np.asarray(s * self.wet + (1 - s) * self.dry, np.float32)

    def with_auto_strength(self, config: AutoStrengthConfig) -> F32:
        """Returns what `Enhancer(strength="auto", auto_strength=config).enhance` does."""
        levels = new_levels(self._spec, config).native()
        ramp = StrengthRamp(self._grid, levels.strength, self._first_hop)
        ramp.extend(decide(levels, self._energies))
        return ramp.mix(self.dry, self.wet, 0)

    @cached_property
    def _energies(self) -> Energies:
        """Energies of the hops at the model's rate, which strength `auto` decides on."""
        spec = self._spec
        dry, wet = self.dry, self.wet
        if self._grid.output_rate != spec.sample_rate:
            enhancer = copy(_enhancer(dataclasses.replace(self._setting, output_sample_rate=spec.sample_rate)))
            parts = enhancer.process_aligned(self.dry), enhancer.flush_aligned()
            dry, wet = (np.concatenate([getattr(part, name) for part in parts]) for name in ("dry", "enhanced"))
        # The engine's hops begin before the stream, by the delay; the first of them are not part of the decision.
        padding = np.zeros(spec.delay, np.float32), np.zeros(-(len(dry) + spec.delay) % spec.hop_length, np.float32)
        hops = (np.concatenate([padding[0], each, padding[1]]).reshape(-1, spec.hop_length) for each in (dry, wet))
        return hop_energies(*(each[self._first_hop :] for each in hops))


def outputs(samples: F32, sample_rate: int, settings: Sequence[EnhancerConfig]) -> Iterator[Output]:
    """Yields the output of each setting for a signal, as `Enhancer.enhance` returns it.

    Settings that differ only in their strength share one run of the network.

    Args:
        samples: `(n,)` in [-1, 1].
        sample_rate: in Hz; that of the settings is ignored.
        settings: any; one with bypass yields the samples unchanged.

    Raises:
        ModelError: a model cannot be loaded.
        AudioFormatError, ConfigError: the samples or the rate cannot be processed.
    """
    signals: dict[EnhancerConfig, Enhanced] = {}
    for setting in settings:
        if setting.bypass:
            yield Output(samples, 0.0)
            continue
        full = at_full_strength(setting)
        if full not in signals:
            signals[full] = Enhanced(samples, sample_rate, full)
        signal, strength = signals[full], setting.strength_or_auto
        made = signal.with_auto_strength(setting.auto_strength_config) if strength == "auto" else signal.mixed(strength)
        yield Output(made, signal.took_s)


def at_full_strength(setting: EnhancerConfig) -> EnhancerConfig:
    """Returns the setting at strength 1: equal ones run the same network on the same signal."""
    return dataclasses.replace(setting, strength=1.0, max_attenuation_db=None, auto_strength=None)


def by_strength(setting: EnhancerConfig) -> float:
    """Returns the sort key of a setting: its strength; `auto` comes last."""
    strength = setting.strength_or_auto
    return math.inf if strength == "auto" else strength


def name_of_setting(setting: EnhancerConfig) -> str:
    """Returns the name of a setting in reports."""
    if setting.bypass:
        return "no front-end"
    return f"{name_of_model(setting)} {name_of_strength(setting)}"


def name_of_strength(setting: EnhancerConfig) -> str:
    """Returns the strength of a setting as reports show it; fitted parameters of strength `auto` are marked."""
    strength = setting.strength_or_auto
    if strength == "auto":
        return "auto" if setting.auto_strength_config == AutoStrengthConfig() else "auto, fitted"
    return f"{strength:g}"


def name_of_model(setting: EnhancerConfig) -> str:
    """Returns the name of a setting's model in reports: that of the model, or of its file."""
    return Path(setting.model).stem


def distinct_models(models: Sequence[str | Path]) -> list[str]:
    """Returns the models, each once.

    Raises:
        ConfigError: two models would have the same name in a report.
    """
    named: dict[str, str] = {}
    for model in dict.fromkeys(map(str, models)):
        name = name_of_model(EnhancerConfig(model=model))
        if name in named:
            raise ConfigError(
                f"expected models with different names, got {named[name]} and {model}, both called {name!r}: "
                "rename one of the files"
            )
        named[name] = model
    return list(named.values())


def systems_of(
    models: Sequence[str | Path], strengths: Sequence[Strength], engine: str = EnhancerConfig.engine
) -> dict[str, EnhancerConfig]:
    """Returns settings by name: the unprocessed input first, then every model at every strength.

    A name is that of the model, or of its file; with as many of its folders as tell it from the others, and with the
    strength if there are several.

    Raises:
        ConfigError: the engine or a strength is unknown.
        ModelError: a model cannot be loaded.
    """
    configs = [EnhancerConfig(model=model, engine=engine) for model in dict.fromkeys(map(str, models))]
    for config in configs:
        load(config.model, config.engine)
    systems = {NOISY: RAW}
    for config, name in zip(configs, _distinct_names([str(config.model) for config in configs]), strict=True):
        for strength in dict.fromkeys(strengths):
            setting = dataclasses.replace(config, strength=strength)
            is_shown = strength != 1 or len(strengths) > 1
            systems[f"{name} {name_of_strength(setting)}" if is_shown else name] = setting
    return systems


def _distinct_names(models: Sequence[str]) -> list[str]:
    """The shortest ends of paths, without suffix, that differ from each other and from `NOISY`."""
    paths = [Path(model).with_suffix("") for model in models]
    names = [path.name for path in paths]
    for count in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        times = Counter([NOISY, *names])
        names = [
            name if times[name] == 1 else Path(*path.parts[-count:]).as_posix()
            for name, path in zip(names, paths, strict=True)
        ]
    times = Counter([NOISY, *names])
    return [name if times[name] == 1 else model for name, model in zip(names, models, strict=True)]


def setting_key(setting: EnhancerConfig) -> str:
    """Returns the cache key of a setting's output: equal weights, wherever they lie, give equal keys.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if setting.bypass:
        return "raw"
    loaded = load(setting.model, setting.engine, setting.num_threads, setting.providers)
    strength = setting.strength_or_auto
    if strength == "auto":
        parameters = dataclasses.astuple(setting.auto_strength_config)
        shown = f"auto {AUTO_STRENGTH_VERSION} {' '.join(f'{value:.6f}' for value in parameters)}"
    else:
        shown = f"{strength:.6f}"
    return f"{loaded.model.digest[:32]} {loaded.engine.name} {shown}"


def front_end(model: str | Path, engine: str = EnhancerConfig.engine) -> EnhancerConfig:
    """Returns a front-end at full strength, after loading it once, so that errors come before any other work.

    A path becomes absolute: a setting may be written to a file that is used elsewhere.

    Raises:
        ConfigError: the engine is unknown.
        ModelError: the model cannot be loaded.
    """
    load(model, engine)
    name = str(model) if str(model) in installed_registry().models else str(model_path(model))
    return EnhancerConfig(model=name, engine=engine, strength=1.0)


@lru_cache(maxsize=8)
def _enhancer(setting: EnhancerConfig) -> Enhancer:
    return Enhancer.from_config(setting)
