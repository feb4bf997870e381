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

    Settings that differ in their strength alone share one run: mixing is linear, s * enhanced + (1 - s) * input.

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
        full = at_full_strength(setting)
        if full not in enhanced:
            enhancer = _enhancer(dataclasses.replace(full, sample_rate=sample_rate))
            began = time.perf_counter()
            wet = enhancer.enhance(samples)
            enhanced[full] = Output(np.asarray(wet, np.float32), time.perf_counter() - began)
        wet, s = enhanced[full].samples, np.float32(setting.effective_strength)
        yield Output(wet if s == 1 else s * wet + (1 - s) * samples, enhanced[full].took_s)


def at_full_strength(setting: EnhancerConfig) -> EnhancerConfig:
    """Returns the setting at strength 1: equal ones run the same network on the same signal."""
    return dataclasses.replace(setting, strength=1.0, max_attenuation_db=None)


def name_of_setting(setting: EnhancerConfig) -> str:
    """Returns what reports call a setting."""
    if setting.bypass:
        return "no front-end"
    return f"{name_of_model(setting)} {setting.effective_strength:g}"


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


@lru_cache(maxsize=8)
def _enhancer(setting: EnhancerConfig) -> Enhancer:
    return Enhancer.from_config(setting)
