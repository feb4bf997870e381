"""`strength="auto"` from outside: chunks, rates, engines, states, switching, channels, pools."""

import copy
import pickle

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import AutoStrengthConfig, Enhancer, StateError, StreamPool, StreamState
from gtcrn_frontend.native.binding import why_absent

RATE = 16000
CONFIG = AutoStrengthConfig()


@pytest.fixture(scope="module")
def speech(audio_folder):
    samples, _ = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")
    return samples[: 2 * RATE]


@pytest.fixture(scope="module")
def noisy(speech):
    """Speech, clean in the first half and noisy in the second."""
    noise = np.random.default_rng(1).normal(0, 0.05, len(speech)).astype(np.float32)
    noise[: len(noise) // 2] *= 0.001
    return speech + noise


@pytest.fixture(scope="module")
def whole(noisy):
    return Enhancer(strength="auto").enhance(noisy)


def run(enhancer, samples, lengths):
    pieces, start = [], 0
    for length in [*lengths, len(samples)]:
        pieces.append(enhancer.process_chunk(samples[start : start + length]))
        start += length
    return np.concatenate([*pieces, enhancer.flush()])


@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(0, 5000), max_size=12))
def test_any_chunking_gives_the_samples_of_one_call(noisy, whole, lengths):
    np.testing.assert_allclose(run(Enhancer(strength="auto"), noisy, lengths), whole, atol=1e-6)


@settings(deadline=None, max_examples=10)
@given(
    rates=st.sampled_from([(48000, 48000), (44100, 16000), (8000, 8000), (16000, 22050), (44101, 44101)]),
    lengths=st.lists(st.integers(0, 9000), max_size=8),
)
def test_nor_does_it_at_other_rates(noisy, rates, lengths):
    settings = {"strength": "auto", "sample_rate": rates[0], "output_sample_rate": rates[1]}
    expected = Enhancer(**settings).enhance(noisy)
    np.testing.assert_allclose(run(Enhancer(**settings), noisy, lengths), expected, atol=1e-6)


def test_samples_may_lie_anyhow_in_memory(noisy, whole):
    spread = np.repeat(noisy, 3)[::3]
    assert not spread.flags.c_contiguous
    np.testing.assert_allclose(run(Enhancer(strength="auto"), spread, [1000, 256, 4000]), whole, atol=1e-6)


def test_it_is_a_strength_between_the_bounds_that_moves_slowly(noisy):
    enhancer = Enhancer(strength="auto")
    part = enhancer.process_aligned(noisy)
    removed = part.enhanced - part.dry
    audible = np.abs(removed) > 0.02
    strength = ((part.mixed - part.dry)[audible] / removed[audible]).astype(np.float64)
    assert (1 - CONFIG.caution) * CONFIG.min_strength - 1e-3 < strength.min()
    assert strength.max() < CONFIG.max_strength + 1e-3
    per_sample = np.diff(strength) / np.diff(np.flatnonzero(audible))
    assert np.abs(per_sample).max() < 1e-3
    assert np.ptp(strength) > 0.1


def test_it_asks_for_no_more_of_the_future_than_any_strength(noisy):
    """What comes out in time does not depend on what comes in later."""
    changed = noisy.copy()
    changed[20000:] = 0
    one, other = Enhancer(strength="auto"), Enhancer(strength="auto")
    first, second = one.process_chunk(noisy), other.process_chunk(changed)
    before = 20000 - one.lag_samples
    np.testing.assert_allclose(first[:before], second[:before], atol=1e-6)
    assert one.latency_samples == Enhancer(strength=0.5).latency_samples


def test_engines_agree(noisy, whole):
    for engine in ("onnx", "torch", *(() if why_absent() else ("native",))):
        np.testing.assert_allclose(Enhancer(engine=engine, strength="auto").enhance(noisy), whole, atol=1e-4)


