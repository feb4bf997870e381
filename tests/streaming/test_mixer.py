import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.streaming.mixer import Mixer

RAMP = 16
rng = np.random.default_rng(0)
DRY = rng.normal(size=200).astype(np.float32)
ENHANCED = rng.normal(size=200).astype(np.float32)


def mix(mixer, cuts, changes=()):
    """Feeds both signals in pieces; at the given samples the strength changes."""
    changes = dict(changes)
    edges = sorted({0, 200, *cuts, *changes})
    mixed = []
    for start, stop in itertools.pairwise(edges):
        if start in changes:
            mixer.set_strength(changes[start])
        mixed.append(mixer.push(DRY[start:stop], ENHANCED[start:stop]).mixed)
    return np.concatenate(mixed)


@given(
    cuts=st.lists(st.integers(0, 200)),
    changes=st.dictionaries(st.integers(0, 199), st.floats(0, 1), max_size=4),
)
def test_chunks_do_not_matter_also_within_a_ramp(cuts, changes):
    whole = mix(Mixer(1.0, RAMP), [], changes.items())
    np.testing.assert_array_equal(mix(Mixer(1.0, RAMP), cuts, changes.items()), whole)


def test_a_ramp_is_linear_and_as_long_as_said():
    mixed = mix(Mixer(1.0, RAMP), [], [(100, 0.0)])
    np.testing.assert_array_equal(mixed[:100], ENHANCED[:100])
    way = np.arange(1, RAMP + 1) / RAMP
    ramp = slice(100, 100 + RAMP)
    np.testing.assert_allclose(mixed[ramp], way * DRY[ramp] + (1 - way) * ENHANCED[ramp], atol=1e-6)
    np.testing.assert_array_equal(mixed[100 + RAMP :], DRY[100 + RAMP :])


def test_a_change_within_a_ramp_starts_where_it_is():
    mixed = mix(Mixer(1.0, RAMP), [], [(100, 0.0), (108, 1.0)])
    at = 1 - 8 / RAMP
    assert mixed[107] == pytest.approx(at * ENHANCED[107] + (1 - at) * DRY[107], abs=1e-6)
    after = at + (1 - at) / RAMP
    assert mixed[108] == pytest.approx(after * ENHANCED[108] + (1 - after) * DRY[108], abs=1e-6)


def test_before_the_first_sample_there_is_nothing_to_ramp_from():
    np.testing.assert_array_equal(mix(Mixer(1.0, RAMP), [], [(0, 0.0)]), DRY)


@given(ahead=st.lists(st.integers(0, 50), min_size=2, max_size=2), steps=st.integers(1, 9))
def test_either_signal_may_run_ahead(ahead, steps):
    mixer, chunks = Mixer(0.5, RAMP), []
    chunks.append(mixer.push(DRY[: ahead[0]], ENHANCED[: ahead[1]]))
    dry, enhanced = DRY[ahead[0] :], ENHANCED[ahead[1] :]
    for d, e in zip(np.array_split(dry, steps), np.array_split(enhanced, steps), strict=True):
        chunks.append(mixer.push(d, e))
    np.testing.assert_array_equal(np.concatenate([c.dry for c in chunks]), DRY)
    np.testing.assert_array_equal(np.concatenate([c.enhanced for c in chunks]), ENHANCED)
    assert mixer.samples_out == 200


def test_a_state_goes_on_in_the_middle_of_a_ramp():
    whole = mix(Mixer(1.0, RAMP), [], [(100, 0.25)])
    first, second = Mixer(1.0, RAMP), Mixer(0.25, RAMP)
    first.push(DRY[:100], ENHANCED[:100])
    first.set_strength(0.25)
    first.push(DRY[100:120], ENHANCED[100:108])
    second.load_state(first.state)
    rest = second.push(DRY[120:], ENHANCED[108:])
    assert rest.start_sample == 108
    np.testing.assert_array_equal(rest.mixed, whole[108:])


def test_a_state_ramps_to_the_strength_that_is_set_here():
    first, second = Mixer(1.0, RAMP), Mixer(0.0, RAMP)
    first.push(DRY[:100], ENHANCED[:100])
    second.load_state(first.state)
    rest = second.push(DRY[100:], ENHANCED[100:]).mixed
    np.testing.assert_array_equal(rest[RAMP:], DRY[100 + RAMP :])
    assert abs(rest[0] - ENHANCED[100]) < abs(rest[0] - DRY[100])


@pytest.mark.parametrize(
    "damage",
    [
        {"dry": np.zeros(3)},
        {"enhanced": np.zeros((1, 3), np.float32)},
        {"ramp": np.array([2.0, 0.5, 1.0])},
        {"ramp": np.array([0.5, np.nan, 1.0])},
        {"ramp": np.array([0.5, 0.5])},
        {"samples_out": np.array([-1])},
    ],
)
def test_a_foreign_state_is_refused(damage):
    mixer = Mixer(1.0, RAMP)
    with pytest.raises(StateError, match="mixer"):
        mixer.load_state({**mixer.state, **damage})
    with pytest.raises(StateError, match="mixer"):
        mixer.load_state({name: array for name, array in mixer.state.items() if name != next(iter(damage))})
