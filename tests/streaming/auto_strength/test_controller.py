import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.config import AutoStrengthConfig
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.native import auto_strength as in_c
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrength, new_levels
from gtcrn_frontend.streaming.auto_strength.level_tracker import decide, hop_energies, snr_db, update

CONFIG = AutoStrengthConfig()
HOP = GTCRN_SPEC.hop_length
rng = np.random.default_rng(0)


@pytest.fixture(params=["C", "Python"])
def new(request):
    """Makes levels, in C and in Python."""
    if request.param == "C" and not in_c.is_built():
        pytest.skip("the C extension was not built")

    def make(config=CONFIG):
        levels = new_levels(GTCRN_SPEC, config)
        return levels.native() if request.param == "C" else levels

    return make


def energies(speech, noise, count):
    """Hops in which an engine tells speech from noise without fault; both are mean squares."""
    return [(speech + noise, speech, noise)] * count


def talk(speech, noise, seconds=6):
    """A third of a second of speech, as much of a pause, and so on."""
    hops = []
    while len(hops) * HOP < seconds * GTCRN_SPEC.sample_rate:
        hops += energies(speech, noise, 20) + energies(1e-4 * speech, noise, 20)
    return np.array(hops)


@pytest.mark.parametrize("snr", [-5, 0, 10, 20, 30])
@pytest.mark.parametrize("level_db", [-40, -30, -10])
def test_the_snr_is_found_at_any_level(new, snr, level_db):
    speech, levels = 10 ** (level_db / 10), new()
    decide(levels, talk(speech, speech * 10 ** (-snr / 10)))
    assert snr_db(levels) == pytest.approx(snr, abs=2.5)


def test_clean_speech_is_left_alone_and_noise_is_not(new):
    clean, noisy = new(), new()
    decide(clean, talk(1e-2, 1e-7))
    decide(noisy, talk(1e-2, 3e-3))
    assert clean.strength == pytest.approx(CONFIG.min_strength, abs=0.01)
    assert noisy.strength > 0.9 * CONFIG.max_strength


def test_lost_speech_lowers_the_strength_and_is_counted(new):
    levels, cautious = (new(AutoStrengthConfig(caution=caution)) for caution in (0.0, 1.0))
    vanished = [(1e-1, 1e-4, 1e-1)] * 3  # loud all at once, and gone
    for each in (levels, cautious):
        decide(each, np.array(energies(1e-8, 1e-4, 200) + vanished))
    assert cautious.strength < levels.strength
    assert cautious.lost_hops >= 3


def test_doubt_lowers_the_strength_to_nothing(new):
    """Half of every hop is kept: the network does not know speech from noise."""
    doubtful = np.array([(1e-2, 5e-3, 5e-3)] * 300)
    levels, careless = new(), new(AutoStrengthConfig(max_doubt=2.0))
    for each in (levels, careless):
        decide(each, doubtful)
    assert levels.doubt == pytest.approx(1, abs=0.02)
    assert levels.strength < 0.01
    assert careless.strength > CONFIG.min_strength


def test_what_is_taken_from_clean_speech_is_no_noise(new):
    """Every other word vanishes, but between the words there is nothing."""
    kept, eaten, pause = energies(1e-2, 1e-6, 20), energies(1e-6, 1e-2, 20), energies(1e-9, 1e-8, 20)
    levels, noisy = new(), new()
    decide(levels, np.array((kept + pause + eaten + pause) * 4))
    decide(noisy, np.array((kept + eaten) * 8))
    assert levels.strength < CONFIG.min_strength + 0.05 < noisy.strength


level = st.floats(0, 64)
hops_of = st.lists(st.tuples(level, level, level), max_size=60).map(lambda hops: np.array(hops).reshape(-1, 3))


@given(hops=hops_of, cut=st.integers(0, 60))
def test_it_is_bounded_smooth_and_does_not_depend_on_chunks(hops, cut):
    levels, other = (new_levels(GTCRN_SPEC, CONFIG).native() for _ in range(2))
    strengths = [levels.strength, *decide(levels, hops)]
    assert strengths[1:] == decide(other, hops[:cut]) + decide(other, hops[cut:])
    assert min(strengths) >= 0
    assert max(strengths) <= CONFIG.max_strength < 1
    assert max(np.abs(np.diff(strengths)), default=0) < 0.15
    assert levels.hops == len(hops)


@given(hops=hops_of, seed=st.integers(0, 99))
def test_a_little_rounding_changes_little(hops, seed):
    """Engines differ in the last bits; no decision may hang on them."""
    rounded = hops * (1 + 1e-5 * np.random.default_rng(seed).normal(size=hops.shape))
    one, other = (new_levels(GTCRN_SPEC, CONFIG) for _ in range(2))
    np.testing.assert_allclose(decide(one, rounded), decide(other, hops), atol=1e-4)


