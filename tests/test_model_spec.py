"""The facts of GTCRN, and that a spec travels between processes unchanged."""

import copy
import dataclasses
import pickle

import pytest

from gtcrn_frontend.model_spec import GTCRN_SPEC


def test_the_facts_of_gtcrn():
    assert (GTCRN_SPEC.sample_rate, GTCRN_SPEC.hop_length) == (16000, 256)
    assert (GTCRN_SPEC.n_fft, GTCRN_SPEC.win_length) == (512, 512)
    assert (GTCRN_SPEC.n_bins, GTCRN_SPEC.overlap) == (257, 256)
    assert (GTCRN_SPEC.causal, GTCRN_SPEC.look_ahead, GTCRN_SPEC.parameters) == (True, 0, 48245)
    assert dict(GTCRN_SPEC.cache_shapes) == {
        "analysis": (256,),
        "synthesis": (256,),
        "conv": (2, 16, 16, 33),
        "tra": (2, 3, 16),
        "inter": (2, 33, 16),
    }


def test_nothing_in_it_can_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GTCRN_SPEC.hop_length = 128
    with pytest.raises(TypeError):
        GTCRN_SPEC.cache_shapes["conv"] = (1,)


def test_the_shapes_are_its_own_copy():
    shapes = {"analysis": (256,)}
    spec = dataclasses.replace(GTCRN_SPEC, cache_shapes=shapes)
    shapes["other"] = (1,)
    assert set(spec.cache_shapes) == {"analysis"}


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda spec: pickle.loads(pickle.dumps(spec))])
def test_it_can_be_copied_and_pickled(twin):
    other = twin(GTCRN_SPEC)
    assert other == GTCRN_SPEC
    assert hash(other) == hash(GTCRN_SPEC)
    with pytest.raises(TypeError):
        other.cache_shapes["conv"] = (1,)
