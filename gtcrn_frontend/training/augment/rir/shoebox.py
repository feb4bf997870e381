"""Shoebox room impulse responses: early reflections by the image source method, and a statistical tail.

Source: Allen and Berkley, "Image method for efficiently simulating small-room acoustics", J. Acoust. Soc. Am. 65(4),
1979. Image sources model the first 80 ms; after that, reflections are dense enough to be noise of the same level and
decay. Not pyroomacoustics: a room takes 0.6 ms of a core here; there 8 ms with image sources of order 10 alone, 40 ms
with ray tracing, 700 ms with all image sources of the reverberation time (version 0.10.1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.signal

from gtcrn_frontend.training.augment.rir.rooms import MAX_S, NEPER_PER_T60, T60_S, Room, split_room

Samples = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SOUND_M_PER_S = 343.0
SABINE_S_PER_M = 0.161
SIZE_M = ((2.5, 2.0, 2.2), (10.0, 8.0, 4.0))
WALL_M = 0.3  # least distance of talker and microphone to walls
DISTANCE_M = (0.2, 4.0)
IMAGES_S = 0.08
FADE_S = 0.02
JITTER_M = 0.08  # real walls are uneven; avoids sweeping echoes
DAMPING = (0.0, 0.6)
RUMBLE_POLE = 0.99  # high-pass at 25 Hz: removes the offset of image sources, which all have the same sign


def shoebox_room(rng: np.random.Generator, sample_rate: int) -> Room:
    """Returns a random room, from the size of a car to that of a classroom."""
    size = rng.uniform(*SIZE_M)
    t60_s = float(np.exp(rng.uniform(*np.log(T60_S))))
    microphone = rng.uniform(WALL_M, size - WALL_M)
    direction = rng.standard_normal(3)
    away = direction / np.linalg.norm(direction) * rng.uniform(*DISTANCE_M)
    talker = np.clip(microphone + away, WALL_M, size - WALL_M)
    return split_room(shoebox_response(rng, size, talker, microphone, t60_s, sample_rate), sample_rate, start=0)


def shoebox_response(
    rng: np.random.Generator, size: Points, talker: Points, microphone: Points, t60_s: float, sample_rate: int
) -> Samples:
    """Returns an impulse response `(n,)` that begins with the direct sound, which is 1.

    Args:
        rng: for jitter, damping and the tail.
        size: `(3,)`, of the room in m.
        talker, microphone: `(3,)`, positions in m.
        t60_s: reverberation time.
        sample_rate: in Hz.
    """
    reflection = wall_reflection(size, t60_s)
    direct_m = max(float(np.linalg.norm(talker - microphone)), 1e-2)
    distances, gains = images(size, talker, microphone, reflection, direct_m + IMAGES_S * SOUND_M_PER_S)
    distances, gains = distances[1:] + rng.uniform(-JITTER_M, JITTER_M, len(gains) - 1), gains[1:]
    n, keep, fade = (int(s * sample_rate) for s in (min(1.2 * t60_s + IMAGES_S, MAX_S), IMAGES_S, FADE_S))
    places = np.maximum((distances - direct_m) / SOUND_M_PER_S * sample_rate, 1.0)
    whole = places.astype(int)
    part = places - whole
    gains = gains * direct_m
    early = np.bincount(whole, gains * (1 - part), n + 1) + np.bincount(whole + 1, gains * part, n + 1)[: n + 1]
    late = rng.standard_normal(n + 1) * np.exp(-NEPER_PER_T60 * np.arange(n + 1) / (t60_s * sample_rate))
    damping = rng.uniform(*DAMPING)
    early, late = (scipy.signal.lfilter([1 - damping], [1, -damping], echoes) for echoes in (early, late))
    early = scipy.signal.lfilter([1, -1], [1, -RUMBLE_POLE], early)
    last = slice(keep - fade, keep)
    late *= np.sqrt(np.square(early[last]).sum() / max(float(np.square(late[last]).sum()), 1e-12))
    rising = np.clip((np.arange(n + 1) - (keep - fade)) / fade, 0, 1)
    reflections = early * np.sqrt(1 - rising) + late * np.sqrt(rising)
    reflections[0] = 1
    return np.asarray(reflections[:n], np.float32)


def wall_reflection(size: Points, t60_s: float) -> float:
    """Returns the amplitude reflection factor of the walls for a reverberation time (Eyring)."""
    volume, surface = float(np.prod(size)), 2 * float(size[0] * size[1] + size[1] * size[2] + size[2] * size[0])
    return float(np.exp(-SABINE_S_PER_M * volume / (2 * surface * t60_s)))


def images(
    size: Points, talker: Points, microphone: Points, reflection: float, farthest_m: float
) -> tuple[Points, Points]:
    """Returns distances in m and gains `(n,)` of the talker and its image sources, the nearest first.

    Args:
        size, talker, microphone: `(3,)` in m.
        reflection: amplitude reflection factor of the walls.
        farthest_m: largest distance of an image source.
    """
    offsets, counts = [], []
    for length, source, ear in zip(size, talker, microphone, strict=True):
        rooms = np.arange(-int(farthest_m / (2 * length)) - 1, int(farthest_m / (2 * length)) + 2)
        mirrored = np.array([0, 1])
        offsets.append(((1 - 2 * mirrored)[:, None] * source + 2 * rooms * length - ear).ravel())
        counts.append((np.abs(rooms - mirrored[:, None]) + np.abs(rooms)).ravel())
    x, y, z = (np.square(axis) for axis in offsets)
    distances = np.sqrt(x[:, None, None] + y[:, None] + z)
    walls = counts[0][:, None, None] + counts[1][:, None] + counts[2]
    near = distances <= farthest_m
    distances, walls = distances[near], walls[near]
    order = np.argsort(distances)
    distances, walls = distances[order], walls[order]
    return distances, reflection**walls / np.maximum(distances, 1e-2)
