"""The guard, `strength="auto"`: how much enhancement the sound of this moment needs, hop by hop.

All it knows of a hop are three energies: of the input d, of the enhanced signal e, and of what the network took away,
d - e. From those it follows

    speech level   the energy of e, averaged over hops in which e is not small against d - e and the level itself
    noise level    the energy of d - e, averaged over the other hops
    lost speech    hops much louder than the noise of which little is left: words taken for noise, or sudden noise

and sets the strength between two bounds by the ratio of the levels, less where speech is lost, and smoothed:

    wanted = max - (max - min) * clip((SNR - noisy) / (clean - noisy), 0, 1)
    wanted = wanted * (1 - caution * lost)

Everything is a continuous function of the energies, so that engines that differ in the last bits agree here, too.
The strength never reaches 1: some of the input stays, and silence between words does not become digital silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ConfigError, StateError
from gtcrn_frontend.spec import ModelSpec
from gtcrn_frontend.weights.parameters import F32

Strength = float | Literal["auto"]
"""A strength from 0 to 1, or that of the guard."""

Energies = tuple[float, float, float]
"""Of one hop: sums of squares of the input, the enhanced signal, and their difference."""

_SPEECH_S = 1.0  # time constants: of the speech level, counted in speech,
_NOISE_S = 0.4  # of the noise level, counted in pauses,
_LOST_S = 0.2  # of lost speech,
_STRENGTH_S = 0.15  # and of the strength itself
_SPEECH_LEVEL = 1e-3  # -30 dB of full scale, until speech is heard: a guess
_GUESS_HOPS = 4.0  # that counts as much as so many hops of speech
_NOISE_LEVEL = 1e-6  # -60 dB, until a hop is heard
_FLOOR = 1e-9  # -90 dB: no level is lower
_QUIET = 0.01  # hops 20 dB below the speech level are no speech
_LOUD = 8.0  # a hop this many times as strong as the noise is speech, or an event


@dataclass(frozen=True)
class GuardConfig:
    """How the guard acts; the defaults were chosen with `benchmarks/fit_guard.py`, on a few recognisers and conditions.

    Attributes:
        noisy_snr_db: at this SNR and below, the strength is `max_strength`.
        clean_snr_db: at this SNR and above, it is `min_strength`.
        min_strength: 0 to `max_strength`.
        max_strength: below 1: noise is lowered by at most -20 log10(1 - max_strength) dB.
        caution: 0 to 1, the part of the strength that is given up where speech seems to be lost.

    Raises:
        ConfigError: a value is out of range.
    """

    noisy_snr_db: float = 20.0
    clean_snr_db: float = 30.0
    min_strength: float = 0.3
    max_strength: float = 0.98
    caution: float = 0.25

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ConfigError(f"guard: {name}: expected a number, got {value!r}")
        if not self.noisy_snr_db < self.clean_snr_db:
            raise ConfigError(
                f"guard: expected noisy_snr_db below clean_snr_db, got {self.noisy_snr_db} and {self.clean_snr_db}"
            )
        if not 0 <= self.min_strength <= self.max_strength < 1:
            raise ConfigError(
                "guard: expected 0 <= min_strength <= max_strength < 1, got "
                f"{self.min_strength} and {self.max_strength}"
            )
        if not 0 <= self.caution <= 1:
            raise ConfigError(f"guard: caution: expected a number from 0 to 1, got {self.caution!r}")


@dataclass(frozen=True)
class GuardReport:
    """What the guard knows of one channel at one moment.

    Attributes:
        snr_db: estimated level of speech over noise in dB.
        strength: what it has decided for the last hop.
        hops: it has decided since it was switched on.
        speech_hops: of these, hops that are mostly speech.
        lost_hops: of these, hops louder than the noise of which little is left.
    """

    snr_db: float
    strength: float
    hops: int
    speech_hops: int
    lost_hops: int


class Guard:
    """Decides the strengths of one channel, from the hops on both sides of the engine.

    Args:
        spec: of the model; its rate and hop give the time constants their unit.
        config: the parameters.
        begun: the stream has, so that hops that overlap with its past cannot be measured: the strength waits for them.
    """

    def __init__(self, spec: ModelSpec, config: GuardConfig, *, begun: bool = False) -> None:
        self._config = config
        self._hop_length = spec.hop_length
        self._past: F32 = np.zeros(spec.delay, np.float32)
        self._dry: F32 = np.empty((0, spec.hop_length), np.float32)
        self._to_skip = -(-spec.delay // spec.hop_length) if begun else 0
        self._slope = (config.max_strength - config.min_strength) / (config.clean_snr_db - config.noisy_snr_db)
        hop_s = spec.hop_length / spec.sample_rate
        self._noise_step, self._lost_step, self._strength_step = (
            1.0 - math.exp(-hop_s / time_s) for time_s in (_NOISE_S, _LOST_S, _STRENGTH_S)
        )
        self._speech_hops_kept = _SPEECH_S / hop_s
        self._heard = _GUESS_HOPS  # hops of speech that the speech level stands for
        self._speech, self._noise, self._lost = _SPEECH_LEVEL, _NOISE_LEVEL, 0.0
        self._strength = self._wanted()
        self._hops = self._speech_hops = self._lost_hops = 0

    @property
    def strength(self) -> float:
        """The strength at the end of the last hop."""
        return self._strength

    @property
    def report(self) -> GuardReport:
        """What it knows now."""
        return GuardReport(self._snr_db(), self._strength, self._hops, self._speech_hops, self._lost_hops)

    def push(self, hops: F32) -> None:
        """Takes hops on their way to the engine, `(n_hops, hop_length)`; `pull` follows before the next ones."""
        samples = np.concatenate([self._past, hops.reshape(-1)])
        self._dry = samples[: hops.size].reshape(hops.shape)  # of the moments that the engine will deliver
        self._past = samples[hops.size :].copy()

    def pull(self, enhanced: F32) -> list[float]:
        """Returns the strengths at the end of the hops that the engine has delivered for those pushed."""
        skipped = min(self._to_skip, len(enhanced))
        self._to_skip -= skipped
        energies = hop_energies(self._dry[skipped:], enhanced[skipped:])
        self._dry = self._dry[:0].copy()  # a view would keep the samples alive
        return [self._strength] * skipped + self.decide(energies)

    def decide(self, energies: Sequence[Energies]) -> list[float]:
        """Returns the strengths at the end of hops, from their `energies`."""
        config, hop_length = self._config, self._hop_length
        strengths = []
        for dry_energy, enhanced_energy, removed_energy in energies:
            dry, enhanced, removed = dry_energy / hop_length, enhanced_energy / hop_length, removed_energy / hop_length
            speech_part = enhanced / (enhanced + removed + _QUIET * self._speech + _FLOOR)
            loud = dry / (dry + _LOUD * self._noise + _FLOOR)
            lost = loud * removed / (enhanced + removed + _FLOOR)

            # The mean of what was heard, then a moving one: so the first word counts for more than the guess before it.
            self._heard = min(self._heard + speech_part, self._speech_hops_kept)
            self._speech += speech_part / self._heard * (enhanced - self._speech)
            # Squared: what is taken from speech itself is no noise, and must not count beside what pauses hold.
            self._noise += self._noise_step * (1.0 - speech_part) ** 2 * (removed - self._noise)
            self._lost += self._lost_step * (lost - self._lost)
            wanted = self._wanted() * (1.0 - config.caution * self._lost)
            self._strength += self._strength_step * (wanted - self._strength)
            strengths.append(self._strength)
            self._hops += 1
            self._speech_hops += speech_part > 0.5
            self._lost_hops += lost > 0.5
        return strengths

    @property
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Levels, strength and speech heard, `(5,) float64`; counts of hops, `(4,) int64`; input on its way."""
        return {
            "levels": np.array([self._speech, self._noise, self._lost, self._strength, self._heard], np.float64),
            "hops": np.array([self._hops, self._speech_hops, self._lost_hops, self._to_skip], np.int64),
            "past": self._past.copy(),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Goes on from a state, within the bounds set here; raises `StateError` if it is none of this stage."""
        layout: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
            "levels": ((5,), np.float64),
            "hops": ((4,), np.int64),
            "past": (self._past.shape, np.float32),
        }
        for name, (shape, dtype) in layout.items():
            array = state.get(name)
            if array is None or array.shape != shape or array.dtype != dtype:
                raise StateError(f"guard: expected {name} of shape {shape} and type {np.dtype(dtype)}, got {array!r}")
            if not np.isfinite(array).all() or (name != "past" and array.min() < 0):
                raise StateError(f"guard: expected finite values from 0 in {name}, got {array}")
        speech, noise, lost, strength, heard = (float(value) for value in state["levels"])
        if lost > 1 or strength > 1 or not _GUESS_HOPS <= heard <= self._speech_hops_kept:
            raise StateError(f"guard: expected levels, two shares of at most 1 and a count, got {state['levels']}")
        self._speech, self._noise, self._lost, self._heard = speech, noise, lost, heard
        self._strength = min(strength, self._config.max_strength)
        self._hops, self._speech_hops, self._lost_hops, self._to_skip = (int(value) for value in state["hops"])
        self._past = state["past"].copy()

    def _snr_db(self) -> float:
        return 10.0 * math.log10((self._speech + _FLOOR) / (self._noise + _FLOOR))

    def _wanted(self) -> float:
        config = self._config
        above_db = min(max(self._snr_db(), config.noisy_snr_db), config.clean_snr_db) - config.noisy_snr_db
        return config.max_strength - self._slope * above_db


def hop_energies(dry: F32, enhanced: F32) -> list[Energies]:
    """Returns for each hop the sums of squares of dry, enhanced and dry - enhanced; both `(n_hops, hop_length)`.

    The third is made of the first two and their product. What that loses to rounding is 60 dB below them.
    """
    if len(dry) == 1:  # the same products without the overhead of many
        d, e = dry[0], enhanced[0]
        rows = [(float(d.dot(d)), float(e.dot(e)), float(d.dot(e)))]
    else:
        d, e, e_columns = dry[:, np.newaxis], enhanced[:, np.newaxis], enhanced[:, :, np.newaxis]
        products = d @ dry[:, :, np.newaxis], e @ e_columns, d @ e_columns
        rows = list(zip(*(product.reshape(-1).tolist() for product in products), strict=True))
    return [(of_dry, of_enhanced, max(of_dry + of_enhanced - 2.0 * both, 0.0)) for of_dry, of_enhanced, both in rows]
