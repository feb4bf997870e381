"""`Enhance`: enhancement as a transform of Lhotse, applied when audio is loaded and kept in manifests by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

from lhotse.augmentation import AudioTransform

from gtcrn_frontend.adapters.whole_signals import Signal, WholeSignalSettings, enhance_signal
from gtcrn_frontend.config import DEFAULT_STRENGTH, EnhancerConfig, Strength
from gtcrn_frontend.settings import check_keywords

_ALWAYS_WRITTEN = ("model", "strength")  # a manifest means the same where later versions have other defaults


@dataclass(init=False)
class Enhance(AudioTransform):  # type: ignore[misc]  # Lhotse has no types
    """Enhances each channel of what Lhotse loads, at any rate; samples and timestamps stay aligned.

    Lhotse finds the class by its name in manifests once this module is imported, in each process that loads audio.
    Rates and shapes are those of the audio. The model is loaded when the first audio is, once per process.

    Args:
        strength: weight of the enhanced signal, 0 to 1, or `auto`.
        **settings: model, engine and so on, see `EnhancerConfig`.

    Raises:
        ConfigError: a setting is out of range.
    """

    config: EnhancerConfig

    def __init__(self, strength: Strength = DEFAULT_STRENGTH, **settings: Unpack[WholeSignalSettings]) -> None:
        check_keywords(settings, WholeSignalSettings.__annotations__, "Enhance")
        self.config = EnhancerConfig(strength=strength, **settings)

    def __call__(self, samples: Signal, sampling_rate: int) -> Signal:
        """Returns samples `(channels, n)` float32, enhanced; see `enhance_signal` for errors."""
        return enhance_signal(samples, sampling_rate, self.config)

    def reverse_timestamps(
        self, offset: float, duration: float | None, sampling_rate: int
    ) -> tuple[float, float | None]:
        """Returns offset and duration in seconds as they are: output sample i is input sample i."""
        return offset, duration

    def to_dict(self) -> dict[str, Any]:
        """Returns name and settings as manifests hold them; settings that have their default are left out."""
        defaults = EnhancerConfig().to_dict()
        kwargs = {
            name: value
            for name, value in self.config.to_dict().items()
            if name in _ALWAYS_WRITTEN or value != defaults[name]
        }
        if self.config.max_attenuation_db is not None:  # the same setting in another unit
            del kwargs["strength"]
        return {"name": type(self).__name__, "kwargs": kwargs}

    @property
    def affix(self) -> str:
        """What the ids of enhanced recordings and cuts end with: `_enh0.8`, `_enhauto`."""
        strength = self.config.strength_or_auto
        return f"_enh{strength if strength == 'auto' else format(strength, '.3g')}"
