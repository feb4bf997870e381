import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.audio.levels import active_power, noise_gain
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.augment.noise_synthesis import families
from gtcrn_frontend.training.augment.rir.rooms import random_room, split_room
from gtcrn_frontend.training.config import SYNTHETIC_KINDS, MixingConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.mixing import Mixer, Pools

RATE = 16000
PLAIN = MixingConfig(
    segment_s=1.0,
    clean_prob=0,
    noise_only_prob=0,
    synthetic_prob=0.5,
    reverb_prob=0,
    equalise_prob=0,
    speed_prob=0,
    band_limit_prob=0,
    clip_prob=0,
)


@pytest.fixture
def data(settings, write_config):
    return load_data(load_config(write_config(settings)), RATE)


def test_a_source_of_weight_0_is_left_out(settings, write_config):
    settings["corpora"][0]["weights"] = {"fans": 0.0}
    without = load_data(load_config(write_config(settings)), RATE)
    assert len(without.train.speech.numbers)
    assert not len(without.train.noise.numbers)
    settings["corpora"][0]["weights"] = {"*": 0.0}
    with pytest.raises(ConfigError, match="no speech"):
        load_data(load_config(write_config(settings)), RATE)


def mixer(data, **changes):
    return Mixer(data.audio_cache, data.train, dataclasses.replace(PLAIN, **changes), RATE)


@given(st.floats(-20, 40), st.integers(0, 1000))
def test_noise_gain_gives_the_asked_ratio(snr_db, seed):
    rng = np.random.default_rng(seed)
    speech, noise = rng.standard_normal((2, 8000)).astype(np.float32)
    noise *= noise_gain(speech, noise, snr_db)
    assert 10 * np.log10(np.square(speech).mean() / np.square(noise).mean()) == pytest.approx(snr_db, abs=0.05)


def test_pauses_do_not_count_as_speech():
    tone = np.sin(np.arange(16000)).astype(np.float32)
    assert active_power(np.concatenate([np.zeros(16000, np.float32), tone])) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("snr_db", [-5, 10, 25])
def test_mixtures_have_the_asked_ratio(data, snr_db):
    for seed in range(6):
        noisy, target = mixer(data, snr_db=(snr_db, snr_db)).example(np.random.default_rng(seed))
        measured = 10 * np.log10(active_power(target) / np.square(noisy - target).mean())
        assert measured == pytest.approx(snr_db, abs=0.1)


def test_examples_are_in_range_and_repeatable(data):
    all_of_it = mixer(
        data, reverb_prob=0.7, equalise_prob=0.7, speed_prob=0.7, band_limit_prob=0.3, clean_prob=0.1,
        noise_only_prob=0.1, second_noise_prob=0.5,
    )  # fmt: skip
    noisy, target = all_of_it.batch((1, 2), 24)
    assert noisy.shape == target.shape == (24, RATE)
    assert noisy.dtype == target.dtype == np.float32
    assert np.isfinite(noisy).all() and np.isfinite(target).all()
    assert np.abs(noisy).max() <= 1
    again = all_of_it.batch((1, 2), 24)
    np.testing.assert_array_equal(again[0], noisy)
    np.testing.assert_array_equal(again[1], target)
    assert not np.array_equal(all_of_it.batch((1, 3), 24)[0], noisy)


def test_pieces_without_noise_and_without_speech(data):
    noisy, target = mixer(data, clean_prob=1.0).example(np.random.default_rng(0))
    np.testing.assert_array_equal(noisy, target)
    noisy, target = mixer(data, noise_only_prob=1.0).example(np.random.default_rng(0))
    assert not target.any() and noisy.any()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ((), "expected at least one of coloured, modulated.*, got none"),
        (("wind", "brass"), "expected a list of strings out of coloured, modulated.*, got .*brass"),
    ],
)
def test_kinds_that_there_are_not_are_refused(kinds, message):
    with pytest.raises(ConfigError, match=f"synthetic_kinds: {message}"):
        MixingConfig(synthetic_kinds=kinds)


