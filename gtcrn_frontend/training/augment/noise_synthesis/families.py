"""Families of synthetic noise, by name in `FAMILIES`; each returns `(n,) float32` of mean power 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
import scipy.signal

from gtcrn_frontend.training.augment.noise_synthesis.chirps import chirps, engines
from gtcrn_frontend.training.augment.noise_synthesis.impacts import impacts
from gtcrn_frontend.training.augment.noise_synthesis.waveforms import (
    PERIOD,
    Samples,
    coloured,
    harmonics,
    note,
    periodic,
    unit_power,
    wander,
    waveform,
)

OVERDRIVEN_PROB = 0.3  # of wind
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))  # major and minor, in semitones


def modulated(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns coloured noise whose level is modulated at 0.3 to 12 Hz."""
    rate_hz = np.exp(rng.uniform(np.log(0.3), np.log(12)))
    curve = wander(rng, n, sample_rate, rate_hz)
    depth_db = rng.uniform(3, 18)
    return unit_power(coloured(rng, n, sample_rate) * 10 ** (depth_db * curve / 20))


def hum(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns slightly drifting harmonics, as of mains, motors and fans, and faint noise."""
    fundamental_hz = rng.choice([50.0, 60.0, 100.0, 120.0, np.exp(rng.uniform(np.log(40), np.log(500)))])
    points = np.cumsum(rng.normal(0, 0.002, 8))
    drift = 1 + np.interp(np.linspace(0, 7, n), np.arange(8), points)
    periods = np.cumsum(fundamental_hz * drift) / sample_rate
    count = int(min(rng.integers(3, 30), 0.45 * sample_rate / fundamental_hz))
    out = periodic(harmonics(rng, count, rng.uniform(0.3, 1.5), 0.2, PERIOD), periods)
    return unit_power(unit_power(out) + rng.uniform(0.03, 0.5) * coloured(rng, n, sample_rate))


def clicks(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns short decaying resonances at random times, as of keys, dishes and steps, and faint noise."""
    impulses = np.zeros(n, np.float32)
    count = max(int(rng.uniform(1, 12) * n / sample_rate), 1)
    impulses[rng.integers(0, n, count)] = rng.choice([-1, 1], count) * rng.uniform(0.1, 1, count)
    length = int(rng.uniform(0.004, 0.08) * sample_rate)
    times = np.arange(length) / sample_rate
    ring = rng.standard_normal(length) * rng.uniform(0.1, 1)
    for _ in range(3):
        ring += np.sin(2 * np.pi * np.exp(rng.uniform(np.log(200), np.log(6000))) * times + rng.uniform(0, 6))
    ring *= np.exp(-5 * np.arange(length) / length)
    out = scipy.signal.fftconvolve(impulses, ring)[:n]
    return unit_power(unit_power(out) + rng.uniform(0.02, 0.3) * coloured(rng, n, sample_rate))


def tones(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns overlapping decaying harmonic notes, as of simple music, rings and beeps."""
    out = np.zeros(n)
    for _ in range(max(int(rng.uniform(1.5, 8) * n / sample_rate), 1)):
        start = int(rng.integers(0, n))
        length = min(int(rng.uniform(0.1, 1.2) * sample_rate), n - start)
        times = np.arange(length) / sample_rate
        note_hz = 55 * 2 ** (rng.integers(0, 60) / 12)
        decay = rng.uniform(0.5, 6)
        twice_cosine = 2 * np.cos(2 * np.pi * note_hz * times)
        sine, lower_sine = np.sin(2 * np.pi * note_hz * times), np.zeros(length)
        sound = np.zeros(length)
        for harmonic in range(1, 7):
            if harmonic * note_hz < 0.45 * sample_rate:
                sound += rng.uniform(0, 1) / harmonic * sine
                sine, lower_sine = twice_cosine * sine - lower_sine, sine  # sin((k + 1) x)
        out[start : start + length] += sound * np.exp(-decay * times)
    return unit_power(unit_power(out) + 0.01 * coloured(rng, n, sample_rate))


def wind(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns wind at a microphone: rumble in gusts, with more treble in stronger ones, sometimes overdriven."""
    length = scipy.fft.next_fast_len(n, real=True)
    hz = np.linspace(0, sample_rate / 2, length // 2 + 1)
    corner_hz, slope = np.exp(rng.uniform(np.log(40), np.log(250))), rng.uniform(1.2, 2.2)
    white = scipy.fft.rfft(rng.standard_normal(length, np.float32))
    white[hz < 15] = 0
    calm, strong = (
        unit_power(scipy.fft.irfft(white * (1 / (1 + (hz / corner) ** slope)).astype(np.float32), length)[:n])
        for corner in (corner_hz, 4 * corner_hz)
    )
    gusts_db = wander(rng, n, sample_rate, rng.uniform(0.3, 1.5)) * rng.uniform(4, 12)
    flutter_db = wander(rng, n, sample_rate, rng.uniform(4, 12)) * rng.uniform(1, 6)
    force = 10 ** ((gusts_db + flutter_db) / 20)
    out = calm * force + strong * force**2 * rng.uniform(0.05, 0.5)
    if rng.random() < OVERDRIVEN_PROB:
        out = np.tanh(unit_power(out) * rng.uniform(0.5, 2))
    return unit_power(out)


def music(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns music as from a radio: chords, bass, tune and beat, in time and in key; `tones` is unstructured."""
    beat = 60 / rng.uniform(70, 170) * sample_rate
    key_hz = 55 * 2 ** (rng.integers(0, 12) / 12)
    scale = np.array(SCALES[rng.integers(len(SCALES))])
    beats_per_chord = int(rng.choice([1, 2, 4]))
    chord_table, bass_table, tune_table = (waveform(rng, count) for count in (8, 10, 6))
    chord_gain, bass_gain, tune_gain, beat_gain = rng.uniform(0, 1, 4) * (1, 0.8, 1, 0.6)
    decay = rng.uniform(0.5, 8)
    out = np.zeros(n, np.float32)

    def play(table: Samples, step: int, at_beat: float, beats: float, gain: float, vibrato: float = 0.0) -> None:
        start = int(at_beat * beat)
        octave, degree = divmod(step, len(scale))
        samples = min(int(beats * beat), n - start)
        if samples > 0:
            hz = key_hz * 2 ** (octave + scale[degree] / 12)
            out[start : start + samples] += gain * note(table, hz, samples, sample_rate, decay, vibrato)

    root = 0
    for beat_number in range(int(n / beat) + 1):
        if beat_number % beats_per_chord == 0:
            root = int(rng.integers(0, len(scale)))
            for step in (0, 2, 4):
                play(chord_table, 2 * len(scale) + root + step, beat_number, beats_per_chord, chord_gain)
        play(bass_table, root, beat_number, 1, bass_gain)
        if rng.random() < 0.7:
            step = 3 * len(scale) + int(rng.integers(0, 10))
            play(tune_table, step, beat_number + rng.choice([0, 0.5]), rng.choice([0.5, 1, 2]), tune_gain, 0.004)
        start = int((beat_number + 0.5 * rng.integers(0, 2)) * beat)
        drum = rng.standard_normal(max(min(int(0.1 * sample_rate), n - start), 0), np.float32)
        out[start : start + len(drum)] += beat_gain * drum * np.exp(-8 * np.arange(len(drum)) / max(len(drum), 1))
    return unit_power(unit_power(out) + 0.01 * coloured(rng, n, sample_rate))


FAMILIES: dict[str, Callable[[np.random.Generator, int, int], Samples]] = {
    family.__name__: family
    for family in (coloured, modulated, hum, clicks, tones, wind, music, chirps, engines, impacts)
}
