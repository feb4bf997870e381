import pickle

import numpy as np
import pytest

from gtcrn_frontend.audio.levels import snr_db
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.held_out import plan_held_out
from gtcrn_frontend.training.validation_set import make_validation_set

RATE = 16000


def test_mixtures_are_those_of_the_runs_validation(settings, write_config):
    settings["validation"]["mixtures"] = 3
    config_file = write_config(settings)
    config = load_config(config_file)
    data = load_data(config, RATE)
    validation = make_validation_set(
        data.audio_cache, data.held_out, config.mixing, config.validation, RATE, config.optim.seed
    )
    mixtures = plan_held_out(config_file, None, None)
    assert [mixture.name for mixture in mixtures] == ["mixture 0", "mixture 1", "mixture 2"]
    for mixture, noisy, target in zip(mixtures, validation.noisy, validation.target, strict=True):
        pair = pickle.loads(pickle.dumps(mixture)).read()
        np.testing.assert_array_equal(pair.noisy, noisy)
        np.testing.assert_array_equal(pair.clean, target)


def test_ratios_rise_over_the_range_and_another_seed_mixes_otherwise(settings, write_config):
    settings["mixing"]["reverb_prob"] = 0.0
    config_file = write_config(settings)
    load_data(load_config(config_file), RATE)  # writes the split
    pairs = [mixture.read() for mixture in plan_held_out(config_file, 5, 3)]
    ratios = [snr_db(pair.clean, pair.noisy) for pair in pairs]
    assert ratios == pytest.approx([-5, 1.25, 7.5, 13.75, 20], abs=0.1)
    other = plan_held_out(config_file, 5, 4)[2].read()
    assert not np.array_equal(other.noisy, pairs[2].noisy)


def test_without_a_split_nothing_is_held_out(settings, write_config):
    with pytest.raises(ConfigError, match=r"expected the split .*split\.json, found none: train first"):
        plan_held_out(write_config(settings), 2, None)