def test_clipping_is_in_the_mixture_and_not_in_the_target(data):
    clipped = mixer(data, clip_prob=1.0, clean_prob=1.0)
    plain = mixer(data, clean_prob=1.0)
    for seed in range(4):
        noisy, target = clipped.example(np.random.default_rng(seed))
        _, unclipped = plain.example(np.random.default_rng(seed))
        assert np.corrcoef(target, unclipped)[0, 1] == pytest.approx(1, abs=1e-5)
        assert np.abs(noisy).max() < 0.99 * np.abs(target).max()
        assert np.all(np.abs(noisy) <= np.abs(target) + 1e-6)


def high_share(samples):
    """Part of the energy above 6.5 kHz."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    return power[len(power) * 13 // 16 :].sum() / power.sum()


def test_a_narrow_band_is_that_of_the_microphone_or_of_the_talker_alone(data):
    narrow = mixer(data, band_limit_prob=1.0, synthetic_prob=1.0, synthetic_kinds=("coloured",), snr_db=(0, 0))
    of_noise = []
    for seed in range(20):
        noisy, target = narrow.example(np.random.default_rng(seed))
        assert high_share(target) < 1e-4
        of_noise.append(high_share(noisy - target) > 1e-3)
    assert 0 < sum(of_noise) < 20


def test_simulated_rooms_keep_speech_before_its_echo(data):
    boxes = mixer(data, reverb_prob=1.0, synthetic_room_prob=1.0, shoebox_prob=1.0, clean_prob=1.0)
    for seed in range(4):
        noisy, target = boxes.example(np.random.default_rng(seed))
        assert np.isfinite(noisy).all()
        assert np.corrcoef(noisy, target)[0, 1] > 0.3
        assert not np.array_equal(noisy, target)


def test_levels_follow_the_config(data):
    quiet = mixer(data, level_db=(-40, 0, -45, -3), snr_db=(25, 25))
    _, target = quiet.example(np.random.default_rng(0))
    assert 10 * np.log10(active_power(target)) == pytest.approx(-40, abs=0.1)


def test_a_room_adds_its_tail_to_the_mixture_only(data):
    noisy, target = mixer(data, clean_prob=1.0, reverb_prob=1.0).example(np.random.default_rng(3))
    tail = noisy - target
    assert 0 < np.square(tail).sum() < 10 * np.square(noisy).sum()
    assert np.corrcoef(noisy, target)[0, 1] > 0.3


def test_a_room_begins_with_the_direct_sound():
    response = np.zeros(8000, np.float32)
    response[[500, 1000, 5000]] = [-1, 0.5, 0.3]
    room = split_room(response, RATE)
    assert room.full[0] == room.early[0] < 0
    assert np.square(room.early).sum() == pytest.approx(1)
    assert room.full[4500] != 0 and room.early[4500] == 0  # 281 ms later: to be removed
    assert room.full[500] == room.early[500] != 0  # 31 ms later: kept


def test_generated_rooms_decay():
    room = random_room(np.random.default_rng(0), RATE)
    assert np.argmax(np.abs(room.full)) == 0
    third = len(room.full) // 3
    assert np.square(room.full[1:third]).sum() > np.square(room.full[-third:]).sum()


def test_all_generated_kinds_can_be_chosen():
    assert tuple(families.FAMILIES) == SYNTHETIC_KINDS


@pytest.mark.parametrize("kind", families.FAMILIES)
def test_generated_noise_has_unit_power(kind):
    for seed in range(4):
        noise = families.FAMILIES[kind](np.random.default_rng(seed), 12345, RATE)
        assert noise.shape == (12345,) and noise.dtype == np.float32
        assert np.square(noise).mean() == pytest.approx(1, rel=1e-3)


def test_pairs_stay_aligned(data):
    numbers = data.train.speech.numbers
    pairs = Pools(
        dataclasses.replace(data.train.speech, numbers=numbers[:0]), data.train.noise, (), [(numbers[0],) * 2]
    )
    noisy, target = Mixer(data.audio_cache, pairs, PLAIN, RATE).example(np.random.default_rng(0))
    np.testing.assert_array_equal(noisy, target)
    assert target.any()
