"""What settings of the enhancer make of a signal: the network runs once for all strengths of a model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.enhancer import Enhancer

Samples = npt.NDArray[np.float32]

RAW = EnhancerConfig(bypass=True)
"""No front-end, as a setting."""


@dataclasses.dataclass(frozen=True)
class Output:
    """A signal behind the front-end, and the seconds that the network needed for it."""

    samples: Samples
    took_s: float


def outputs(samples: Samples, sample_rate: int, settings: Sequence[EnhancerConfig]) -> Iterator[Output]:
    """Yields what each setting makes of a signal, as `Enhancer.enhance` would.

    Settings that differ in their strength alone share one run: mixing is linear, s * enhanced + (1 - s) * input. With
    the strength `auto` there is a run of its own.

    Args:
        samples: `(n,)` in [-1, 1].
        sample_rate: in Hz; that of the settings is not looked at.
        settings: any; one with bypass gives the samples as they are.

    Raises:
        ModelError: a model cannot be loaded.
        AudioFormatError, ConfigError: the samples or the rate cannot be processed.
    """
    enhanced: dict[EnhancerConfig, Output] = {}
    for setting in settings:
        if setting.bypass:
            yield Output(samples, 0.0)
            continue
        if setting.strength_or_auto == "auto":
            yield _run(setting, samples, sample_rate)
            continue
        full = at_full_strength(setting)
        if full not in enhanced:
            enhanced[full] = _run(full, samples, sample_rate)
        wet, s = enhanced[full].samples, np.float32(setting.effective_strength)
        yield Output(wet if s == 1 else s * wet + (1 - s) * samples, enhanced[full].took_s)


def at_full_strength(setting: EnhancerConfig) -> EnhancerConfig:
    """Returns the setting at strength 1: equal ones run the same network on the same signal."""
    return dataclasses.replace(setting, strength=1.0, max_attenuation_db=None)


def name_of_setting(setting: EnhancerConfig) -> str:
    """Returns what reports call a setting."""
    if setting.bypass:
        return "no front-end"
    strength = setting.strength_or_auto
    return f"{name_of_model(setting)} {strength if strength == 'auto' else format(strength, 'g')}"


def name_of_model(setting: EnhancerConfig) -> str:
    """Returns what reports call the model of a setting: its name, or that of its file."""
    return Path(setting.model).stem


def setting_key(setting: EnhancerConfig) -> str:
    """Returns what names the output of a setting in the cache: equal weights, not equal paths, give equal keys.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if setting.bypass:
        return "raw"
    loaded = load(setting.model, setting.engine, setting.num_threads, setting.providers)
    return f"{loaded.model.digest[:32]} {loaded.engine.name} {setting.effective_strength:.6f}"


def _run(setting: EnhancerConfig, samples: Samples, sample_rate: int) -> Output:
    enhancer = _enhancer(dataclasses.replace(setting, sample_rate=sample_rate))
    began = time.perf_counter()
    enhanced = enhancer.enhance(samples)
    return Output(np.asarray(enhanced, np.float32), time.perf_counter() - began)


@lru_cache(maxsize=8)
def _enhancer(setting: EnhancerConfig) -> Enhancer:
    return Enhancer.from_config(setting)
