"""Synthetic noise with gliding pitch: animal calls, alarms and engines, `(n,) float32` of mean power 1."""

from __future__ import annotations

import numpy as np

from gtcrn_frontend.training.augment.noise_synthesis.waveforms import (
    PERIOD,
    Curve,
    Samples,
    coloured,
    harmonics,
    in_a_room,
    overlaid,
    periodic,
    unit_power,
    wander,
)

CALL_HZ = (500.0, 7500.0)
ENGINE_HZ = (20.0, 800.0)
MOST_HARMONICS = 60


def chirps(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns calls of birds, insects and small animals, squeaks, alarms: phrases of tones with an echo and noise."""
    out = overlaid(rng, n, sample_rate, _calls)
    return in_a_room(rng, out, sample_rate, tail_s=(0.03, 0.5), echo_db=(-30, 0), noise_db=(-35, 0))


def engines(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns motors at varying speed, propellers, sirens: gliding harmonics and a gliding band of noise."""
    octaves = wander(rng, n, sample_rate, np.exp(rng.uniform(np.log(0.05), np.log(1)))) * rng.uniform(0.05, 1)
    hz = np.clip(np.exp(rng.uniform(*np.log(ENGINE_HZ))) * 2**octaves, None, 0.4 * sample_rate)
    slope = rng.uniform(0, 1.5)
    count = int(min(rng.integers(1, MOST_HARMONICS + 1), 0.45 * sample_rate / hz.max()))
    tone = periodic(harmonics(rng, count, slope, 0, PERIOD), np.cumsum(hz) / sample_rate)
    band = _gliding_band(rng, hz, sample_rate)
    tone_gain, band_gain, noise_gain = 10 ** (rng.uniform((-20, -25, -25), 0) / 20)
    noise = coloured(rng, n, sample_rate)
    return unit_power(tone_gain * unit_power(tone) + band_gain * unit_power(band) + noise_gain * noise)


def _gliding_band(rng: np.random.Generator, hz: Curve, sample_rate: int) -> Curve:
    """Returns noise 20 to 500 Hz wide around a multiple of a gliding frequency `(n,)`."""
    multiple = rng.uniform(1, max(0.4 * sample_rate / hz.max(), 1))
    phase = 2 * np.pi * np.cumsum(hz * multiple) / sample_rate
    width_hz = np.exp(rng.uniform(np.log(20), np.log(500)))
    sides = rng.standard_normal((2, int(len(hz) / sample_rate * width_hz) + 3))
    at = np.linspace(0, sides.shape[1] - 1, len(hz))
    even, odd = (np.interp(at, np.arange(sides.shape[1]), side) for side in sides)
    return np.asarray(even * np.cos(phase) + odd * np.sin(phase))


def _calls(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns one caller `(n,)`: phrases of one or two kinds of syllables with random variation."""
    out = np.zeros(n, np.float32)
    syllables = [_syllable(rng, sample_rate) for _ in range(rng.integers(1, 3))]
    gap_s, pause_s = np.exp(rng.uniform(np.log((0.01, 0.2)), np.log((0.4, 3.0))))
    most = rng.integers(1, 20)
    start = -int(rng.uniform(0, pause_s) * sample_rate)
    while start < n:
        for place in range(rng.integers(1, most + 1)):
            syllable = syllables[place % len(syllables)] * rng.uniform(0.5, 1)
            if start >= 0:
                out[start : start + len(syllable)] += syllable[: max(n - start, 0)]
            start += len(syllable) + int(gap_s * rng.uniform(0.9, 1.1) * sample_rate)
        start += int(pause_s * rng.uniform(0.5, 1.5) * sample_rate)
    return out


def _syllable(rng: np.random.Generator, sample_rate: int) -> Samples:
    """Returns a tone with constant, gliding or modulated pitch, with or without overtones."""
    n = int(np.exp(rng.uniform(np.log(0.012), np.log(0.5))) * sample_rate)
    place = np.linspace(0, 1, n)
    glide = rng.normal(0, 0.7) * place ** np.exp(rng.normal(0, 0.7))  # octaves
    vibrato = rng.uniform(0, 0.15) * np.sin(2 * np.pi * rng.uniform(8, 50) * place * n / sample_rate)
    hz = np.exp(rng.uniform(*np.log(CALL_HZ))) * 2 ** (glide + vibrato * (rng.random() < 0.4))
    hz = np.clip(hz, CALL_HZ[0], min(CALL_HZ[1], 0.45 * sample_rate))
    phase = 2 * np.pi * np.cumsum(hz) / sample_rate + rng.uniform(0, 2 * np.pi)
    out = np.sin(phase)
    if rng.random() < 0.4:
        slope = rng.uniform(0, 2)
        for overtone in range(2, 9):
            in_band = overtone * hz < 0.45 * sample_rate
            out += in_band * overtone**-slope * rng.uniform(0, 1) * np.sin(overtone * phase)
    return np.asarray(out * np.sin(np.pi * place ** rng.uniform(0.3, 2)) ** rng.uniform(0.5, 2), np.float32)
