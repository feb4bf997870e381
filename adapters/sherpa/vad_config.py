"""`VadConfig`: settings of sherpa-onnx's voice activity detectors in a pipeline file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.sherpa.factory_args import checked_value
from gtcrn_frontend.adapters.sherpa.library import sherpa_onnx
from gtcrn_frontend.adapters.sherpa.model_check import check_silero_vad
from gtcrn_frontend.adapters.sherpa.silero_model import WHERE, installed_silero_vad
from gtcrn_frontend.adapters.sherpa.subprocess_check import try_in_child
from gtcrn_frontend.adapters.sherpa.vad import DEFAULT_ROUTE, ROUTES
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_names

MODELS = {"silero_vad": "SileroVadModelConfig", "ten_vad": "TenVadModelConfig"}
"""Detectors by their name in pipeline files, with sherpa-onnx's settings classes."""

SAMPLE_RATE = 16_000  # the only rate of both detectors; others end the process

_CREATE = """
from gtcrn_frontend.adapters.sherpa.vad_config import VadConfig
VadConfig(**given).create()
"""
_COMMON = ("num_threads", "provider", "debug")
_OWN = ("route", "buffer_size_in_seconds")


@dataclass(frozen=True)
class VadConfig:
    """Settings of a detector.

    Attributes:
        model: a key of `MODELS`.
        settings: validated settings of the model, by sherpa-onnx's names.
        common: of sherpa-onnx's `VadModelConfig`.
        route: a key of `vad.ROUTES`.
        buffer_size_in_seconds: initial buffer size of the detector.
    """

    model: str
    settings: Mapping[str, Any]
    common: Mapping[str, Any]
    route: str = DEFAULT_ROUTE
    buffer_size_in_seconds: float = 60.0

    @classmethod
    def from_dict(cls, values: Any, folder: Path) -> VadConfig:
        """Returns settings from a section of a pipeline file; relative paths are relative to `folder`.

        Without `model`, Silero VAD is that of the package `silero-vad`, if it is installed.

        Raises:
            ConfigError: a setting is unknown or invalid.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected settings by name, got {values!r}")
        check_names(values, (*MODELS, *_COMMON, *_OWN), "settings of a detector")
        chosen = [name for name in MODELS if name in values]
        if len(chosen) != 1:
            raise ConfigError(f"expected one of {' and '.join(MODELS)}, got {' and '.join(chosen) or 'none'}")
        route = values.get("route", DEFAULT_ROUTE)
        check_names({route: None}, list(ROUTES), "a route")
        buffer_s = checked_value("buffer_size_in_seconds", values.get("buffer_size_in_seconds", 60.0), float, folder)
        common = _checked(sherpa_onnx().VadModelConfig(), {k: v for k, v in values.items() if k in _COMMON}, folder)
        try:
            settings = _model_settings(chosen[0], values[chosen[0]], folder)
        except ConfigError as error:
            raise ConfigError(f"{chosen[0]}: {error}") from error
        return cls(chosen[0], settings, common, route, buffer_s)

    def check_model(self, *, trial: bool) -> None:
        """Raises `ModelError` if sherpa-onnx would end the process over the model.

        Args:
            trial: load the model in a child process if it cannot be checked.
        """
        if self.model == "silero_vad":
            check_silero_vad(self.settings["model"], self.settings.get("window_size"))
        elif trial:
            try_in_child(_CREATE, dataclasses.asdict(self), self.model)

    def create(self) -> Any:
        """Returns a new `VoiceActivityDetector`."""
        module = sherpa_onnx()
        settings = getattr(module, MODELS[self.model])(**self.settings)
        config = module.VadModelConfig(**{self.model: settings}, sample_rate=SAMPLE_RATE, **self.common)
        return module.VoiceActivityDetector(config, buffer_size_in_seconds=self.buffer_size_in_seconds)


def _model_settings(name: str, values: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"expected settings by name, model among them, got {values!r}")
    if "model" not in values:
        found = installed_silero_vad() if name == "silero_vad" else None
        if found is None:
            hint = f": {WHERE}" if name == "silero_vad" else ""
            raise ConfigError(f"expected settings by name, model among them, got {values!r}{hint}")
        values = {"model": str(found), **values}
    settings = _checked(getattr(sherpa_onnx(), MODELS[name])(), values, folder)
    defaults = {"threshold": 0.5, "min_silence_duration": 0.5, "min_speech_duration": 0.25, "max_speech_duration": 20}
    effective = defaults | settings
    if not 0.01 <= effective["threshold"] < 1:
        raise ConfigError(f"threshold: expected 0.01 to 1, got {effective['threshold']}")
    for key in ("min_silence_duration", "min_speech_duration", "max_speech_duration"):
        if effective[key] <= 0:
            raise ConfigError(f"{key}: expected more than 0 s, got {effective[key]}")
    return settings


def _checked(defaults: Any, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Validates values against the attribute types of sherpa-onnx's settings object."""
    known = {name: type(getattr(defaults, name)) for name in vars(type(defaults)) if not name.startswith("_")}
    known = {name: kind for name, kind in known.items() if kind in (bool, int, float, str)}
    check_names(values, list(known), "settings of sherpa-onnx")
    return {name: checked_value(name, value, known[name], folder) for name, value in values.items()}
