import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.native import auto_strength as in_c
from gtcrn_frontend.streaming.strength_ramp import HopGrid, StrengthRamp

RATES = [8000, 11025, 16000, 22050, 44100, 48000]
rng = np.random.default_rng(0)
DRY = rng.normal(size=5000).astype(np.float32)
ENHANCED = rng.normal(size=5000).astype(np.float32)


def grid(output_rate=16000):
    return HopGrid(hop_length=256, delay=256, rate=16000, output_rate=output_rate)


@pytest.mark.parametrize("rate", RATES)
def test_hops_begin_with_the_first_sample_at_or_after_their_moment(rate):
    starts = [grid(rate).start(hop) for hop in range(400)]
    for hop, start in enumerate(starts):
        moment = (hop * 256 - 256) / 16000
        assert (start - 1) / rate < moment <= start / rate + 1e-12
    assert starts[1] == 0


@pytest.mark.parametrize("rate", RATES)
def test_the_strength_goes_linearly_through_what_was_decided(rate):
    ends = [0.2, 0.9, 0.9, 0.1]
    ramp = StrengthRamp(grid(rate), 0.5, 1)
    ramp.extend(ends)
    ones = np.ones(grid(rate).start(5) + 100, np.float32)
    strength = ramp.mix(np.zeros_like(ones), ones, 0)
    corners = [grid(rate).start(hop) - 1 for hop in range(1, 6)]
    np.testing.assert_allclose(
        strength[: corners[-1] + 1], np.interp(np.arange(corners[-1] + 1), corners, [0.5, *ends]), atol=1e-6
    )
    np.testing.assert_allclose(strength[corners[-1] :], 0.1, atol=1e-6)


@given(
    rate=st.sampled_from(RATES),
    first=st.integers(0, 5),
    ends=st.lists(st.floats(0, 1), min_size=30, max_size=30),
    cuts=st.lists(st.integers(0, 5000)),
)
def test_chunks_do_not_matter_nor_when_strengths_arrive_nor_states(rate, first, ends, cuts):
    whole = StrengthRamp(grid(rate), 0.5, first)
    whole.extend(ends)
    expected = whole.mix(DRY, ENHANCED, 0)

    ramp, pieces = StrengthRamp(grid(rate), 0.5, first), []
    waiting = list(ends)
    for start, stop in itertools.pairwise(sorted({0, 5000, *cuts})):
        while waiting and grid(rate).start(first + len(ends) - len(waiting)) < stop:  # as late as may be
            ramp.extend([waiting.pop(0)])
        twin = StrengthRamp(grid(rate), 0.0, 0)
        twin.load_state(ramp.state)
        ramp = twin
        pieces.append(ramp.mix(DRY[start:stop], ENHANCED[start:stop], start))
        assert ramp.at(stop) == pytest.approx(twin.at(stop))
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


@pytest.mark.skipif(not in_c.is_built(), reason="the C extension was not built")
@given(
    rate=st.sampled_from(RATES),
    first=st.integers(0, 40),
    ends=st.lists(st.floats(0, 1), max_size=30),
    begin=st.integers(0, 900),
)
def test_c_mixes_as_the_reference_does(rate, first, ends, begin):
    tracks = [StrengthRamp(grid(rate), 0.5, first)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(in_c, "lib", None)
        tracks.append(StrengthRamp(grid(rate), 0.5, first))
    for ramp in tracks:
        ramp.extend(ends)
    mixed, reference = (ramp.mix(DRY, ENHANCED, begin) for ramp in tracks)
    np.testing.assert_allclose(mixed, reference, atol=1e-6)
    np.testing.assert_array_equal(*(np.concatenate(list(ramp.state.values())) for ramp in tracks))


def test_the_strength_between_two_samples():
    ramp = StrengthRamp(grid(), 0.5, 1)
    assert ramp.at(0) == 0.5
    ramp.extend([1.0])
    assert ramp.at(0) == 0.5
    ramp.mix(DRY[:128], ENHANCED[:128], 0)
    assert ramp.at(128) == 0.75
    ramp.mix(DRY[:128], ENHANCED[:128], 128)
    assert ramp.at(256) == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"strengths": np.array([1.5])},
        {"strengths": np.array([np.nan])},
        {"strengths": np.empty(0)},
        {"strengths": np.array([1], np.float32)},
        {"hop": np.array([-1])},
        {"hop": np.array([2**62])},
        {"hop": np.array(3)},
        {"hop": np.array([1.0])},
    ],
)
def test_other_states_are_refused(change):
    ramp = StrengthRamp(grid(), 0.5, 0)
    with pytest.raises(StateError, match="strength_ramp"):
        ramp.load_state(ramp.state | change)


@pytest.mark.parametrize("delay", [1024, 1000, 15680])
@pytest.mark.parametrize("rate", RATES)
def test_hops_before_the_first_sample_leave_their_strength_and_no_more(delay, rate):
    far = HopGrid(hop_length=256, delay=delay, rate=16000, output_rate=rate)
    before = delay // 256  # hops that lie before it to their end
    ends = np.linspace(0, 1, before + 40).tolist()
    ramp, later = StrengthRamp(far, 0.5, 0), StrengthRamp(far, ends[before - 1], before)
    ramp.extend(ends)
    later.extend(ends[before:])
    np.testing.assert_array_equal(ramp.mix(DRY, ENHANCED, 0), later.mix(DRY, ENHANCED, 0))
