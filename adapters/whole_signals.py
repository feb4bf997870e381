"""Enhancement of complete signals for corpora: any rate, any number of channels, one loaded model per process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer

Signal = npt.NDArray[Any]

_KEPT = 32  # enhancers by rate and settings; each is some 100 KB, and all share the loaded model


class WholeSignalSettings(TypedDict, total=False):
    """Keyword arguments beside `strength`; see `EnhancerConfig`, whose fields they are."""

    model: str | Path
    engine: str
    max_attenuation_db: float | None
    auto_strength: AutoStrengthConfig | Mapping[str, float] | None
    num_threads: int
    providers: Sequence[str]


def enhance_signal(samples: Signal, sample_rate: int, config: EnhancerConfig) -> Signal:
    """Returns a complete signal, enhanced: same shape and type, aligned to the sample.

    The model is loaded once per process, also in workers that were forked, and stays loaded.

    Args:
        samples: `(n,)`, or `(channels, n)`, of which each channel is enhanced on its own; float32 or float64 in
            [-1, 1], or int16.
        sample_rate: in Hz.
        config: settings; rates and channels are those of the signal.

    Raises:
        AudioFormatError: wrong shape or type, NaN, infinity, or floats beyond +-8.
        ConfigError: the rate is out of range.
        ModelError: the model or the engine cannot be loaded.
    """
    enhancer = _enhancer(config, sample_rate, os.getpid())
    if samples.ndim != 2:
        return enhancer.enhance(samples)
    return np.stack([enhancer.enhance(channel) for channel in samples]) if len(samples) else samples


@lru_cache(maxsize=_KEPT)
def _enhancer(config: EnhancerConfig, sample_rate: int, process_id: int) -> Enhancer:
    """The enhancer for a rate; `process_id` because a forked process must load the model anew, once."""
    return Enhancer.from_config(replace(config, sample_rate=sample_rate, channels=1))
