"""`SignalPath`: processing of one mono stream around the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.resampler import Resampler
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import AutoStrengthConfig, Strength
from gtcrn_frontend.engines.direct_path import Position
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrength, AutoStrengthReport
from gtcrn_frontend.streaming.framer import Framer
from gtcrn_frontend.streaming.mixer import AlignedChunk, Mixer
from gtcrn_frontend.streaming.path_checks import check_counts, check_ranges, split_state
from gtcrn_frontend.streaming.strength_ramp import HopGrid, StrengthRamp

Arrays = dict[str, npt.NDArray[Any]]

MAX_SECONDS = 10 * 365 * 86_400
"""Ten years: states that claim more are damaged, and larger products of counts and rates could overflow in C."""

_EMPTY = np.empty(0, np.float32)


class _Stage(Protocol):
    @property
    def state(self) -> Arrays: ...

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None: ...

    def reset(self) -> None: ...


class SignalPath:
    """Resampler and framer before the engine; trimming, resampler and mixer after it.

    The caller passes the result of `push` through the engine to `pull`, alone or batched with other streams:

        aligned = path.pull(engine.process(path.push(samples), engine_state))
    """

    def __init__(
        self,
        spec: ModelSpec,
        sample_rate: int,
        output_sample_rate: int,
        strength: Strength,
        auto_strength: AutoStrengthConfig | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        self._spec = spec
        self._sample_rate = sample_rate
        self._grid = HopGrid(spec.hop_length, spec.delay, spec.sample_rate, output_sample_rate)
        self._to_model = _resampler(sample_rate, spec.sample_rate)
        self._to_output = _resampler(spec.sample_rate, output_sample_rate)
        self._dry_to_output = _resampler(sample_rate, output_sample_rate)
        self._framer = Framer(spec.hop_length)
        ramp_length = spec.hop_length * output_sample_rate // spec.sample_rate
        self._mixer = Mixer(0.0 if bypass or strength == "auto" else strength, ramp_length)
        self._auto_strength_config = auto_strength or AutoStrengthConfig()
        self._auto_strength: AutoStrength | None = None
        self._waiting_dry = _EMPTY  # for the next `pull`
        self._samples_in = 0
        self._to_drop = spec.delay  # the engine's first output samples precede the stream's first
        self.latency_samples = self._latency_samples(sample_rate)
        self.lag_samples = self._lag_samples(sample_rate, output_sample_rate)
        self.set_strength(strength, bypass=bypass)

    @property
    def samples_in(self) -> int:
        """Input samples so far, at the input's rate."""
        return self._samples_in

    @property
    def samples_out(self) -> int:
        """Output samples so far, at the output's rate."""
        return self._mixer.samples_out

    @property
    def hops(self) -> int:
        """Hops passed to the engine so far."""
        framed = self._to_model.samples_out if self._to_model else self._samples_in
        return (framed - self._framer.held) // self._spec.hop_length

    @property
    def auto_strength_report(self) -> AutoStrengthReport | None:
        """State of the automatic strength; None while it is off."""
        auto_strength = self._auto_strength  # read once: another thread may switch it off
        return auto_strength.report if auto_strength else None

    def set_strength(self, strength: Strength, *, bypass: bool = False) -> None:
        """Ramps to another strength in [0, 1] within one hop, or enables automatic strength from the next hop on.

        In bypass, the automatic strength keeps adapting.
        """
        if strength != "auto":
            self._auto_strength = None
            self._mixer.set_strength(0.0 if bypass else strength)
            return
        if self._auto_strength is None:
            self._auto_strength = AutoStrength(self._spec, self._auto_strength_config)
        if bypass:
            self._mixer.set_strength(0.0)
        elif self._mixer.ramp is None:
            self._mixer.follow(self._new_ramp(self._auto_strength))

    def direct_position(self, strength: Strength) -> Position | None:
        """Returns the position for an engine's direct path at this strength; None if it cannot take over here."""
        if self._to_model or self._to_output or strength == 0:
            return None
        hops, held = divmod(self._samples_in, self._spec.hop_length)
        recent = self._mixer.waiting_dry
        expected = (held + min(hops, 1) * self._spec.hop_length, 0, held, 0 if hops else self._spec.delay)
        # Anything else comes from a hand-made state, which only the stages can process.
        if (len(recent), self._mixer.waiting_enhanced, self._framer.held, self._to_drop) != expected:
            return None
        auto_strength, ramp = self._auto_strength, self._mixer.ramp
        if strength != "auto":
            is_there = auto_strength is None and self._mixer.is_still_at(strength)
            return Position(self._samples_in, recent, held, strength) if is_there else None
        if auto_strength is None or ramp is None or not ramp.is_at(hops, auto_strength.strength):
            return None
        past = recent[: len(recent) - held]
        return (
            Position(self._samples_in, recent, held, auto_strength=auto_strength.levels)
            if auto_strength.is_up_to_date(past)
            else None
        )

    def resume(self, position: Position) -> None:
        """Resumes from the position of a direct path."""
        samples_in, recent, held, *_ = position
        self._samples_in = samples_in
        self._to_drop = 0 if samples_in > held else self._spec.delay
        self._framer.resume(recent[len(recent) - held :])
        self._mixer.resume(recent, samples_in - len(recent))
        if self._auto_strength:
            self._auto_strength.resume(recent[: len(recent) - held])
            if self._mixer.ramp is not None:
                self._mixer.ramp.resume(samples_in // self._spec.hop_length, self._auto_strength.strength)

    def push(self, samples: F32) -> F32:
        """Returns complete hops `(n_hops, hop_length)` for the engine; samples are `(n,)`."""
        self._samples_in += len(samples)
        self._queue_dry(self._dry_to_output.push(samples) if self._dry_to_output else samples)
        return self._observed(self._framer.push(self._to_model.push(samples) if self._to_model else samples))

    def finish(self) -> F32:
        """Returns the last hops: the remaining samples, and zeros to flush the engine."""
        if self._samples_in == 0:
            return np.empty((0, self._spec.hop_length), np.float32)
        if self._dry_to_output:
            self._queue_dry(self._dry_to_output.flush())
        tail = self._framer.push(self._to_model.flush()) if self._to_model else self._framer.push(_EMPTY)
        silent_hops = -(-self._spec.delay // self._spec.hop_length)
        silence = np.zeros((silent_hops, self._spec.hop_length), np.float32)
        return self._observed(np.concatenate([tail, self._framer.flush(), silence]))

    def pull(self, enhanced: F32, *, last: bool = False) -> AlignedChunk:
        """Returns complete samples at the output's rate.

        Args:
            enhanced: output of the engine for the hops, in the same shape.
            last: these are the hops of `finish`; resets the path.
        """
        if self._auto_strength:
            strengths = self._auto_strength.pull(enhanced)
            if self._mixer.ramp is not None:
                self._mixer.ramp.extend(strengths)
        samples = enhanced.reshape(-1)
        if self._to_drop:
            dropped = min(self._to_drop, len(samples))
            self._to_drop -= dropped
            samples = samples[dropped:]
        if self._to_output:
            samples = self._to_output.push(samples)
            if last:
                samples = np.concatenate([samples, self._to_output.flush()])
        aligned = self._mixer.push(self._waiting_dry, samples)
        self._waiting_dry = _EMPTY
        if last:
            self.reset()
        return aligned

    def reset(self) -> None:
        """Resets the path, including the automatic strength."""
        if self._auto_strength:
            self._auto_strength = AutoStrength(self._spec, self._auto_strength_config)
        for stage in self._stages().values():
            stage.reset()
        self._waiting_dry = _EMPTY
        self._samples_in = 0
        self._to_drop = self._spec.delay

    @property
    def state(self) -> Arrays:
        """Copies of the arrays of all stages, named `stage.array`, and of the counters."""
        arrays: Arrays = {"counters": np.array([self._samples_in, self._to_drop], np.int64)}
        parts = {name: stage.state for name, stage in self._stages().items()}
        if self._auto_strength:
            parts["guard"] = self._auto_strength.state
        if self._mixer.ramp is not None:
            parts["track"] = self._mixer.ramp.state
        for name, part in parts.items():
            arrays |= {f"{name}.{key}": array for key, array in part.items()}
        return arrays

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores a state on a new path; continues towards the strength set here.

        Automatic strength resumes if it was on when the state was saved; otherwise it starts afresh.

        Raises:
            StateError: the state does not fit, for example because of other rates. The path is then unusable.
        """
        by_stage, counters = split_state(state, (*self._stages(), "guard", "track"), MAX_SECONDS * self._sample_rate)
        check_ranges(state, self._to_model, self._to_output, self._dry_to_output)
        follows = self._mixer.ramp is not None
        for name, stage_object in self._stages().items():
            stage_object.load_state(by_stage[name])
        self._samples_in, self._to_drop = counters
        resamplers = self._to_model, self._to_output, self._dry_to_output
        check_counts(self._spec, self._samples_in, self._to_drop, *resamplers, self._framer, self._mixer)
        if self._auto_strength:
            self._load_auto_strength(by_stage["guard"], by_stage["track"], follows=follows)

    def _load_auto_strength(self, auto_strength: Arrays, ramp: Arrays, *, follows: bool) -> None:
        self._auto_strength = AutoStrength(self._spec, self._auto_strength_config)
        if auto_strength:
            self._auto_strength.load_state(auto_strength, self.hops)
        if follows:
            new = self._new_ramp(self._auto_strength)
            if ramp:
                new.load_state(ramp)
                new.check_place(self.hops, self.samples_out)
            self._mixer.follow(new)

    def _new_ramp(self, auto_strength: AutoStrength) -> StrengthRamp:
        """Returns a strength ramp that starts at the next hop."""
        strength = self._mixer.strength if self._mixer.samples_out else auto_strength.strength
        return StrengthRamp(self._grid, strength, self.hops)

    def _observed(self, hops: F32) -> F32:
        if self._auto_strength:
            self._auto_strength.push(hops)
        return hops

    def _queue_dry(self, dry: F32) -> None:
        # Several `push` calls before a `pull` occur only at the end of a stream.
        self._waiting_dry = np.concatenate([self._waiting_dry, dry]) if len(self._waiting_dry) else dry

    def _stages(self) -> dict[str, _Stage]:
        stages: dict[str, _Stage | None] = {
            "to_model": self._to_model,
            "to_output": self._to_output,
            "dry_to_output": self._dry_to_output,
            "framer": self._framer,
            "mixer": self._mixer,
        }
        return {name: stage for name, stage in stages.items() if stage is not None}

    def _resamplers_delay_s(self) -> float:
        stages = (self._to_model, self._to_output)
        return sum(stage.delay_samples_in / stage.rate_in for stage in stages if stage)

    def _latency_samples(self, rate: int) -> int:
        """Latency: until the sample's frame is complete, plus look-ahead and resampling filters.

        At rates other than the model's the true maximum is up to 0.1 ms lower, as filters start at whole samples.
        """
        frame_s = (self._spec.win_length + self._spec.look_ahead) / self._spec.sample_rate
        return math.ceil((frame_s + self._resamplers_delay_s()) * rate)

    def _lag_samples(self, rate: int, output_rate: int) -> int:
        """Just before the sample with the longest latency is delivered, it and all later ones are outstanding."""
        return math.ceil((self._latency_samples(rate) - 1) * output_rate / rate)


def _resampler(rate_in: int, rate_out: int) -> Resampler | None:
    return None if rate_in == rate_out else Resampler(rate_in, rate_out)
