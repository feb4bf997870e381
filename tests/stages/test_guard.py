import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.spec import GTCRN_SPEC
from gtcrn_frontend.stages.guard import Guard, GuardConfig, hop_energies

CONFIG = GuardConfig()
HOP = GTCRN_SPEC.hop_length
rng = np.random.default_rng(0)


def energies(speech, noise, count):
    """Hops in which an engine tells speech from noise without fault; both are mean squares."""
    return [((speech + noise) * HOP, speech * HOP, noise * HOP)] * count


def talk(speech, noise, seconds=6):
    """A third of a second of speech, as much of a pause, and so on."""
    hops = []
    while len(hops) * HOP < seconds * GTCRN_SPEC.sample_rate:
        hops += energies(speech, noise, 20) + energies(1e-4 * speech, noise, 20)
    return hops


@pytest.mark.parametrize("snr_db", [-5, 0, 10, 20, 30])
@pytest.mark.parametrize("level_db", [-40, -30, -10])
def test_the_snr_is_found_at_any_level(snr_db, level_db):
    speech = 10 ** (level_db / 10)
    guard = Guard(GTCRN_SPEC, CONFIG)
    guard.decide(talk(speech, speech * 10 ** (-snr_db / 10)))
    assert guard.report.snr_db == pytest.approx(snr_db, abs=2.5)


def test_clean_speech_is_left_alone_and_noise_is_not():
    clean, noisy = Guard(GTCRN_SPEC, CONFIG), Guard(GTCRN_SPEC, CONFIG)
    clean.decide(talk(1e-2, 1e-7))
    noisy.decide(talk(1e-2, 1e-2))
    assert clean.strength == pytest.approx(CONFIG.min_strength, abs=0.01)
    assert noisy.strength > 0.9 * CONFIG.max_strength


def test_lost_speech_lowers_the_strength_and_is_counted():
    guard, cautious = (Guard(GTCRN_SPEC, GuardConfig(caution=caution)) for caution in (0.0, 1.0))
    vanished = [(1e-1 * HOP, 1e-4 * HOP, 1e-1 * HOP)] * 3  # loud all at once, and gone
    for each in (guard, cautious):
        each.decide(energies(1e-8, 1e-4, 200))
        each.decide(vanished)
    assert cautious.strength < guard.strength
    assert cautious.report.lost_hops >= 3


level = st.floats(0, 64)


@given(hops=st.lists(st.tuples(level, level, level), max_size=60), cut=st.integers(0, 60))
def test_it_is_bounded_smooth_and_does_not_depend_on_chunks(hops, cut):
    scaled = [tuple(HOP * energy for energy in hop) for hop in hops]
    guard, other = Guard(GTCRN_SPEC, CONFIG), Guard(GTCRN_SPEC, CONFIG)
    strengths = [guard.strength, *guard.decide(scaled)]
    assert strengths[1:] == other.decide(scaled[:cut]) + other.decide(scaled[cut:])
    assert min(strengths) >= (1 - CONFIG.caution) * CONFIG.min_strength
    assert max(strengths) <= CONFIG.max_strength < 1
    assert max(np.abs(np.diff(strengths)), default=0) < 0.15
    assert guard.report.hops == len(hops)


@given(hops=st.lists(st.tuples(level, level, level), min_size=1, max_size=60), seed=st.integers(0, 99))
def test_a_little_rounding_changes_little(hops, seed):
    """Engines differ in the last bits; no decision may hang on them."""
    scaled = np.array(hops) * HOP
    rounded = scaled * (1 + 1e-5 * np.random.default_rng(seed).normal(size=scaled.shape))
    strengths = Guard(GTCRN_SPEC, CONFIG).decide(scaled.tolist())
    np.testing.assert_allclose(Guard(GTCRN_SPEC, CONFIG).decide(rounded.tolist()), strengths, atol=1e-4)


def test_energies_are_sums_of_squares():
    dry = rng.normal(size=(5, HOP)).astype(np.float32)
    enhanced = (dry + 0.1 * rng.normal(size=dry.shape)).astype(np.float32)
    pairs = zip(dry, enhanced, strict=True)
    expected = [(np.square(d).sum(), np.square(e).sum(), np.square(d - e).sum()) for d, e in pairs]
    np.testing.assert_allclose(hop_energies(dry, enhanced), expected, rtol=1e-4)
    np.testing.assert_allclose([each[2] for each in hop_energies(dry, dry)], 0, atol=1e-4 * HOP)
    one_by_one = [hop_energies(dry[i : i + 1], enhanced[i : i + 1])[0] for i in range(len(dry))]
    assert one_by_one == hop_energies(dry, enhanced)
    assert hop_energies(dry[:0], enhanced[:0]) == []


@given(cuts=st.lists(st.integers(0, 20)))
def test_hops_are_compared_with_those_of_the_same_moment(cuts):
    """An engine that delivers its input, one hop late, takes nothing away."""
    hops = rng.normal(0, 0.1, (20, HOP)).astype(np.float32)
    late = np.concatenate([np.zeros((1, HOP), np.float32), hops[:-1]])
    whole = Guard(GTCRN_SPEC, CONFIG)
    whole.push(hops)
    expected = whole.pull(late)
    assert whole.report.snr_db > 35

    guard, strengths = Guard(GTCRN_SPEC, CONFIG), []
    edges = sorted({0, 20, *cuts})
    for start, stop in itertools.pairwise(edges):
        guard.push(hops[start:stop])
        strengths += guard.pull(late[start:stop])
    assert strengths == expected


def test_in_mid_stream_it_waits_for_hops_that_it_knows():
    guard = Guard(GTCRN_SPEC, CONFIG, begun=True)
    before = guard.strength
    hops = rng.normal(0, 0.1, (3, HOP)).astype(np.float32)
    guard.push(hops)
    strengths = guard.pull(np.zeros_like(hops))
    assert strengths[0] == before != strengths[1]
    assert guard.report.hops == 2


def test_a_state_goes_on():
    guard, other = Guard(GTCRN_SPEC, CONFIG), Guard(GTCRN_SPEC, CONFIG)
    guard.push(rng.normal(0, 0.1, (3, HOP)).astype(np.float32))
    guard.pull(np.zeros((3, HOP), np.float32))
    other.load_state(guard.state)
    assert other.report == guard.report
    hops = rng.normal(0, 0.1, (3, HOP)).astype(np.float32)
    for each in (guard, other):
        each.push(hops)
    assert guard.pull(0.5 * hops) == other.pull(0.5 * hops)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": np.array([0, 0, 0, 0.5])},
        {"levels": np.array([0, 0, 0, np.inf, 9])},
        {"levels": np.array([0, 0, 0, 1.5, 9])},
        {"levels": np.array([-1.0, 0, 0, 0.5, 9])},
        {"levels": np.array([0, 0, 0, 0.5, 0])},
        {"levels": np.array([0, 0, 0, 0.5, 9], np.float32)},
        {"hops": np.zeros(4)},
        {"hops": np.array([-1, 0, 0, 0])},
        {"past": np.zeros(255, np.float32)},
        {"past": np.full(256, np.nan, np.float32)},
    ],
)
def test_other_states_are_refused(change):
    guard = Guard(GTCRN_SPEC, CONFIG)
    with pytest.raises(StateError, match="guard"):
        guard.load_state(guard.state | change)
    with pytest.raises(StateError, match="guard"):
        guard.load_state({name: array for name, array in guard.state.items() if name not in change})
