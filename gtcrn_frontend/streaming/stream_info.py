"""`StreamInfo`: a snapshot of the settings and counts of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from gtcrn_frontend.config import Strength
from gtcrn_frontend.deprecation import renamed_attribute
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.stream import Stream


@dataclass(frozen=True)
class StreamInfo:
    """Snapshot of one stream of a pool; see the properties of `Enhancer` of the same names.

    Attributes:
        sample_rate: rate of the input in Hz.
        output_sample_rate: rate of the output in Hz.
        channels: channels of the input.
        strength: 0 (input unchanged) to 1 (full enhancement), or `auto`.
        bypass: whether the aligned input is delivered instead.
        latency_samples: worst-case algorithmic latency in samples of the input.
        lag_samples: maximum number of output samples by which the output trails the input.
        samples_in: input samples per channel so far.
        samples_out: output samples per channel so far.
        auto_strength_reports: state of `strength="auto"` per channel; empty while it is off.
    """

    sample_rate: int
    output_sample_rate: int
    channels: int
    strength: Strength
    bypass: bool
    latency_samples: int
    lag_samples: int
    samples_in: int
    samples_out: int
    auto_strength_reports: tuple[AutoStrengthReport, ...]

    guards = renamed_attribute("guards", "auto_strength_reports")

    @property
    def latency_ms(self) -> float:
        """Worst-case algorithmic latency in milliseconds, without computing time."""
        return 1000 * self.latency_samples / self.sample_rate


def stream_info(stream: Stream) -> StreamInfo:
    """Returns a snapshot of a stream, which another thread may be advancing."""
    samples_out = stream.samples_out  # read first: more may arrive meanwhile
    return StreamInfo(
        sample_rate=stream.sample_rate,
        output_sample_rate=stream.output_sample_rate,
        channels=stream.config.channels,
        strength=stream.strength,
        bypass=stream.bypass,
        latency_samples=stream.latency_samples,
        lag_samples=stream.lag_samples,
        samples_in=stream.samples_in,
        samples_out=samples_out,
        auto_strength_reports=stream.auto_strength_reports,
    )
