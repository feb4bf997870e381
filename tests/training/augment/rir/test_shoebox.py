"""Simulated rooms against geometry and reverberation theory."""

import numpy as np
import pytest

from gtcrn_frontend.training.augment.rir.shoebox import images, shoebox_response, shoebox_room, wall_reflection

RATE = 16000
SIZE = np.array([5.0, 4.0, 3.0])
TALKER, MICROPHONE = np.array([1.0, 1.5, 1.2]), np.array([3.5, 2.0, 1.6])


def test_the_first_images_are_the_mirrors_of_the_walls() -> None:
    distances, gains = images(SIZE, TALKER, MICROPHONE, 0.5, 20.0)
    direct = np.linalg.norm(TALKER - MICROPHONE)
    mirrored = []
    for axis in range(3):
        for wall in (0.0, SIZE[axis]):
            image = TALKER.copy()
            image[axis] = 2 * wall - image[axis]
            mirrored.append(np.linalg.norm(image - MICROPHONE))
    assert distances[0] == pytest.approx(direct)
    assert gains[0] == pytest.approx(1 / direct)
    np.testing.assert_array_less(np.diff(distances), np.inf)
    assert (np.diff(distances) >= 0).all()
    for distance in mirrored:
        (place,) = np.flatnonzero(np.isclose(distances, distance))
        assert gains[place] == pytest.approx(0.5 / distance)


def test_there_is_an_image_in_every_mirrored_room() -> None:
    distances, _ = images(SIZE, TALKER, MICROPHONE, 0.5, 25.0)
    expected = 4 / 3 * np.pi * 25**3 / np.prod(SIZE)
    assert len(distances) == pytest.approx(expected, rel=0.05)


def test_walls_that_reflect_more_make_longer_reverberation() -> None:
    reflections = [wall_reflection(SIZE, t60_s) for t60_s in (0.1, 0.3, 0.9)]
    assert 0 < reflections[0] < reflections[1] < reflections[2] < 1


@pytest.mark.parametrize("t60_s", [0.25, 0.6])
def test_the_energy_decays_as_asked(t60_s: float) -> None:
    """Schroeder's backward integration, from 5 dB to 25 dB below the start, doubled and more to 60 dB."""
    measured = []
    for seed in range(5):
        response = shoebox_response(np.random.default_rng(seed), SIZE, TALKER, MICROPHONE, t60_s, RATE)
        decay_db = 10 * np.log10(np.cumsum(np.square(response[::-1].astype(float)))[::-1] + 1e-30)
        decay_db -= decay_db[1]
        start, end = (int(np.argmax(decay_db[1:] < level)) for level in (-5, -25))
        measured.append(3 * (end - start) / RATE)
    assert np.mean(measured) == pytest.approx(t60_s, rel=0.15)


def test_the_tail_goes_on_where_the_images_end() -> None:
    levels = []
    for seed in range(20):
        response = shoebox_response(np.random.default_rng(seed), SIZE, TALKER, MICROPHONE, 0.6, RATE)
        before, after = (
            np.square(response[int(a * RATE) : int(b * RATE)]).mean() for a, b in ((0.04, 0.06), (0.08, 0.1))
        )
        levels.append(10 * np.log10(before / after))
    assert np.mean(levels) == pytest.approx(60 / 0.6 * 0.04, abs=2)


def test_rooms_begin_with_the_direct_sound_and_keep_early_reflections() -> None:
    for seed in range(30):
        room = shoebox_room(np.random.default_rng(seed), RATE)
        assert room.full.dtype == np.float32
        assert np.isfinite(room.full).all()
        assert room.full[0] == room.early[0] > 0
        assert np.square(room.early).sum() == pytest.approx(1, rel=1e-4)
        assert not room.early[int(0.07 * RATE) :].any()
        np.testing.assert_array_equal(room.full[: int(0.05 * RATE)], room.early[: int(0.05 * RATE)])
        assert len(room.full) <= RATE


def test_rooms_differ_and_a_seed_gives_the_same() -> None:
    one, again, other = (shoebox_room(np.random.default_rng(seed), RATE).full for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one[:1000], other[:1000])
