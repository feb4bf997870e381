"""Synthetic noise of short loud events, `(n,) float32` of mean power 1."""

from __future__ import annotations

import numpy as np

from gtcrn_frontend.training.augment.noise_synthesis.waveforms import Samples, coloured, in_a_room, overlaid, unit_power

LENGTH_S = (0.01, 0.6)
MODE_HZ = (80.0, 7500.0)
MOST_MODES = 12


def impacts(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns knocks, steps, dishes, drums, ticking clocks, typing, coughs: objects hit repeatedly, in a room."""
    out = overlaid(rng, n, sample_rate, _hits)
    return in_a_room(rng, out, sample_rate, tail_s=(0.02, 0.4), echo_db=(-35, -5), noise_db=(-45, -5))


def _hits(rng: np.random.Generator, n: int, sample_rate: int) -> Samples:
    """Returns one object `(n,)`, hit in groups with random variation, from an even beat to steps and typing."""
    ring, burst = _parts(rng, sample_rate)
    out = np.zeros(n, np.float32)
    gap_s, pause_s = np.exp(rng.uniform(np.log((0.06, 0.1)), np.log((1.0, 2.0))))
    most, unevenness = rng.integers(1, 20), rng.uniform(0, 0.8)
    start = int(rng.uniform(0, pause_s) * sample_rate)
    while start < n:
        for _ in range(rng.integers(1, most + 1)):
            hit = (ring + burst * rng.uniform(0.5, 1)) * 10 ** (rng.normal(0, 4 * unevenness) / 20)
            if start < n:
                out[start : start + len(hit)] += hit[: n - start]
            start += int(gap_s * (1 + unevenness * rng.uniform(-0.9, 0.9)) * sample_rate)
        start += int(pause_s * rng.uniform(0.5, 1.5) * sample_rate)
    return out


def _parts(rng: np.random.Generator, sample_rate: int) -> tuple[Samples, Samples]:
    """Returns the two parts of a hit: resonances that decay faster at higher frequencies, and a noise burst."""
    n = int(np.exp(rng.uniform(*np.log(LENGTH_S))) * sample_rate)
    times = np.arange(n, dtype=np.float32) / sample_rate
    count, (lowest, highest) = int(rng.integers(1, MOST_MODES + 1)), np.log(MODE_HZ)
    hz = np.exp(rng.uniform(lowest, highest, count)).astype(np.float32)
    amplitudes = rng.uniform(0.1, 1, count) * hz ** -rng.uniform(0, 1)
    decays = 7 * sample_rate / n * (hz / hz.min()) ** rng.uniform(0, 1)
    phases = rng.uniform(0, 2 * np.pi, (count, 1)).astype(np.float32)
    ring = amplitudes @ (np.exp(-np.outer(decays, times)) * np.sin(2 * np.pi * np.outer(hz, times) + phases))
    attack_s = np.exp(rng.uniform(np.log(0.0002), np.log(0.03)))
    envelope = np.minimum(times / attack_s, 1) * np.exp(-rng.uniform(4, 12) * np.arange(n) / n)
    ring_gain, burst_gain = 10 ** (rng.uniform(-25, 0, 2) / 20)
    return ring_gain * unit_power(ring), burst_gain * unit_power(coloured(rng, n, sample_rate) * envelope)
