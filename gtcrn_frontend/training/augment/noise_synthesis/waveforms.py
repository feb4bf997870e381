"""Building blocks of synthetic noise: coloured noise, waveforms, notes. Samples are `(n,) float32`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from gtcrn_frontend.training.config import Range

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex128]

TABLE_SIZE = 1024  # samples in the wavetable of an instrument
PERIOD = 8192  # and of hum, which has more harmonics
ATTACK_S = 0.01
VIBRATO_HZ = 5.5


def coloured(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns stationary noise with a random spectral slope and a random broad resonance."""
    length = scipy.fft.next_fast_len(n, real=True)
    hz = np.linspace(0, sample_rate / 2, length // 2 + 1)
    hz[0] = hz[1]
    amplitude = hz ** (-rng.uniform(-0.5, 1.25))
    centre_hz, octaves = np.exp(rng.uniform(np.log(100), np.log(6000))), rng.uniform(0.3, 2)
    amplitude *= 1 + rng.uniform(0, 6) * np.exp(-0.5 * (np.log2(hz / centre_hz) / octaves) ** 2)
    amplitude[hz < 40] = 0
    white = scipy.fft.rfft(rng.standard_normal(length, np.float32))
    return unit_power(scipy.fft.irfft(white * amplitude.astype(np.float32), length)[:n])


def unit_power(samples: npt.NDArray[np.floating]) -> Samples:
    """Returns the samples with mean power 1; silence remains silence."""
    return np.asarray(samples / np.sqrt(np.square(samples).mean() + 1e-12), np.float32)


def overlaid(
    rng: np.random.Generator, n: int, sample_rate: int, sound: Callable[[np.random.Generator, int, int], Samples]
) -> Samples:
    """Returns the sum `(n,)` of one to three sounds, at levels of -15 to 0 dB."""
    out = np.zeros(n, np.float32)
    for _ in range(rng.integers(1, 4)):
        out += unit_power(sound(rng, n, sample_rate)) * 10 ** (rng.uniform(-15, 0) / 20)
    return out


def in_a_room(
    rng: np.random.Generator, dry: Samples, sample_rate: int, tail_s: Range, echo_db: Range, noise_db: Range
) -> Samples:
    """Returns the samples with a decaying echo and coloured noise, of random length and levels in these ranges."""
    tail = int(rng.uniform(*tail_s) * sample_rate)
    echo = rng.standard_normal(tail, np.float32) * np.exp(-6 * np.arange(tail, dtype=np.float32) / tail)
    out = dry + unit_power(scipy.signal.fftconvolve(dry, echo)[: len(dry)]) * 10 ** (rng.uniform(*echo_db) / 20)
    return unit_power(unit_power(out) + coloured(rng, len(dry), sample_rate) * 10 ** (rng.uniform(*noise_db) / 20))


def wander(rng: np.random.Generator, n: int, sample_rate: int, rate_hz: float) -> Curve:
    """Returns a random curve `(n,)` from -1 to 1 that varies at about this rate."""
    points = rng.uniform(-1, 1, int(n / sample_rate * rate_hz * 2) + 3)
    return np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)


def harmonics(rng: np.random.Generator, count: int, slope: float, least: float, size: int) -> Spectrum:
    """Returns the spectrum `(size // 2 + 1,)` of a period: harmonics k of amplitude `least` to 1, times k^-slope."""
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    for harmonic in range(1, count + 1):
        spectrum[harmonic] = harmonic**-slope * rng.uniform(least, 1) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    return spectrum


def waveform(rng: np.random.Generator, count: int) -> Samples:
    """Returns one period `(TABLE_SIZE,)` of a random timbre with `count` harmonics."""
    spectrum = harmonics(rng, count, rng.uniform(0.5, 2), 0.2, TABLE_SIZE)
    return unit_power(scipy.fft.irfft(spectrum.astype(np.complex64), TABLE_SIZE))


def periodic(spectrum: Spectrum, periods: Curve) -> Curve:
    """Returns a sound `(n,)` whose period has this spectrum `(PERIOD // 2 + 1,)`, at times counted in periods."""
    period = scipy.fft.irfft(-1j * spectrum, PERIOD) * (PERIOD / 2)
    return np.asarray(np.interp(periods % 1, np.arange(PERIOD + 1) / PERIOD, np.append(period, period[0])))


def note(table: Samples, hz: float, n: int, sample_rate: int, decay: float, vibrato: float) -> Samples:
    """Returns a note `(n,)` with a soft attack that decays by `decay` nepers per second."""
    times = np.arange(n, dtype=np.float32) / np.float32(sample_rate)
    periods = hz * times
    if vibrato:
        periods = periods + hz * vibrato / (2 * np.pi * VIBRATO_HZ) * np.sin(2 * np.pi * VIBRATO_HZ * times)
    places = (periods * TABLE_SIZE).astype(np.int32) % TABLE_SIZE
    return np.asarray(table[places] * np.minimum(times / ATTACK_S, 1) * np.exp(-decay * times), np.float32)
