"""Damage to be undone: clipped and coarsely rounded speech, alone and as training examples."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.augment.degradation import clip, damage, quantise
from gtcrn_frontend.training.config import MixingConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.mixing import Mixer, Pool

SIGNAL = np.random.default_rng(0).normal(0, 0.2, 4000).astype(np.float32)
PEAK = float(np.abs(SIGNAL).max())


@given(st.integers(2, 8))
def test_so_many_bits_are_so_many_values(bits):
    rounded = quantise(SIGNAL, bits, PEAK)
    values = np.unique(rounded)
    steps = 2 ** (bits - 1) - 1
    assert len(values) <= 2 * steps + 1
    np.testing.assert_allclose(values * steps / PEAK, np.round(values * steps / PEAK), atol=1e-4)
    assert 0 in values
    assert np.abs(rounded - SIGNAL).max() <= 0.5 * PEAK / steps * 1.0001


def test_two_bits_are_minus_one_zero_and_one():
    np.testing.assert_allclose(np.unique(quantise(SIGNAL, 2, PEAK)), [-PEAK, 0, PEAK], rtol=1e-6)


@given(st.floats(0.01, 0.9))
def test_what_is_clipped_stays_below_the_level_and_the_rest_as_it_was(level):
    clipped = clip(SIGNAL, level)
    quiet = np.abs(SIGNAL) < level
    assert np.abs(clipped).max() <= np.float32(level)
    np.testing.assert_array_equal(clipped[quiet], SIGNAL[quiet])
    assert (np.sign(clipped) == np.sign(SIGNAL)).all()


@given(st.integers(0, 200))
def test_damage_is_heard_and_repeatable(seed):
    damaged, again = (damage(np.random.default_rng(seed), SIGNAL) for _ in range(2))
    np.testing.assert_array_equal(damaged, again)
    assert damaged.dtype == np.float32
    assert np.abs(damaged).max() <= PEAK * 1.0001
    assert not np.array_equal(damaged, SIGNAL)


def test_both_kinds_occur():
    kinds = [len(np.unique(damage(np.random.default_rng(seed), SIGNAL))) < 100 for seed in range(20)]
    assert 0 < sum(kinds) < 20


def test_silence_has_nothing_to_damage():
    assert not damage(np.random.default_rng(0), np.zeros(9, np.float32)).any()


def test_examples_are_speech_and_the_same_speech_damaged(settings, write_config):
    data = load_data(load_config(write_config(settings)), 16000)
    mixer = Mixer(data.audio_cache, data.train, MixingConfig(segment_s=1.0, degradation="compression"), 16000)
    for seed in range(8):
        damaged, target = mixer.example(np.random.default_rng(seed))
        assert damaged.shape == target.shape == (16000,)
        assert 0 < np.abs(target).max() <= 1
        assert not np.array_equal(damaged, target)
        few_values = len(np.unique(damaged)) < 100
        clipped = np.abs(damaged).max() < np.abs(target).max()
        assert few_values or (clipped and np.array_equal(damaged, clip(target, np.abs(damaged).max())))
    batches = [mixer.batch((1, 2), 3) for _ in range(2)]
    np.testing.assert_array_equal(*[np.stack(batch) for batch in batches])


def test_of_pairs_the_clean_half_is_taken(settings, write_config, monkeypatch):
    data = load_data(load_config(write_config(settings)), 16000)
    only_pairs = dataclasses.replace(data.train, speech=Pool(np.empty(0, np.int64), np.empty(0)), pairs=[(0, 1)])
    mixer = Mixer(
        data.audio_cache, only_pairs, MixingConfig(segment_s=0.25, degradation="compression", equalise_prob=0), 16000
    )
    monkeypatch.setattr(mixer, "_pair", lambda rng: (SIGNAL[::-1], SIGNAL))
    damaged, target = mixer.example(np.random.default_rng(0))
    np.testing.assert_allclose(target / target.std(), SIGNAL / SIGNAL.std(), atol=1e-4)
    assert not np.array_equal(damaged, target)


def test_an_unknown_damage_is_refused(settings, write_config):
    with pytest.raises(ConfigError, match="degradation: expected noise or compression, got 'rust'"):
        dataclasses.replace(MixingConfig(), degradation="rust")
    with pytest.raises(ConfigError, match="degradation"):
        load_config(write_config({**settings, "mixing": {"degradation": "rust"}}))
