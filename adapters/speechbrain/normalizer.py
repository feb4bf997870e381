"""`EnhancingAudioNormalizer`: enhances what SpeechBrain's inference classes read from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from speechbrain.dataio.preprocess import AudioNormalizer
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.deprecation import renamed_arguments
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthConfig, Strength


class EnhancingAudioNormalizer:
    """Converts rate and channels as SpeechBrain's `AudioNormalizer` does, then enhances.

    For an inference YAML, without code:

        audio_normalizer: !new:gtcrn_frontend.adapters.speechbrain.EnhancingAudioNormalizer
            sample_rate: 16000

    It is called for files only. For batches as well, use `with_frontend` instead.

    Args:
        sample_rate: of the output in Hz.
        mix: `avg-to-mono` for `(time,)`, or `keep` for `(time, channels)`.
        model: see `EnhanceFrontend`.
        strength: 0 (as `AudioNormalizer`) to 1 (full enhancement); or `auto`: the guard chooses it.
        engine: `auto` (the fastest present), `native`, `onnx` or `torch`.
        auto_strength: parameters of the guard, also by name; None are those fitted.
    """

    @renamed_arguments(guard="auto_strength")
    def __init__(
        self,
        sample_rate: int = GTCRN_SPEC.sample_rate,
        mix: str = "avg-to-mono",
        *,
        model: str | Path = EnhancerConfig.model,
        strength: Strength = 1.0,
        engine: str = EnhancerConfig.engine,
        auto_strength: AutoStrengthConfig | Mapping[str, float] | None = None,
    ) -> None:
        frontend = EnhanceFrontend(
            model, strength=strength, sample_rate=sample_rate, engine=engine, auto_strength=auto_strength
        )
        self._set_up(AudioNormalizer(sample_rate=sample_rate, mix=mix), frontend)

    @classmethod
    def around(cls, normalizer: Callable[..., Tensor], frontend: EnhanceFrontend) -> EnhancingAudioNormalizer:
        """Returns one that enhances the output of another normalizer, which has a `sample_rate`."""
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
        """Returns the signal `(time,)`, or `(time, channels)`, converted and enhanced.

        Args:
            audio: `(time,)` or `(time, channels)`.
            sample_rate: of `audio` in Hz.
        """
        normalized: Tensor = self.normalizer(audio, sample_rate)
        return self.frontend.enhance_batch(normalized[None])[0].to(normalized.device)
