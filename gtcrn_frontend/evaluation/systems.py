"""What settings of the enhancer make of a signal: the network runs once for all strengths of a model."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.streaming.auto_strength.controller import new_levels
from gtcrn_frontend.streaming.auto_strength.level_tracker import Energies, decide, hop_energies
from gtcrn_frontend.streaming.strength_ramp import HopGrid, StrengthRamp

Samples = npt.NDArray[np.float32]

AUTO_STRENGTH_VERSION = 2
"""Part of what names an output in the cache: raise it when the guard decides otherwise."""
RAW = EnhancerConfig(bypass=True)
"""No front-end, as a setting."""


@dataclasses.dataclass(frozen=True)
class Output:
    """A signal behind the front-end, and the seconds that the network needed for it."""

    samples: Samples
    took_s: float


class Enhanced:
    """A signal that was enhanced once: what any strength and any guard make of it costs no network.

    Args:
        samples: `(n,)` in [-1, 1].
        sample_rate: in Hz.
        setting: model and engine; its strength, rates and guard are not looked at.

    Raises:
        ModelError: the model cannot be loaded.
        AudioFormatError, ConfigError: the samples or the rate cannot be processed.
    """

    def __init__(self, samples: Samples, sample_rate: int, setting: EnhancerConfig) -> None:
        self._setting = dataclasses.replace(at_full_strength(setting), sample_rate=sample_rate)
        enhancer = _enhancer(self._setting)
        began = time.perf_counter()
        self.dry = samples
        self.wet: Samples = np.asarray(enhancer.enhance(samples), np.float32)
        self.took_s = time.perf_counter() - began
        self._spec = spec = enhancer.spec
        self._grid = HopGrid(spec.hop_length, spec.delay, spec.sample_rate, sample_rate)
        self._first_hop = -(-spec.delay // spec.hop_length)

    def mixed(self, strength: float) -> Samples:
        """Returns what `Enhancer(strength=strength).enhance` does."""
        s = np.float32(strength)
        return self.wet if s == 1 else np.asarray(s * self.wet + (1 - s) * self.dry, np.float32)

    def with_auto_strength(self, config: AutoStrengthConfig) -> Samples:
        """Returns what `Enhancer(strength="auto", auto_strength=config).enhance` does."""
        levels = new_levels(self._spec, config).native()
        ramp = StrengthRamp(self._grid, levels.strength, self._first_hop)
        ramp.extend(decide(levels, self._energies))
        return ramp.mix(self.dry, self.wet, 0)

    @cached_property
    def _energies(self) -> Energies:
        """What the guard hears; it hears it at the model's rate."""
        spec = self._spec
        dry, wet = self.dry, self.wet
        if self._grid.output_rate != spec.sample_rate:
            enhancer = copy(_enhancer(dataclasses.replace(self._setting, output_sample_rate=spec.sample_rate)))
            parts = enhancer.process_aligned(self.dry), enhancer.flush_aligned()
            dry, wet = (np.concatenate([getattr(part, name) for part in parts]) for name in ("dry", "enhanced"))
        # The engine's hops begin before the stream does, by the delay; the guard does not hear the first of them.
        padding = np.zeros(spec.delay, np.float32), np.zeros(-(len(dry) + spec.delay) % spec.hop_length, np.float32)
        hops = (np.concatenate([padding[0], each, padding[1]]).reshape(-1, spec.hop_length) for each in (dry, wet))
        return hop_energies(*(each[self._first_hop :] for each in hops))


def outputs(samples: Samples, sample_rate: int, settings: Sequence[EnhancerConfig]) -> Iterator[Output]:
    """Yields what each setting makes of a signal, as `Enhancer.enhance` would.

    Settings that differ in their strength or guard alone share one run of the network.

    Args:
        samples: `(n,)` in [-1, 1].
        sample_rate: in Hz; that of the settings is not looked at.
        settings: any; one with bypass gives the samples as they are.

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
    """Returns what settings are sorted by: the strength; the guard's is not one, and comes last."""
    strength = setting.strength_or_auto
    return math.inf if strength == "auto" else strength


def name_of_setting(setting: EnhancerConfig) -> str:
    """Returns what reports call a setting."""
    if setting.bypass:
        return "no front-end"
    return f"{name_of_model(setting)} {name_of_strength(setting)}"


def name_of_strength(setting: EnhancerConfig) -> str:
    """Returns the strength of a setting as reports write it; other parameters of the guard are told apart."""
    strength = setting.strength_or_auto
    if strength == "auto":
        return "auto" if setting.auto_strength_config == AutoStrengthConfig() else "auto, fitted"
    return f"{strength:g}"


def name_of_model(setting: EnhancerConfig) -> str:
    """Returns what reports call the model of a setting: its name, or that of its file."""
    return Path(setting.model).stem


def distinct_models(models: Sequence[str]) -> list[str]:
    """Returns the models, each once.

    Raises:
        ConfigError: two of them would have the same name in a report.
    """
    named: dict[str, str] = {}
    for model in dict.fromkeys(models):
        name = name_of_model(EnhancerConfig(model=model))
        if name in named:
            raise ConfigError(
                f"expected models that can be told apart, got {named[name]} and {model}, both called {name!r}: "
                "give their files different names"
            )
        named[name] = model
    return list(named.values())


def setting_key(setting: EnhancerConfig) -> str:
    """Returns what names the output of a setting in the cache: equal weights, not equal paths, give equal keys.

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


@lru_cache(maxsize=8)
def _enhancer(setting: EnhancerConfig) -> Enhancer:
    return Enhancer.from_config(setting)
