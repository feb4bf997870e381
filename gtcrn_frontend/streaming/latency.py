"""Latency of a stream: transform, look-ahead and resampling filters."""

from __future__ import annotations

import math

from gtcrn_frontend.audio.polyphase import half_taps
from gtcrn_frontend.model_spec import ModelSpec


def latency_samples(spec: ModelSpec, rate: int, output_rate: int) -> int:
    """Returns the longest wait of a sample, in samples of the input: until its frame is complete, plus look-ahead.

    At rates other than the model's the true maximum is up to 0.1 ms lower, as filters start at whole samples.
    """
    seconds = (spec.win_length + spec.look_ahead) / spec.sample_rate
    if rate != spec.sample_rate:
        seconds += half_taps(rate) / rate
    if output_rate != spec.sample_rate:
        seconds += half_taps(spec.sample_rate) / spec.sample_rate
    return math.ceil(seconds * rate)


def lag_samples(spec: ModelSpec, rate: int, output_rate: int) -> int:
    """Returns the most output samples that may be outstanding.

    Just before the sample with the longest latency is delivered, it and all later ones are.
    """
    return math.ceil((latency_samples(spec, rate, output_rate) - 1) * output_rate / rate)
