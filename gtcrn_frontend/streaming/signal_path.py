"""`SignalPath`: processing of one mono stream around the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.resampler import Resampler
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import AutoStrengthConfig, Strength
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
        self._dry_is_model_input = output_sample_rate == spec.sample_rate
        self._dry_to_output = None if self._dry_is_model_input else _resampler(sample_rate, output_sample_rate)
        self._framer = Framer(spec.hop_length)
        ramp_length = spec.hop_length * output_sample_rate // spec.sample_rate
        self._mixer = Mixer(0.0 if bypass or strength == "auto" else strength, ramp_length)
        self._auto_strength_config = auto_strength or AutoStrengthConfig()
        self._auto_strength: AutoStrength | None = None
        self._waiting_dry = _EMPTY  # for the next `pull`
        self._samples_in = 0
        self._to_drop = spec.delay  # the engine's first output samples precede the stream's first
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

    def push(self, samples: F32) -> F32:
        """Returns complete hops `(n_hops, hop_length)` for the engine; samples are `(n,)`."""
        self._samples_in += len(samples)
        at_model = self._to_model.push(samples) if self._to_model else samples
        if self._dry_is_model_input:
            self._queue_dry(at_model)
        else:
            self._queue_dry(self._dry_to_output.push(samples) if self._dry_to_output else samples)
        return self._observed(self._framer.push(at_model))

    def finish(self) -> F32:
        """Returns the last hops: the remaining samples, and zeros to flush the engine."""
        if self._samples_in == 0:
            return np.empty((0, self._spec.hop_length), np.float32)
        at_model = self._to_model.flush() if self._to_model else _EMPTY
        if self._dry_is_model_input:
            self._queue_dry(at_model)
        elif self._dry_to_output:
            self._queue_dry(self._dry_to_output.flush())
        tail = self._framer.push(at_model)
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
            parts["auto_strength"] = self._auto_strength.state
        if self._mixer.ramp is not None:
            parts["strength_ramp"] = self._mixer.ramp.state
        for name, part in parts.items():
            arrays |= {f"{name}.{key}": array for key, array in part.items()}
        return arrays

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores a state on a new path; continues towards the strength set here.

        Automatic strength resumes if it was on when the state was saved; otherwise it starts afresh.

        Raises:
            StateError: the state does not fit, for example because of other rates. The path is then unusable.
        """
        by_stage, counters = split_state(
            state, (*self._stages(), "auto_strength", "strength_ramp"), MAX_SECONDS * self._sample_rate
        )
        dry_is_filtered = self._dry_to_output is not None or (self._dry_is_model_input and self._to_model is not None)
        check_ranges(
            state,
            model_is_filtered=self._to_model is not None,
            output_is_filtered=self._to_output is not None,
            dry_is_filtered=dry_is_filtered,
        )
        follows = self._mixer.ramp is not None
        for name, stage_object in self._stages().items():
            stage_object.load_state(by_stage[name])
        self._samples_in, self._to_drop = counters
        resamplers = self._to_model, self._to_output, self._dry_to_output
        dry_at_model = self._to_model if self._dry_is_model_input else None
        check_counts(self._spec, self._samples_in, self._to_drop, *resamplers, dry_at_model, self._framer, self._mixer)
        if self._auto_strength:
            self._load_auto_strength(by_stage["auto_strength"], by_stage["strength_ramp"], follows=follows)

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


def _resampler(rate_in: int, rate_out: int) -> Resampler | None:
    return None if rate_in == rate_out else Resampler(rate_in, rate_out)
