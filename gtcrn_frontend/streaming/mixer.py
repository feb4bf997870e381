"""Observation adding: mixes the enhanced signal with the aligned input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.streaming.strength_ramp import StrengthRamp

_EMPTY = np.empty(0, np.float32)


class AlignedChunk(NamedTuple):
    """Time-aligned samples before and after enhancement, each `(n,)` in the type of the input.

    Attributes:
        start_sample: index of the first sample in the stream, from 0.
        dry: the input.
        enhanced: the network's output at full strength.
        mixed: strength * enhanced + (1 - strength) * dry, what `process_chunk` returns.
    """

    start_sample: int
    dry: npt.NDArray[Any]
    enhanced: npt.NDArray[Any]
    mixed: npt.NDArray[Any]


class Mixer:
    """Delays the input to align it with the enhanced signal; ramps changes of the strength.

    The strength is set by `set_strength`, or follows a `StrengthRamp`.
    """

    def __init__(self, strength: float, ramp_length: int) -> None:
        """Starts at `strength` in [0, 1]; changes take `ramp_length` samples."""
        self._ramp_length = ramp_length
        self._dry = _EMPTY
        self._enhanced = _EMPTY
        self._samples_out = 0
        self._start = self._target = strength
        self._position = ramp_length  # completed samples of the ramp from start to target
        self._followed: StrengthRamp | None = None  # in place of that ramp

    @property
    def samples_out(self) -> int:
        """Samples mixed since the stream began."""
        return self._samples_out

    @property
    def strength(self) -> float:
        """The strength of the last sample, or that of the first before there is one."""
        if self._followed is not None:
            return self._followed.at(self._samples_out)
        done = min(self._position / self._ramp_length, 1.0)
        return self._start + (self._target - self._start) * done

    @property
    def ramp(self) -> StrengthRamp | None:
        """The ramp that the strength follows; None if it was set."""
        return self._followed

    @property
    def waiting_dry(self) -> F32:
        """Input samples whose enhanced counterparts have not arrived, `(n,)`."""
        return self._dry

    @property
    def waiting_enhanced(self) -> int:
        """Number of enhanced samples whose input counterparts have not arrived."""
        return len(self._enhanced)

    def set_strength(self, strength: float) -> None:
        """Ramps to another strength from the next sample on; immediate before the first sample."""
        if strength == self._target and self._followed is None:
            return
        self._start = strength if self._samples_out == 0 else self.strength
        self._target = strength
        self._position = 0
        self._followed = None

    def follow(self, ramp: StrengthRamp) -> None:
        """Follows a `StrengthRamp` until `set_strength`."""
        self._followed = ramp

    def push(self, dry: F32, enhanced: F32) -> AlignedChunk:
        """Returns the samples available in both signals; either may run ahead of the other."""
        count = min(len(self._dry) + len(dry), len(self._enhanced) + len(enhanced))
        dry, self._dry = _divided(self._dry, dry, count)
        enhanced, self._enhanced = _divided(self._enhanced, enhanced, count)
        chunk = AlignedChunk(self._samples_out, dry, enhanced, self._mix(dry, enhanced))
        self._samples_out += count
        return chunk

    def reset(self) -> None:
        """Resets the stream, at the last strength set."""
        self.__init__(self._target, self._ramp_length)  # type: ignore[misc]

    @property
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Buffered samples and the position in the ramp (completed if it follows a `StrengthRamp`)."""
        ramp = (self._start, self._target, self._position)
        if self._followed is not None:
            ramp = (self.strength, self.strength, self._ramp_length)
        return {
            "dry": self._dry.copy(),
            "enhanced": self._enhanced.copy(),
            "ramp": np.array(ramp, np.float64),
            "samples_out": np.array([self._samples_out], np.int64),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores a state; continues towards the last strength set.

        Raises:
            StateError: the state does not fit.
        """
        expected = {"dry": np.float32, "enhanced": np.float32, "ramp": np.float64, "samples_out": np.int64}
        for name, dtype in expected.items():
            array = state.get(name)
            if array is None or array.ndim != 1 or array.dtype != dtype:
                raise StateError(f"mixer: expected {name} of shape (n,) and type {np.dtype(dtype)}, got {array!r}")
            if not np.isfinite(array).all():
                raise StateError(f"mixer: expected finite values in {name}, got NaN or infinity")
        if len(state["dry"]) and len(state["enhanced"]):
            raise StateError("mixer: expected samples that wait for their counterpart, got both")
        if len(state["ramp"]) != 3 or len(state["samples_out"]) != 1:
            raise StateError("mixer: expected a ramp of 3 values and one count, got another state")
        start, target, position = (float(value) for value in state["ramp"])
        samples_out = int(state["samples_out"][0])
        if not (0 <= start <= 1 and 0 <= target <= 1 and 0 <= position <= self._ramp_length and samples_out >= 0):
            raise StateError(f"mixer: expected strengths in [0, 1] and a place in the ramp, got {state['ramp']}")
        wanted = self._target
        self._dry, self._enhanced = (state[name].astype(np.float32) for name in ("dry", "enhanced"))
        self._start, self._target, self._position = start, target, int(position)
        self._samples_out, self._followed = samples_out, None
        self.set_strength(wanted)

    def _mix(self, dry: F32, enhanced: F32) -> F32:
        if self._followed is not None:
            return self._followed.mix(dry, enhanced, self._samples_out)
        if self._position < self._ramp_length and self._start != self._target:
            return self._mix_ramp(dry, enhanced)
        if self._target == 1.0:
            return enhanced
        if self._target == 0.0:
            return dry
        return _weighted(np.float32(self._target), dry, enhanced)

    def _mix_ramp(self, dry: F32, enhanced: F32) -> F32:
        """Sample k of the ramp (from 1) has the fraction k / ramp_length of the change, however samples are chunked."""
        steps = np.arange(self._position + 1, self._position + 1 + len(dry))
        self._position = min(self._position + len(dry), self._ramp_length)
        way = np.minimum(steps / self._ramp_length, 1.0)
        strength = (self._start + (self._target - self._start) * way).astype(np.float32)
        return _weighted(strength, dry, enhanced)


def _divided(held: F32, new: F32, count: int) -> tuple[F32, F32]:
    """Returns the first `count` samples of the buffer followed by the new ones, and a copy of the rest.

    A copy, because the caller may reuse its buffer and a view would keep a long one alive.
    """
    if len(held) == count:  # chunks of whole hops: nothing to concatenate
        # A view, as below: dry and mixed may be the same samples; whoever delivers them copies views.
        return held[:], new.copy() if len(new) else _EMPTY
    joined = np.concatenate([held, new]) if len(held) else new
    return joined[:count], joined[count:].copy() if count < len(joined) else _EMPTY


def _weighted(strength: F32 | np.float32, dry: F32, enhanced: F32) -> F32:
    return np.asarray(strength * enhanced + (np.float32(1) - strength) * dry)