def test_clean_speech_passes_and_noise_goes_down_but_not_to_nothing(audio_folder):
    speech, _ = soundfile.read(audio_folder / "speech_b.flac", dtype="float32")
    clean = Enhancer(strength="auto")
    clean.process_chunk(speech)
    noise = np.random.default_rng(2).normal(0, 0.05, 3 * RATE).astype(np.float32)
    noisy = Enhancer(strength="auto")
    out = noisy.process_chunk(noise)[RATE:]
    assert noisy.auto_strength_report.strength > 0.6 > clean.auto_strength_report.strength
    assert noisy.auto_strength_report.snr_db < 5 < 20 < clean.auto_strength_report.snr_db
    assert clean.auto_strength_report.speech_hops > noisy.auto_strength_report.speech_hops
    level = np.sqrt(np.square(out).mean())
    assert 0.05 * (1 - CONFIG.max_strength) / 2 < level < 0.05 / 2


def test_digital_silence_stays(noisy):
    samples = np.concatenate([noisy, np.zeros(RATE, np.float32)])
    out = Enhancer(strength="auto").enhance(samples)
    assert np.isfinite(out).all()
    assert np.abs(out[-RATE // 2 :]).max() < 1e-4


@pytest.mark.parametrize("rates", [(16000, 16000), (44100, 48000)])
@pytest.mark.parametrize("cut", [0, 100, 5000, 17001])
def test_a_state_goes_on_in_another_engine(noisy, rates, cut):
    settings = {"strength": "auto", "sample_rate": rates[0], "output_sample_rate": rates[1]}
    enhancer = Enhancer(**settings)
    enhancer.process_chunk(noisy[:cut])
    saved = enhancer.get_state().to_bytes()
    other = Enhancer(engine="onnx", **settings)
    other.set_state(StreamState.from_bytes(saved))
    twins = [copy.copy(enhancer), pickle.loads(pickle.dumps(enhancer)), other]
    assert all(twin.auto_strength_report == enhancer.auto_strength_report for twin in twins)
    expected = run(enhancer, noisy[cut:], [])
    for twin in twins:
        np.testing.assert_allclose(run(twin, noisy[cut:], [3000]), expected, atol=1e-5)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_state_moves_between_fixed_strength_and_guard(noisy, rate):
    """It goes towards what is set where it is loaded, without a jump."""
    auto, fixed = Enhancer(strength="auto", sample_rate=rate), Enhancer(strength=0.2, sample_rate=rate)
    for source, target in ((auto, Enhancer(strength=1.0, sample_rate=rate)), (fixed, auto)):
        source.process_chunk(noisy[:12345])
        state = source.get_state()
        target.set_state(state)
        source.strength = target.strength
        np.testing.assert_allclose(target.process_chunk(noisy[12345:]), source.process_chunk(noisy[12345:]), atol=1e-6)


def test_a_damaged_state_is_refused(noisy):
    enhancer = Enhancer(strength="auto")
    enhancer.process_chunk(noisy)
    state = enhancer.get_state()
    for name in ("0.path.auto_strength.levels", "0.path.strength_ramp.strengths"):
        bad = StreamState(state.facts, dict(state.arrays) | {name: np.full(8, 7.0)})
        with pytest.raises(StateError):
            enhancer.set_state(bad)
    expected = Enhancer(strength="auto")
    expected.process_chunk(noisy)
    np.testing.assert_array_equal(enhancer.flush(), expected.flush())


@pytest.mark.parametrize("rate", [16000, 44100])
def test_it_is_switched_on_and_off_at_any_time_without_a_jump(noisy, rate):
    enhancer = Enhancer(strength=0.0, sample_rate=rate)
    parts, knobs = [], ["auto", 0.5, "auto", 1.0, 0.0, "auto"]
    for number, start in enumerate(range(0, len(noisy), 1500)):
        enhancer.strength = knobs[number % len(knobs)]
        assert enhancer.strength == knobs[number % len(knobs)]
        parts.append(enhancer.process_aligned(noisy[start : start + 1500]))
        assert (enhancer.auto_strength_report is None) == (enhancer.strength != "auto")
    parts.append(enhancer.flush_aligned())
    dry, enhanced, mixed = (np.concatenate([getattr(p, name) for p in parts]) for name in ("dry", "enhanced", "mixed"))
    removed = enhanced - dry
    audible = np.abs(removed) > 0.01
    strength = ((mixed - dry)[audible] / removed[audible]).astype(np.float64)
    assert -1e-3 < strength.min() < 0.1
    assert 0.9 < strength.max() < 1.001
    steps = np.diff(strength) / np.diff(np.flatnonzero(audible))
    assert np.abs(steps).max() < 1.2 * RATE / 256 / rate + 1e-3


def test_it_listens_while_bypassed(noisy):
    enhancer, other = Enhancer(strength="auto"), Enhancer(strength="auto")
    other.process_chunk(noisy)
    enhancer.bypass = True
    np.testing.assert_array_equal(enhancer.process_chunk(noisy), noisy[: enhancer.samples_out])
    assert enhancer.auto_strength_report == other.auto_strength_report
    enhancer.bypass = False
    assert len(enhancer.process_chunk(noisy))
    assert enhancer.auto_strength_report.hops == 2 * len(noisy) // 256 - 1  # the first lies before the stream


def test_after_flush_and_reset_it_begins_anew(noisy, whole):
    enhancer = Enhancer(strength="auto")
    new = enhancer.auto_strength_report
    for end in (enhancer.flush, enhancer.reset):
        enhancer.process_chunk(noisy)
        assert enhancer.auto_strength_report != new
        end()
        assert enhancer.auto_strength_report == new
    np.testing.assert_allclose(run(enhancer, noisy, []), whole, atol=1e-6)


def test_each_channel_has_its_own(noisy, whole):
    enhancer = Enhancer(strength="auto", channels=2)
    quiet = np.zeros_like(noisy)
    out = enhancer.process_chunk(np.stack([noisy, quiet], axis=1))
    first, second = enhancer.auto_strength_reports
    assert enhancer.auto_strength_report == first != second
    np.testing.assert_allclose(out[:, 0], whole[: len(out)], atol=1e-6)
    assert not out[:, 1].any()


def test_in_a_pool_as_alone(noisy, whole):
    pool = StreamPool()
    auto, fixed = pool.open(strength="auto"), pool.open(strength=0.5)
    out = pool.process({auto: noisy, fixed: noisy})
    np.testing.assert_allclose(out[auto], whole[: len(out[auto])], atol=1e-6)
    assert pool.info(auto).strength == "auto"
    assert pool.info(auto).auto_strength_reports[0].hops == len(noisy) // 256 - 1
    assert pool.info(fixed).auto_strength_reports == ()
    pool.set_strength(auto, 0.5)
    pool.set_strength(fixed, "auto")
    pool.process({auto: noisy, fixed: noisy})
    assert (len(pool.info(auto).auto_strength_reports), len(pool.info(fixed).auto_strength_reports)) == (0, 1)


def test_its_parameters_count(noisy):
    still = {"min_strength": 0.3, "max_strength": 0.3, "caution": 0, "max_doubt": 2}
    enhancer = Enhancer(strength="auto", auto_strength=still)
    assert enhancer.auto_strength_report.strength == 0.3
    assert enhancer.max_attenuation_db == pytest.approx(3.098, abs=1e-3)
    np.testing.assert_allclose(enhancer.enhance(noisy), Enhancer(strength=0.3).enhance(noisy), atol=1e-6)
    assert Enhancer.from_config(enhancer.config).config.auto_strength == AutoStrengthConfig(**still)


def test_it_is_shown():
    assert "strength auto" in repr(Enhancer(strength="auto"))
