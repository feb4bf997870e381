"""`AutoStrength`: adapts the strength to the signal, hop by hop (`strength="auto"`).

It compares each input hop with its enhanced counterpart; see level_tracker.py for the algorithm. The strength never
reaches 1: some of the input remains, and pauses between words do not become digital silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import AutoStrengthConfig
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import MAX_ENHANCED, MAX_INPUT, ModelSpec
from gtcrn_frontend.streaming.auto_strength.level_tracker import LevelTracker, snr_db, target_strength, update

_SPEECH_S = 1.0  # time constants: of the speech level, in seconds of speech,
_NOISE_S = 0.4  # of the noise level, in seconds of pauses,
_LOST_S = 0.2  # of lost speech,
_DOUBT_S = 1.5  # of doubt,
_STRENGTH_S = 0.15  # and of the strength itself
_FLOOR_RISE_DB_PER_S = 15.0
_SPEECH_LEVEL = 1e-3  # -30 dB full scale: initial guess
_GUESS_HOPS = 4.0  # weight of that guess in hops of speech
_NOISE_LEVEL = 1e-6  # -60 dB, initial value
_FIRST_FLOOR = 1e-4  # -40 dB, initial value

MAX_ENERGY = (MAX_INPUT + MAX_ENHANCED) ** 2  # of what the network took away, and so of anything

_MOST_HOPS = 2**40  # centuries; C continues to count from there

_LEVELS = ("speech", "noise", "recent", "floor", "lost", "doubt", "strength", "speech_weight")  # in a saved state
_COUNTS = ("hops", "speech_hops", "lost_hops")
_NONE: F32 = np.empty(0, np.float32)


@dataclass(frozen=True)
class AutoStrengthReport:
    """State of the automatic strength of one channel.

    Attributes:
        snr_db: estimated SNR in dB.
        strength: strength of the last hop.
        doubt: 0 to 1: how often recent hops were neither kept nor removed.
        hops: number of hops since it was enabled.
        speech_hops: hops that are mostly speech.
        lost_hops: hops louder than the noise that were mostly removed.
    """

    snr_db: float
    strength: float
    doubt: float
    hops: int
    speech_hops: int
    lost_hops: int


class AutoStrength:
    """Computes the strengths of one channel from the hops before and after the engine.

    Args:
        spec: spec of the model, for rate and hop length.
        config: the parameters.

    The first hops of the engine precede the stream and cannot be measured; the strength is constant for them.
    """

    def __init__(self, spec: ModelSpec, config: AutoStrengthConfig) -> None:
        self._max_strength = config.max_strength
        self._past: F32 = np.zeros(spec.delay, np.float32)
        self._dry = _NONE
        self._hop_length = spec.hop_length
        self._to_skip = self._first_hops = -(-spec.delay // spec.hop_length)
        self._levels: LevelTracker = new_levels(spec, config).native()

    @property
    def strength(self) -> float:
        """Strength at the end of the last hop."""
        return self._levels.strength

    @property
    def report(self) -> AutoStrengthReport:
        """Current state."""
        levels = self._levels
        return AutoStrengthReport(
            snr_db(levels), levels.strength, levels.doubt, levels.hops, levels.speech_hops, levels.lost_hops
        )

    def push(self, hops: F32) -> None:
        """Takes input hops of the engine, `(n_hops, hop_length)`; call `pull` before the next `push`."""
        if hops.size == len(self._past):  # one hop and a delay of one hop: the engine will deliver the previous one
            self._dry, self._past = self._past, hops.flatten()
            return
        samples = np.concatenate([self._past, hops.reshape(-1)])
        self._dry = samples[: hops.size]  # aligned with what the engine will deliver
        self._past = samples[hops.size :].copy()

    def pull(self, enhanced: F32) -> list[float]:
        """Returns the strengths at the ends of the hops delivered by the engine for those pushed."""
        dry, self._dry = self._dry, _NONE  # a view would keep a long chunk alive
        if not self._to_skip:
            return update(self._levels, dry, enhanced)
        skipped = min(self._to_skip, len(enhanced))
        self._to_skip -= skipped
        still = [self.strength] * skipped
        return still + update(self._levels, dry[skipped * self._hop_length :], enhanced[skipped:])

    @property
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Level tracker, `(8,) float64`; hop counts, `(4,) int64`; the last input samples."""
        return {
            "levels": np.array([getattr(self._levels, name) for name in _LEVELS], np.float64),
            "hops": np.array([*(getattr(self._levels, name) for name in _COUNTS), self._to_skip], np.int64),
            "past": self._past.copy(),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]], stream_hops: int = _MOST_HOPS) -> None:
        """Restores a state, limited to the bounds set here; raises `StateError` if it is none of this stage.

        Args:
            state: what `state` was.
            stream_hops: that the stream has had; it can have measured these at most.
        """
        layout: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
            "levels": ((8,), np.float64),
            "hops": ((4,), np.int64),
            "past": (self._past.shape, np.float32),
        }
        for name, (shape, dtype) in layout.items():
            array = state.get(name)
            if array is None or array.shape != shape or array.dtype != dtype:
                raise StateError(
                    f"auto_strength: expected {name} of shape {shape} and type {np.dtype(dtype)}, got {array!r}"
                )
            if not np.isfinite(array).all() or (name != "past" and array.min() < 0):
                raise StateError(f"auto_strength: expected finite values from 0 in {name}, got {array}")
        levels = dict(zip(_LEVELS, state["levels"].tolist(), strict=True))
        if (
            max(levels["lost"], levels["doubt"], levels["strength"]) > 1
            or not _GUESS_HOPS <= levels["speech_weight"] <= self._levels.max_speech_weight
        ):
            raise StateError(
                f"auto_strength: expected levels, three shares of at most 1 and a count, got {state['levels']}"
            )
        if max(levels[name] for name in ("speech", "noise", "recent", "floor")) > MAX_ENERGY:
            raise StateError(f"auto_strength: expected energies of at most {MAX_ENERGY:g}, got {state['levels'][:4]}")
        *counts, to_skip = state["hops"].tolist()
        decided, *parts = counts
        if decided + self._first_hops - to_skip > min(stream_hops, _MOST_HOPS):
            raise StateError(f"auto_strength: expected at most {stream_hops} hops, got {state['hops']}")
        if max(parts) > decided or to_skip > (0 if decided else self._first_hops):
            raise StateError(f"auto_strength: expected counts that fit each other, got {state['hops']}")
        levels["strength"] = min(levels["strength"], self._max_strength)
        self._to_skip = to_skip
        for name, value in (*levels.items(), *zip(_COUNTS, counts, strict=True)):
            setattr(self._levels, name, value)
        self._past = state["past"].copy()


def new_levels(spec: ModelSpec, config: AutoStrengthConfig) -> LevelTracker:
    """Returns the initial level tracker."""
    hop_s = spec.hop_length / spec.sample_rate
    noise_step, lost_step, doubt_step, strength_step = (
        1 - math.exp(-hop_s / time_s) for time_s in (_NOISE_S, _LOST_S, _DOUBT_S, _STRENGTH_S)
    )
    levels = LevelTracker(
        **vars(config),
        noise_step=noise_step,
        lost_step=lost_step,
        doubt_step=doubt_step,
        strength_step=strength_step,
        floor_rise=10 ** (_FLOOR_RISE_DB_PER_S * hop_s / 10),
        max_speech_weight=_SPEECH_S / hop_s,
        speech=_SPEECH_LEVEL,
        noise=_NOISE_LEVEL,
        recent=_FIRST_FLOOR,
        floor=_FIRST_FLOOR,
        lost=0.0,
        doubt=0.0,
        strength=0.0,
        speech_weight=_GUESS_HOPS,
    )
    levels.strength = target_strength(levels)
    return levels
