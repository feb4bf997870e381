"""Speech plus noise at a signal-to-noise ratio, and excerpts of recordings to mix from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gtcrn_frontend.audio.levels import noise_gain
from gtcrn_frontend.audio.types import F32

PEAK = 0.99
"""Louder mixtures are scaled down as a whole, so that no file format clips them."""
SILENT_POWER = 1e-8
"""Mean power, full scale 1, below which an excerpt counts as a pause in its recording: -80 dB."""


def add_noise(speech: F32, noise: F32, snr_db: float, sample_rate: int = 16_000) -> F32:
    """Returns `speech + g * noise`, `(n,) float32`, with `g` from `levels.noise_gain`; it may exceed full scale."""
    return np.asarray(speech + np.float32(noise_gain(speech, noise, snr_db, sample_rate)) * noise, np.float32)


def mix_at_snr(speech: F32, noise: F32, snr_db: float, sample_rate: int = 16_000) -> tuple[F32, F32]:
    """Returns the mixture and the speech in it, `(n,) float32` each, both scaled down if the mixture exceeds `PEAK`.

    Args:
        speech, noise: `(n,)`, full scale 1.
        snr_db: active speech power over mean noise power.
        sample_rate: in Hz.
    """
    mixture = add_noise(speech, noise, snr_db, sample_rate)
    divisor = max(1.0, float(np.abs(mixture).max(initial=0)) / PEAK)
    return np.asarray(mixture / divisor, np.float32), np.asarray(speech / divisor, np.float32)


def random_start(rng: np.random.Generator, length: int, n: int) -> int:
    """Returns where an excerpt of `n` samples begins in a recording of `length`; 0 if the recording is shorter."""
    return int(rng.integers(0, max(length - n, 0) + 1))


def random_excerpt(rng: np.random.Generator, samples: F32, n: int) -> F32:
    """Returns `n` consecutive samples `(n,)` from a random place; a shorter recording is repeated."""
    start = random_start(rng, len(samples), n)
    return np.resize(samples[start : start + n], n)


def first_audible(draw: Callable[[], F32], draws: int = 10) -> F32:
    """Returns the first excerpt that is not a pause, or else the loudest of `draws` excerpts.

    Args:
        draw: returns a random excerpt `(n,)`; called at most `draws` times.
        draws: at least 1.
    """
    loudest, highest_power = np.zeros(0, np.float32), -1.0
    for _ in range(draws):
        excerpt = draw()
        power = float(np.square(excerpt).mean()) if len(excerpt) else 0.0
        if power > highest_power:
            loudest, highest_power = excerpt, power
        if power > SILENT_POWER:
            break
    return loudest