@pytest.mark.skipif(not in_c.is_built(), reason="the C extension was not built")
@given(
    hops=hops_of,
    exponents=st.lists(st.floats(-9, 0), min_size=5, max_size=5),
    bounds=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted),
    caution=st.floats(0, 1),
)
def test_c_decides_as_the_reference_does(hops, exponents, bounds, caution):
    config = AutoStrengthConfig(min_strength=bounds[0], max_strength=bounds[1], caution=caution)
    reference = new_levels(GTCRN_SPEC, config)
    in_c = reference.native()
    rng = np.random.default_rng(0)
    dry = np.concatenate([rng.normal(0, 10**exponent, (7, HOP)) for exponent in exponents]).astype(np.float32)
    enhanced = (dry * rng.uniform(0, 1, (len(dry), 1))).astype(np.float32)
    np.testing.assert_allclose(decide(in_c, hops), decide(reference, hops), atol=1e-9)
    np.testing.assert_allclose(update(in_c, dry, enhanced), update(reference, dry, enhanced), atol=1e-9)
    for name, value in vars(reference).items():
        assert getattr(in_c, name) == pytest.approx(value, rel=1e-9)


def test_energies_are_means_of_squares():
    dry = rng.normal(size=(5, HOP)).astype(np.float32)
    enhanced = (dry + 0.1 * rng.normal(size=dry.shape)).astype(np.float32)
    pairs = zip(dry, enhanced, strict=True)
    expected = [(np.square(d).mean(), np.square(e).mean(), np.square(d - e).mean()) for d, e in pairs]
    np.testing.assert_allclose(hop_energies(dry, enhanced), expected, rtol=1e-5)
    assert not hop_energies(dry, dry)[:, 2].any()
    assert hop_energies(dry[:0], enhanced[:0]).shape == (0, 3)


@given(cuts=st.lists(st.integers(0, 20)))
def test_hops_are_compared_with_those_of_the_same_moment(cuts):
    """An engine that delivers its input, one hop late, takes nothing away."""
    hops = rng.normal(0, 0.1, (20, HOP)).astype(np.float32)
    late = np.concatenate([np.zeros((1, HOP), np.float32), hops[:-1]])
    whole = AutoStrength(GTCRN_SPEC, CONFIG)
    whole.push(hops)
    expected = whole.pull(late)
    assert whole.report.snr_db > 35

    auto_strength, strengths = AutoStrength(GTCRN_SPEC, CONFIG), []
    edges = sorted({0, 20, *cuts})
    for start, stop in itertools.pairwise(edges):
        auto_strength.push(hops[start:stop])
        strengths += auto_strength.pull(late[start:stop])
    assert strengths == expected


def test_it_waits_for_hops_that_it_knows_both_sides_of():
    auto_strength = AutoStrength(GTCRN_SPEC, CONFIG)
    before = auto_strength.strength
    hops = rng.normal(0, 0.1, (3, HOP)).astype(np.float32)
    auto_strength.push(hops)
    strengths = auto_strength.pull(np.zeros_like(hops))
    assert strengths[0] == before != strengths[1]
    assert auto_strength.report.hops == 2


def test_a_state_goes_on():
    auto_strength, other = AutoStrength(GTCRN_SPEC, CONFIG), AutoStrength(GTCRN_SPEC, CONFIG)
    auto_strength.push(rng.normal(0, 0.1, (3, HOP)).astype(np.float32))
    auto_strength.pull(np.zeros((3, HOP), np.float32))
    other.load_state(auto_strength.state)
    assert other.report == auto_strength.report
    hops = rng.normal(0, 0.1, (3, HOP)).astype(np.float32)
    for each in (auto_strength, other):
        each.push(hops)
    assert auto_strength.pull(0.5 * hops) == other.pull(0.5 * hops)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": np.array([0, 0, 0, 0, 0, 0, 0.5])},
        {"levels": np.array([0, 0, 0, 0, 0, 0, np.inf, 9])},
        {"levels": np.array([0, 0, 0, 0, 0, 0, 1.5, 9])},
        {"levels": np.array([0, 0, 0, 0, 0, 1.5, 0.5, 9])},
        {"levels": np.array([-1.0, 0, 0, 0, 0, 0, 0.5, 9])},
        {"levels": np.array([0, 0, 0, 0, 0, 0, 0.5, 0])},
        {"levels": np.array([0, 0, 0, 0, 0, 0, 0.5, 9], np.float32)},
        {"hops": np.zeros(4)},
        {"hops": np.array([-1, 0, 0, 0])},
        {"past": np.zeros(255, np.float32)},
        {"past": np.full(256, np.nan, np.float32)},
    ],
)
def test_other_states_are_refused(change):
    auto_strength = AutoStrength(GTCRN_SPEC, CONFIG)
    with pytest.raises(StateError, match="auto_strength"):
        auto_strength.load_state(auto_strength.state | change)
    with pytest.raises(StateError, match="auto_strength"):
        auto_strength.load_state({name: array for name, array in auto_strength.state.items() if name not in change})


def test_without_the_extension_it_decides_the_same(monkeypatch):
    hops = rng.normal(0, 0.1, (9, HOP)).astype(np.float32)

    def strengths():
        auto_strength = AutoStrength(GTCRN_SPEC, CONFIG)
        auto_strength.push(hops)
        return auto_strength.pull(0.3 * hops), auto_strength.report

    expected, report = strengths()
    monkeypatch.setattr(in_c, "lib", None)
    found, other = strengths()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (other.hops, other.speech_hops, other.lost_hops) == (report.hops, report.speech_hops, report.lost_hops)
    assert other.snr_db == pytest.approx(report.snr_db)
