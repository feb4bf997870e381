"""The guard's arithmetic: from three energies of a hop to levels of speech and noise, and to a strength.

    speech level   the energy of e, averaged over hops in which e is not small against d - e and the level itself
    noise level    the energy of d - e, averaged over the other hops; at most 15 dB above what d falls to between
                   words, as what is taken away from clean speech is speech
    lost speech    hops much louder than the noise of which little is left: words taken for noise, or sudden noise
    doubt          how often a hop is neither kept nor taken away: the network does not know speech from noise

Here d is the input, e the enhanced signal, and d - e what the network took away. The ratio of the levels sets the
strength between two bounds, less where speech is lost, and smoothed:

    wanted = max - (max - min) * clip((SNR - noisy) / (clean - noisy), 0, 1)
    wanted = wanted * (1 - caution * lost) * clip(3 * (1 - doubt / max_doubt), 0, 1)

Everything is a continuous function of the energies, so that engines that differ in the last bits agree here, too.
Where the C extension was built, it does the work (native/auto_strength.c); the functions below are the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.native.binding import DOUBLES, FLOATS, ffi, lib

Energies = npt.NDArray[np.float64]
"""Of hops, `(n_hops, 3)`: mean squares of the input, the enhanced signal, and their difference."""

FLOOR = 1e-9  # -90 dB, added to each level
_QUIET = 0.01  # hops 20 dB below the speech level are no speech
_LOUD = 8.0  # a hop this many times as strong as the noise is speech, or an event
_ABOVE_FLOOR = 30.0  # the noise level may lie so many times above what the input falls to
_RECENT = 0.5  # share of a new hop in the energy that this is looked for in
_UNDOUBTED_HOPS = 16.0  # that count for the doubt before the first one


@dataclass
class LevelTracker:
    """What the guard of one channel was told, and what it knows; `gtcrn_auto_strength` in C has the same names.

    Attributes:
        noisy_snr_db, clean_snr_db, min_strength, max_strength, caution, max_doubt: see `AutoStrengthConfig`.
        noise_step, lost_step, doubt_step, strength_step: shares of the way that a hop moves these to their new values.
        floor_rise: factor by which the floor rises per hop.
        most_heard: hops of speech that the speech level is averaged over, at most.
        speech, noise: levels as mean squares.
        recent, floor: energy of the last few hops of the input, and what it falls to, as mean squares.
        lost: share of speech that is lost.
        doubt: 0 to 1.
        strength: at the end of the last hop.
        heard: hops of speech that the speech level stands for.
        hops, speech_hops, lost_hops: counts, see `AutoStrengthReport`.
    """

    noisy_snr_db: float
    clean_snr_db: float
    min_strength: float
    max_strength: float
    caution: float
    max_doubt: float
    noise_step: float
    lost_step: float
    doubt_step: float
    strength_step: float
    floor_rise: float
    most_heard: float
    speech: float
    noise: float
    recent: float
    floor: float
    lost: float
    doubt: float
    strength: float
    heard: float
    hops: int = 0
    speech_hops: int = 0
    lost_hops: int = 0

    def native(self) -> Any:
        """Returns a copy in C, with attributes of the same names; this object where the extension was not built."""
        return self if lib is None else ffi.new("gtcrn_auto_strength *", vars(self))


def decide(levels: LevelTracker | Any, energies: Energies) -> list[float]:
    """Returns the strengths at the end of hops, from their energies; the levels move on."""
    if not isinstance(levels, LevelTracker):
        energies = np.ascontiguousarray(energies, np.float64)
        strengths = np.empty(len(energies))
        lib.gtcrn_auto_strength_decide(
            levels, ffi.from_buffer(DOUBLES, energies), len(energies), ffi.from_buffer(DOUBLES, strengths)
        )
        return strengths.tolist()
    return [_decide_hop(levels, *hop) for hop in energies.tolist()]


def update(levels: LevelTracker | Any, dry: F32, enhanced: F32) -> list[float]:
    """Returns the strengths at the end of hops; the levels move on.

    Args:
        levels: in Python or in C.
        dry: before the network, `(n_hops * hop_length,)`, contiguous.
        enhanced: behind it, `(n_hops, hop_length)`.
    """
    if isinstance(levels, LevelTracker):
        return decide(levels, hop_energies(dry.reshape(enhanced.shape), enhanced))
    if dry.size != enhanced.size:  # C relies on it
        raise ValueError(f"expected as many samples on both sides of the network, got {dry.size} and {enhanced.size}")
    enhanced = np.ascontiguousarray(enhanced)
    count, hop_length = enhanced.shape
    if count == 1:
        lib.gtcrn_auto_strength_update(
            levels, ffi.from_buffer(FLOATS, dry), ffi.from_buffer(FLOATS, enhanced), 1, hop_length, ffi.NULL
        )
        return [levels.strength]
    strengths = np.empty(count)
    lib.gtcrn_auto_strength_update(
        levels,
        ffi.from_buffer(FLOATS, dry),
        ffi.from_buffer(FLOATS, enhanced),
        count,
        hop_length,
        ffi.from_buffer(DOUBLES, strengths),
    )
    return strengths.tolist()


def hop_energies(dry: F32, enhanced: F32) -> Energies:
    """Returns the energies of hops, `(n_hops, hop_length)`."""
    signals = (dry, enhanced, dry - enhanced)
    return np.stack([np.square(signal, dtype=np.float64).mean(axis=1) for signal in signals], axis=1)


def snr_db(levels: LevelTracker | Any) -> float:
    """Returns the level of speech over that of noise."""
    noise = min(levels.noise, _ABOVE_FLOOR * levels.floor)
    return 10.0 * math.log10((levels.speech + FLOOR) / (noise + FLOOR))


def target_strength(levels: LevelTracker) -> float:
    """Returns the strength that the levels ask for."""
    range_db = levels.clean_snr_db - levels.noisy_snr_db
    clean = min(max((snr_db(levels) - levels.noisy_snr_db) / range_db, 0.0), 1.0)
    strength = levels.max_strength - (levels.max_strength - levels.min_strength) * clean
    trust = min(max(3.0 * (1.0 - levels.doubt / levels.max_doubt), 0.0), 1.0)
    return strength * (1.0 - levels.caution * levels.lost) * trust


def _decide_hop(levels: LevelTracker, dry: float, enhanced: float, removed: float) -> float:
    speech_part = enhanced / (enhanced + removed + _QUIET * levels.speech + FLOOR)
    loud = dry / (dry + _LOUD * levels.noise + FLOOR)
    kept = enhanced / (enhanced + removed + FLOOR)
    lost = loud * removed / (enhanced + removed + FLOOR)

    # The mean of what was heard, then a moving one: so the first word counts for more than the guess before it.
    levels.heard = min(levels.heard + speech_part, levels.most_heard)
    levels.speech += speech_part / levels.heard * (enhanced - levels.speech)
    # Squared: what is taken from speech itself is no noise, and must not count beside what pauses hold.
    levels.noise += levels.noise_step * (1.0 - speech_part) ** 2 * (removed - levels.noise)
    levels.recent += _RECENT * (dry - levels.recent)
    levels.floor = min(levels.recent, max(levels.floor, FLOOR) * levels.floor_rise)
    levels.lost += levels.lost_step * (lost - levels.lost)
    doubt_step = max(levels.doubt_step, 1.0 / (levels.hops + _UNDOUBTED_HOPS))
    levels.doubt += doubt_step * (4.0 * kept * (1.0 - kept) - levels.doubt)
    levels.strength += levels.strength_step * (target_strength(levels) - levels.strength)
    levels.hops += 1
    levels.speech_hops += speech_part > 0.5
    levels.lost_hops += lost > 0.5
    return levels.strength
