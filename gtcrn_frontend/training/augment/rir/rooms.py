"""Room impulse responses, measured or generated as decaying noise, with their early part as the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.signal

Samples = npt.NDArray[np.float32]

MAX_S = 1.0  # longer tails are cut off
EARLY_S = 0.05  # early reflections help intelligibility and are part of the target
FADE_S = 0.02
T60_S = (0.1, 0.9)
DIRECT_TO_REVERBERANT_DB = (-2.0, 14.0)
FIRST_REFLECTION_S = (0.002, 0.012)
NEPER_PER_T60 = 6.908  # ln(1000), 60 dB


@dataclass(frozen=True)
class Room:
    """Impulse response that begins with the direct sound; its early part has energy 1.

    Attributes:
        full: the whole response `(n,)`.
        early: direct sound and early reflections `(n,)`, the response of the target.
    """

    full: Samples
    early: Samples


def split_room(response: Samples, sample_rate: int, start: int | None = None) -> Room:
    """Returns a room from an impulse response `(n,)`: delay removed, cut to length, scaled.

    Args:
        response: `(n,)`.
        sample_rate: in Hz.
        start: sample of the direct sound; None is the largest sample.
    """
    if start is None:
        start = int(np.argmax(np.abs(response)))
    full = response[start : start + int(MAX_S * sample_rate)].astype(np.float32)
    keep, fade = int(EARLY_S * sample_rate), int(FADE_S * sample_rate)
    window = np.zeros(max(len(full), keep + fade), np.float32)
    window[:keep] = 1
    window[keep : keep + fade] = 0.5 + 0.5 * np.cos(np.pi * np.arange(fade) / fade)
    early = full * window[: len(full)]
    scale = np.float32(1 / np.sqrt(max(float(np.square(early).sum()), 1e-12)))
    return Room(full * scale, early * scale)


def random_room(rng: np.random.Generator, sample_rate: int) -> Room:
    """Returns a generated room: direct sound and exponentially decaying, low-pass filtered noise."""
    t60_s = float(np.exp(rng.uniform(*np.log(T60_S))))
    n = int(min(1.2 * t60_s, MAX_S) * sample_rate)
    tail = rng.standard_normal(n) * np.exp(-NEPER_PER_T60 * np.arange(n) / (t60_s * sample_rate))
    tail[: int(rng.uniform(*FIRST_REFLECTION_S) * sample_rate)] = 0
    damping = rng.uniform(0.0, 0.7)
    tail = scipy.signal.lfilter([1 - damping], [1, -damping], tail)
    ratio_db = rng.uniform(*DIRECT_TO_REVERBERANT_DB)
    tail *= np.sqrt(10 ** (-ratio_db / 10) / max(float(np.square(tail).sum()), 1e-12))
    tail[0] = 1
    return split_room(tail.astype(np.float32), sample_rate)
