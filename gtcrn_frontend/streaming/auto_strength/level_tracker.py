"""`LevelTracker`: estimates speech and noise levels from hop energies, and the strength from them.

    speech level   the energy of e, averaged over hops in which e is not small against d - e and the level itself
    noise level    the energy of d - e, averaged over the other hops; at most 15 dB above what d falls to between
                   words, as what is taken away from clean speech is speech
    lost speech    hops much louder than the noise that are mostly removed: misclassified words, or sudden noise
    doubt          how often a hop is neither kept nor removed: the network cannot tell speech from noise

Here d is the input, e the enhanced signal, and d - e what the network removed. The ratio of the levels sets the
strength between two bounds, reduced where speech is lost, and smoothed:

    wanted = max - (max - min) * clip((SNR - noisy) / (clean - noisy), 0, 1)
    wanted = wanted * (1 - caution * lost) * clip(3 * (1 - doubt / max_doubt), 0, 1)

Everything is a continuous function of the energies, so that engines that differ in the last bits also agree here. The C
extension, if built, implements the same (native/auto_strength.c); the functions below are the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.native import auto_strength as in_c

Energies = npt.NDArray[np.float64]
"""Hop energies `(n_hops, 3)`: mean squares of input, enhanced signal and their difference."""

FLOOR = 1e-9  # -90 dB, added to each level
_QUIET = 0.01  # hops 20 dB below the speech level are not speech
_LOUD = 8.0  # energy over noise above which a hop is speech or an event
_ABOVE_FLOOR = 30.0  # maximum of noise level over energy floor
_RECENT = 0.5  # weight of a new hop in the smoothed energy for the floor
_UNDOUBTED_HOPS = 16.0  # initial weight of zero doubt


@dataclass
class LevelTracker:
    """Parameters and state of one channel; `gtcrn_auto_strength` in C has the same field names.

    Attributes:
        noisy_snr_db, clean_snr_db, min_strength, max_strength, caution, max_doubt: see `AutoStrengthConfig`.
        noise_step, lost_step, doubt_step, strength_step: smoothing factors per hop.
        floor_rise: factor by which the floor rises per hop.
        max_speech_weight: maximum of `speech_weight`.
        speech, noise: levels as mean squares.
        recent, floor: smoothed input energy, and its floor (minimum), as mean squares.
        lost: fraction of speech that is lost.
        doubt: 0 to 1.
        strength: at the end of the last hop.
        speech_weight: hops of speech in the average of the speech level.
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
    max_speech_weight: float
    speech: float
    noise: float
    recent: float
    floor: float
    lost: float
    doubt: float
    strength: float
    speech_weight: float
    hops: int = 0
    speech_hops: int = 0
    lost_hops: int = 0

    def native(self) -> Any:
        """Returns a C struct with the same fields; this object if the extension is not built."""
        return in_c.new_levels(vars(self)) if in_c.is_built() else self


def decide(levels: LevelTracker | Any, energies: Energies) -> list[float]:
    """Returns the strengths at the ends of hops from their energies; updates the levels."""
    if not isinstance(levels, LevelTracker):
        return in_c.decide(levels, energies)
    return [_decide_hop(levels, *hop) for hop in energies.tolist()]


def update(levels: LevelTracker | Any, dry: F32, enhanced: F32) -> list[float]:
    """Returns the strengths at the ends of hops; updates the levels.

    Args:
        levels: Python object or C struct.
        dry: input of the network, `(n_hops * hop_length,)`, contiguous.
        enhanced: its output, `(n_hops, hop_length)`.
    """
    if isinstance(levels, LevelTracker):
        return decide(levels, hop_energies(dry.reshape(enhanced.shape), enhanced))
    return in_c.update(levels, dry, enhanced)


def hop_energies(dry: F32, enhanced: F32) -> Energies:
    """Returns the energies of hops, `(n_hops, hop_length)`."""
    signals = (dry, enhanced, dry - enhanced)
    return np.stack([np.square(signal, dtype=np.float64).mean(axis=1) for signal in signals], axis=1)


def snr_db(levels: LevelTracker | Any) -> float:
    """Returns the estimated SNR in dB."""
    noise = min(levels.noise, _ABOVE_FLOOR * levels.floor)
    return 10.0 * math.log10((levels.speech + FLOOR) / (noise + FLOOR))


def target_strength(levels: LevelTracker) -> float:
    """Returns the target strength for the current levels, before smoothing."""
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

    # A cumulative mean that becomes a moving average: the first word outweighs the initial guess.
    levels.speech_weight = min(levels.speech_weight + speech_part, levels.max_speech_weight)
    levels.speech += speech_part / levels.speech_weight * (enhanced - levels.speech)
    # Squared: what is removed from speech itself is not noise, and must not count next to pauses.
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
