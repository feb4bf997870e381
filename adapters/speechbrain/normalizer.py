"""`EnhancingAudioNormalizer`: enhances files read by SpeechBrain's inference classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from speechbrain.dataio.preprocess import AudioNormalizer
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
from gtcrn_frontend.adapters.speechbrain.frontend_settings import FrontendSettings
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.deprecation import renamed_arguments
from gtcrn_frontend.model_spec import GTCRN_SPEC


class EnhancingAudioNormalizer:
    """Converts rate and channels like SpeechBrain's `AudioNormalizer`, then enhances.

    Usage in an inference YAML file:

        audio_normalizer: !new:gtcrn_frontend.adapters.speechbrain.EnhancingAudioNormalizer
            sample_rate: 16000

    It applies to files only; to enhance batches as well, use `with_frontend`.

    Args:
        sample_rate: of the output in Hz.
        mix: `avg-to-mono` for `(time,)`, or `keep` for `(time, channels)`.
        model: see `EnhanceFrontend`.
        **settings: see `EnhanceFrontend`.
    """

    @renamed_arguments(guard="auto_strength")
    def __init__(
        self,
        sample_rate: int = GTCRN_SPEC.sample_rate,
        mix: str = "avg-to-mono",
        *,
        model: str | Path = EnhancerConfig.model,
        **settings: Unpack[FrontendSettings],
    ) -> None:
        frontend = EnhanceFrontend(model, sample_rate=sample_rate, **settings)
        self._set_up(AudioNormalizer(sample_rate=sample_rate, mix=mix), frontend)

    @classmethod
    def around(cls, normalizer: Callable[..., Tensor], frontend: EnhanceFrontend) -> EnhancingAudioNormalizer:
        """Wraps another normalizer, which must have a `sample_rate`."""
        enhancing = cls.__new__(cls)
        enhancing._set_up(normalizer, frontend)
        return enhancing

    def _set_up(self, normalizer: Callable[..., Tensor], frontend: EnhanceFrontend) -> None:
        self.normalizer: Any = normalizer
        self.frontend = frontend.eval()

    @property
    def sample_rate(self) -> int:
        """Rate of the output in Hz."""
        return int(self.normalizer.sample_rate)

    def __call__(self, audio: Tensor, sample_rate: int) -> Tensor:
        """Returns the converted and enhanced signal, `(time,)` or `(time, channels)`.

        Args:
            audio: `(time,)` or `(time, channels)`.
            sample_rate: of `audio` in Hz.
        """
        normalized: Tensor = self.normalizer(audio, sample_rate)
        return self.frontend.enhance_batch(normalized[None])[0].to(normalized.device)
