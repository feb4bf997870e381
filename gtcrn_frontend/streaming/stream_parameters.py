"""`StreamParameters`: what a stream is opened with and keeps."""

from __future__ import annotations

from dataclasses import dataclass

from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig, Strength
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.streaming.signal_path import SignalPath


@dataclass(frozen=True)
class StreamParameters:
    """Fixed settings of one stream, with the model's rates in place of missing ones.

    Attributes:
        sample_rate: rate of the input in Hz.
        output_sample_rate: rate of the output in Hz.
        channels: channels of the input.
        downmix: whether they are averaged first.
        auto_strength: parameters of `strength="auto"`.
    """

    sample_rate: int
    output_sample_rate: int
    channels: int
    downmix: bool
    auto_strength: AutoStrengthConfig

    @classmethod
    def of(cls, config: EnhancerConfig, spec: ModelSpec) -> StreamParameters:
        """Returns the settings of a config for a model."""
        rate = config.sample_rate or spec.sample_rate
        return cls(
            rate, config.output_sample_rate or rate, config.channels, config.downmix, config.auto_strength_config
        )

    @property
    def paths(self) -> int:
        """Number of output channels, each of which is processed on its own."""
        return 1 if self.downmix else self.channels

    def new_path(self, spec: ModelSpec, strength: Strength, *, bypass: bool) -> SignalPath:
        """Returns the stages of one output channel at its start."""
        return SignalPath(spec, self.sample_rate, self.output_sample_rate, strength, self.auto_strength, bypass=bypass)
