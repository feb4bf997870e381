"""Settings and input of `EnhanceFrontend`: what applies to batches of waveforms, validated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from gtcrn_frontend.config import EngineSettings, EnhancerConfig, MixSettings
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.settings import check_keywords

_ROUNDING = 1e-4  # lengths computed in float32 may be slightly above 1

BATCHES = "whose batches have one rate and engine"


class FrontendSettings(MixSettings, EngineSettings, total=False):
    """Keyword arguments of `EnhanceFrontend`; see `EnhancerConfig`, whose fields they are."""

    engine: str


def frontend_config(sample_rate: int, settings: FrontendSettings) -> EnhancerConfig:
    """Returns the settings of a front-end; bypass and attenuation are a strength in it."""
    check_keywords(settings, FrontendSettings.__annotations__, "EnhanceFrontend")
    config = EnhancerConfig(sample_rate=sample_rate, **settings)
    if config.sample_rate is None:
        raise ConfigError("sample_rate: expected the rate of the waveforms in Hz, got None")
    if config.providers:
        raise ConfigError(f"expected settings without providers for SpeechBrain, {BATCHES}")
    strength = 0.0 if config.bypass else config.strength_or_auto
    return replace(config, strength=strength, max_attenuation_db=None, bypass=False)


def check_waveforms(wavs: Any, lengths: Any) -> None:
    """Raises `AudioFormatError` unless these are a batch of waveforms and its relative lengths, or None."""
    if not isinstance(wavs, Tensor) or not wavs.is_floating_point():
        got = f"a tensor of {wavs.dtype}" if isinstance(wavs, Tensor) else type(wavs).__name__
        raise AudioFormatError(f"expected waveforms as a tensor of floats, got {got}")
    if wavs.dim() not in (2, 3):
        hint = ": pass wavs[None] for a single signal" if wavs.dim() == 1 else ""
        raise AudioFormatError(
            f"expected waveforms (batch, time) or (batch, time, channels), got shape {tuple(wavs.shape)}{hint}"
        )
    if lengths is None:
        return
    if not isinstance(lengths, Tensor) or lengths.shape != wavs.shape[:1]:
        got = str(tuple(lengths.shape)) if isinstance(lengths, Tensor) else type(lengths).__name__
        raise AudioFormatError(f"expected lengths as a tensor of shape ({wavs.shape[0]},), got {got}")
    valid = (lengths > 0) & (lengths <= 1 + _ROUNDING)
    if not valid.all():
        raise AudioFormatError(
            f"expected lengths as fractions of the padded length in (0, 1], got {lengths[~valid][0].item():g}"
        )
