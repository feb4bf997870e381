"""Generated noise: endless, and of kinds that recordings lack. Each function returns `(n,) float32` of mean power 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

Samples = npt.NDArray[np.float32]


def coloured(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Stationary noise with a random slope and a random broad resonance."""
    length = scipy.fft.next_fast_len(n, real=True)
    hz = np.linspace(0, sample_rate / 2, length // 2 + 1)
    hz[0] = hz[1]
    amplitude = hz ** (-rng.uniform(-0.5, 1.25))
    centre_hz, octaves = np.exp(rng.uniform(np.log(100), np.log(6000))), rng.uniform(0.3, 2)
    amplitude *= 1 + rng.uniform(0, 6) * np.exp(-0.5 * (np.log2(hz / centre_hz) / octaves) ** 2)
    amplitude[hz < 40] = 0
    white = scipy.fft.rfft(rng.standard_normal(length, np.float32))
    return _unit(scipy.fft.irfft(white * amplitude.astype(np.float32), length)[:n])


def modulated(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Coloured noise whose level wanders or pulses at 0.3 to 12 Hz."""
    rate_hz = np.exp(rng.uniform(np.log(0.3), np.log(12)))
    points = rng.uniform(-1, 1, int(n / sample_rate * rate_hz * 2) + 3)
    depth_db = rng.uniform(3, 18)
    envelope_db = depth_db * np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)
    return _unit(coloured(rng, n, sample_rate) * 10 ** (envelope_db / 20))


def hum(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """A fundamental with harmonics, as of mains, motors and fans, that drifts a little, over faint noise."""
    fundamental_hz = rng.choice([50.0, 60.0, 100.0, 120.0, np.exp(rng.uniform(np.log(40), np.log(500)))])
    points = np.cumsum(rng.normal(0, 0.002, 8))
    drift = 1 + np.interp(np.linspace(0, 7, n), np.arange(8), points)
    phase = 2 * np.pi * np.cumsum(fundamental_hz * drift) / sample_rate
    count = int(min(rng.integers(3, 30), 0.45 * sample_rate / fundamental_hz))
    slope = rng.uniform(0.3, 1.5)
    out = np.zeros(n)
    for harmonic in range(1, count + 1):
        out += harmonic**-slope * rng.uniform(0.2, 1) * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    return _unit(_unit(out) + rng.uniform(0.03, 0.5) * coloured(rng, n, sample_rate))


def clicks(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Short decaying resonances at random times, as of keys, dishes and steps, over faint noise."""
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
    return _unit(_unit(out) + rng.uniform(0.02, 0.3) * coloured(rng, n, sample_rate))


def tones(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Overlapping harmonic notes that decay, like simple music, rings and beeps."""
    out = np.zeros(n)
    for _ in range(max(int(rng.uniform(1.5, 8) * n / sample_rate), 1)):
        start = int(rng.integers(0, n))
        length = min(int(rng.uniform(0.1, 1.2) * sample_rate), n - start)
        times = np.arange(length) / sample_rate
        note_hz = 55 * 2 ** (rng.integers(0, 60) / 12)
        decay = rng.uniform(0.5, 6)
        for harmonic in range(1, 7):
            if harmonic * note_hz < 0.45 * sample_rate:
                out[start : start + length] += (
                    rng.uniform(0, 1)
                    / harmonic
                    * np.sin(2 * np.pi * harmonic * note_hz * times)
                    * np.exp(-decay * times)
                )
    return _unit(_unit(out) + 0.01 * coloured(rng, n, sample_rate))


FAMILIES: tuple[Callable[[np.random.Generator, int, int], Samples], ...] = (coloured, modulated, hum, clicks, tones)


def _unit(samples: npt.NDArray[np.floating]) -> Samples:
    return np.asarray(samples / np.sqrt(np.square(samples).mean() + 1e-12), np.float32)
