import copy
import doctest
import math
import pickle
from collections.abc import Iterator
from itertools import pairwise, permutations

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.audio import polyphase, resampler
from gtcrn_frontend.audio.resampler import Resampler
from gtcrn_frontend.errors import ConfigError, StateError
from gtcrn_frontend.native.binding import lib

MODEL_RATE = 16_000
USUAL_RATES = [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000]
ODD_RATES = [12_345, 44_101]  # so many phases that kernels are interpolated
RATES = USUAL_RATES + ODD_RATES
PAIRS = [pair for rate in RATES for pair in ((rate, MODEL_RATE), (MODEL_RATE, rate))]

TRANSITION_HZ = 600  # between pass band and lower Nyquist frequency
SETTLING_S = 0.01  # more than the filter's reach: onset and end of a test signal

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def convert(samples: Floats, rate_in: int, rate_out: int) -> npt.NDArray[np.float32]:
    stage = Resampler(rate_in, rate_out)
    return np.concatenate([stage.push(samples.astype(np.float32)), stage.flush()])


def noise(length: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)


def sine(frequency_hz: float, rate: int, length: int) -> npt.NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(length) / rate + 0.3)


def settled(samples: Floats, rate: int) -> Floats:
    margin = int(SETTLING_S * rate)
    return samples[margin:-margin]


def level_db(samples: Floats) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-30))


def nyquist_hz(rate_in: int, rate_out: int) -> float:
    return min(rate_in, rate_out) / 2


pairs = pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)


class TestChunking:
    @settings(deadline=None)
    @given(
        pair=st.sampled_from(PAIRS),
        length=st.integers(0, 5_000),
        cuts=st.lists(st.integers(0, 5_000), max_size=12),
        seed=st.integers(0, 9),
    )
    def test_any_chunking_gives_the_same_bits(
        self, pair: tuple[int, int], length: int, cuts: list[int], seed: int
    ) -> None:
        samples = noise(length, seed)
        stage = Resampler(*pair)
        bounds = [0, *sorted(min(cut, length) for cut in cuts), length]
        pieces = [stage.push(samples[start:stop]) for start, stop in pairwise(bounds)]
        np.testing.assert_array_equal(np.concatenate([*pieces, stage.flush()]), convert(samples, *pair))

    @pairs
    def test_single_samples_give_the_same_bits(self, rate_in: int, rate_out: int) -> None:
        samples = noise(2_500)
        stage = Resampler(rate_in, rate_out)
        pieces = [stage.push(samples[i : i + 1]) for i in range(len(samples))]
        np.testing.assert_array_equal(np.concatenate([*pieces, stage.flush()]), convert(samples, rate_in, rate_out))

    @settings(deadline=None)
    @given(pair=st.sampled_from(PAIRS), length=st.integers(0, 5_000))
    def test_total_is_the_length_in_time_rounded_up(self, pair: tuple[int, int], length: int) -> None:
        rate_in, rate_out = pair
        assert len(convert(noise(length), rate_in, rate_out)) == -(-length * rate_out // rate_in)

    @settings(deadline=None)
    @given(pair=st.sampled_from(PAIRS), length=st.integers(0, 5_000))
    def test_nothing_is_held_back_longer_than_the_delay(self, pair: tuple[int, int], length: int) -> None:
        stage = Resampler(*pair)
        due = max(0, -(-(length - stage.delay_samples_in) * stage.rate_out // stage.rate_in))
        assert len(stage.push(noise(length))) == due

    @pairs
    def test_a_chunk_that_gives_nothing_is_float32_too(self, rate_in: int, rate_out: int) -> None:
        stage = Resampler(rate_in, rate_out)
        for output in (stage.push(noise(0)), stage.push(noise(1)), stage.push(noise(9_000)), stage.flush()):
            assert output.dtype == np.float32
            assert output.ndim == 1

    def test_a_long_chunk_and_a_long_stream(self) -> None:
        samples = noise(48_000 * 20)
        stage = Resampler(48_000, 16_000)
        pieces = [stage.push(chunk) for chunk in np.split(samples, 2_000)]
        np.testing.assert_array_equal(np.concatenate([*pieces, stage.flush()]), convert(samples, 48_000, 16_000))


class TestFidelity:
    @pairs
    @pytest.mark.parametrize("part", [0.003, 0.4, 1.0])
    def test_pass_band_sine_is_kept_in_level_and_time(self, rate_in: int, rate_out: int, part: float) -> None:
        """Compared with the formula at the times j / rate_out: gain, delay, images and noise all count."""
        frequency_hz = part * (nyquist_hz(rate_in, rate_out) - TRANSITION_HZ)
        got = convert(sine(frequency_hz, rate_in, rate_in // 2), rate_in, rate_out)
        expected = sine(frequency_hz, rate_out, len(got))
        assert level_db(settled(got - expected, rate_out)) < level_db(expected) - 80
        assert level_db(settled(got, rate_out)) == pytest.approx(level_db(settled(expected, rate_out)), abs=0.002)

    @pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if pair[0] > pair[1]])
    def test_sines_above_the_new_nyquist_frequency_are_80_db_down(self, rate_in: int, rate_out: int) -> None:
        edge_hz, top_hz = rate_out / 2, rate_in / 2
        for frequency_hz in [edge_hz, *np.linspace(edge_hz, 0.999 * top_hz, 12)]:
            got = convert(sine(frequency_hz, rate_in, rate_in // 8), rate_in, rate_out)
            assert level_db(settled(got, rate_out)) < level_db(sine(frequency_hz, rate_in, rate_in)) - 80

    @pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if pair[0] < pair[1]])
    def test_images_of_a_sine_in_the_transition_band_are_80_db_down(self, rate_in: int, rate_out: int) -> None:
        """Closest to the edge, where the image of the sine lies just above the old Nyquist frequency."""
        frequency_hz = rate_in / 2 - 100
        got = settled(convert(sine(frequency_hz, rate_in, rate_in // 2), rate_in, rate_out), rate_out)
        angles = 2 * np.pi * frequency_hz / rate_out * np.arange(len(got))
        tone = np.stack([np.sin(angles), np.cos(angles)], axis=1)
        images = got - tone @ np.linalg.lstsq(tone, got, rcond=None)[0]
        assert level_db(images) < level_db(sine(frequency_hz, rate_in, rate_in)) - 80

    @pairs
    @pytest.mark.parametrize("quality", ["HQ", "VHQ"])
    def test_agrees_with_soxr_in_band_within_60_db(self, rate_in: int, rate_out: int, quality: str) -> None:
        samples = noise(rate_in)
        got = convert(samples, rate_in, rate_out)
        reference = soxr.resample(samples.astype(np.float64), rate_in, rate_out, quality=quality)
        assert len(reference) == pytest.approx(len(got), abs=1)

        common = min(len(got), len(reference))
        window = np.hanning(common)
        edge_hz = nyquist_hz(rate_in, rate_out)
        in_band = np.fft.rfftfreq(common, 1 / rate_out) < min(0.9 * edge_hz, edge_hz - TRANSITION_HZ)
        difference = np.fft.rfft(window * (got[:common] - reference[:common]))[in_band]
        assert level_db(np.abs(difference)) < level_db(np.abs(np.fft.rfft(window * reference[:common])[in_band])) - 60

    @pairs
    def test_silence_stays_silence_and_a_constant_stays_constant(self, rate_in: int, rate_out: int) -> None:
        assert not convert(np.zeros(4_000), rate_in, rate_out).any()
        constant = settled(convert(np.full(rate_in // 10, 0.25), rate_in, rate_out), rate_out)
        np.testing.assert_allclose(constant, 0.25, atol=3e-5)


class TestAlignment:
    @pytest.mark.parametrize("rate", RATES)
    def test_round_trip_returns_every_sample_to_its_place(self, rate: int) -> None:
        length = rate // 2 + 7
        frequencies_hz = np.linspace(50, nyquist_hz(rate, MODEL_RATE) - TRANSITION_HZ, 17)
        samples = np.sum([sine(f, rate, length) for f in frequencies_hz], axis=0) / len(frequencies_hz)
        back = convert(convert(samples, rate, MODEL_RATE), MODEL_RATE, rate)
        assert length <= len(back) <= length + -(-rate // MODEL_RATE)
        assert level_db(settled(back[:length] - samples, rate)) < level_db(samples) - 80

    @pytest.mark.parametrize("rate", RATES)
    def test_round_trip_leaves_an_impulse_where_it_was(self, rate: int) -> None:
        samples = np.zeros(rate // 10, dtype=np.float32)
        samples[321] = 1.0
        back = convert(convert(samples, rate, MODEL_RATE), MODEL_RATE, rate)
        assert np.argmax(back) == 321
        np.testing.assert_allclose(back[321 - 40 : 321], back[321 + 40 : 321 : -1], atol=1e-4)

    @pairs
    def test_latency_is_when_an_impulse_comes_out(self, rate_in: int, rate_out: int) -> None:
        """An impulse that lies on both time grids, fed sample by sample: its peak comes `delay_samples_in` later."""
        stage = Resampler(rate_in, rate_out)
        stage.push(np.zeros(rate_in // math.gcd(rate_in, rate_out), dtype=np.float32))
        impulse_then_silence = np.eye(1, stage.delay_samples_in + 50, dtype=np.float32).T
        loudest = [stage.push(sample).max(initial=0.0) for sample in impulse_then_silence]
        waited = int(np.argmax(loudest))
        assert waited == stage.delay_samples_in

    @pytest.mark.parametrize("rate", [44_100, 48_000])
    def test_at_most_5_ms_per_direction(self, rate: int) -> None:
        assert 1_000 * Resampler(rate, MODEL_RATE).delay_samples_in / rate <= 5
        assert 1_000 * Resampler(MODEL_RATE, rate).delay_samples_in / MODEL_RATE <= 5


@pytest.fixture(scope="module")
def in_c() -> dict[tuple[int, int], npt.NDArray[np.float32]]:
    """What comes out at all rates, by C where it was built."""
    polyphase.filter_bank.cache_clear()
    return {pair: convert(noise(6_000), *pair) for pair in PAIRS}


class TestInC:
    """Where there is no C extension, numpy does the same."""

    @pytest.fixture
    def without_c(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        polyphase.filter_bank.cache_clear()
        monkeypatch.setattr(polyphase.NativeFilter, "is_available", staticmethod(lambda: False))
        yield
        polyphase.filter_bank.cache_clear()

    @pairs
    def test_numpy_gives_the_same(
        self, in_c: dict[tuple[int, int], npt.NDArray[np.float32]], without_c: None, rate_in: int, rate_out: int
    ) -> None:
        assert not isinstance(Resampler(rate_in, rate_out)._bank, polyphase._NativeBank)
        np.testing.assert_allclose(convert(noise(6_000), rate_in, rate_out), in_c[rate_in, rate_out], atol=2e-6)

    @pytest.mark.parametrize(("rate_in", "rate_out"), [(48_000, 16_000), (16_000, 11_025)])
    def test_numpy_gives_the_same_bits_for_any_chunking(self, without_c: None, rate_in: int, rate_out: int) -> None:
        samples = noise(5_000)
        stage = Resampler(rate_in, rate_out)
        pieces = [stage.push(chunk) for chunk in np.split(samples, [1, 2, 500, 500, 1_700, 4_999])]
        np.testing.assert_array_equal(np.concatenate([*pieces, stage.flush()]), convert(samples, rate_in, rate_out))

    @pytest.mark.skipif(lib is None, reason="the C extension was not built")
    @pairs
    def test_it_is_used_at_all_rates(self, rate_in: int, rate_out: int) -> None:
        assert isinstance(Resampler(rate_in, rate_out)._bank, polyphase._NativeBank)

    def test_a_state_moves_between_the_two(self, request: pytest.FixtureRequest) -> None:
        samples = noise(4_000)
        stage = Resampler(44_100, 16_000)
        stage.push(samples[:3_000])
        request.getfixturevalue("without_c")
        twin = Resampler(44_100, 16_000)
        twin.load_state(stage.state)
        state = twin.state
        assert not isinstance(twin._bank, polyphase._NativeBank)
        np.testing.assert_allclose(twin.push(samples[3_000:]), stage.push(samples[3_000:]), atol=2e-6)
        stage.load_state(state)
        twin.load_state(state)
        np.testing.assert_allclose(stage.push(samples[3_000:]), twin.push(samples[3_000:]), atol=2e-6)

    @pytest.mark.parametrize("rate", [48_000, 44_101])
    def test_a_long_chunk_is_not_kept(self, rate: int) -> None:
        stage = Resampler(rate, 16_000)
        stage.push(noise(100_000))
        assert stage._past.base is None
        assert stage._past.nbytes < 10_000

    def test_samples_that_lie_anyhow(self) -> None:
        misaligned = np.frombuffer(b"x" + noise(1_000).tobytes(), np.float32, offset=1)
        for samples in (noise(3_000)[::3], misaligned):
            one, other = Resampler(48_000, 16_000), Resampler(48_000, 16_000)
            np.testing.assert_array_equal(one.push(samples), other.push(samples.copy()))


class TestState:
    @settings(deadline=None)
    @given(pair=st.sampled_from(PAIRS), before=st.integers(0, 5_000), after=st.integers(0, 3_000))
    def test_goes_on_bit_by_bit_in_another_object(self, pair: tuple[int, int], before: int, after: int) -> None:
        stage, other = Resampler(*pair), Resampler(*pair)
        stage.push(noise(before, 1))
        other.push(noise(77, 2))
        other.load_state(stage.state)
        np.testing.assert_array_equal(other.push(noise(after, 3)), stage.push(noise(after, 3)))
        np.testing.assert_array_equal(other.flush(), stage.flush())

    @pairs
    def test_is_small_and_a_copy(self, rate_in: int, rate_out: int) -> None:
        stage = Resampler(rate_in, rate_out)
        for _ in range(50):
            stage.push(noise(rate_in // 100))
            state = stage.state
            assert sum(array.nbytes for array in state.values()) < 0.015 * rate_in * 4
        expected = copy.deepcopy(stage).flush()
        state["pending"][:] = 7
        stage.load_state(stage.state)
        other = Resampler(rate_in, rate_out)
        other.load_state(state)
        state["pending"][:] = np.nan
        assert np.isfinite(other.flush()).all()
        np.testing.assert_array_equal(stage.flush(), expected)

    @pytest.mark.parametrize("pair", [(48_000, 16_000), (12_345, 16_000)])
    def test_flush_and_reset_leave_it_as_new(self, pair: tuple[int, int]) -> None:
        stage = Resampler(*pair)
        stage.push(noise(1_234))
        stage.flush()
        np.testing.assert_array_equal(stage.push(noise(999)), Resampler(*pair).push(noise(999)))
        stage.reset()
        assert stage.state["samples_in"] == 0
        np.testing.assert_array_equal(stage.state["pending"], Resampler(*pair).state["pending"])

    @pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda stage: pickle.loads(pickle.dumps(stage))])
    def test_copies_go_on_independently(self, clone: object) -> None:
        stage = Resampler(44_100, 16_000)
        stage.push(noise(1_000))
        other = clone(stage)  # type: ignore[operator]
        other.push(noise(500, 1))
        expected = Resampler(44_100, 16_000)
        expected.push(noise(1_000))
        np.testing.assert_array_equal(stage.push(noise(500, 2)), expected.push(noise(500, 2)))
        assert len(pickle.dumps(stage)) < 5_000  # the kernels stay behind

    @pytest.mark.parametrize(
        "change",
        [
            {"pending": np.zeros(3, dtype=np.float32)},
            {"pending": np.zeros((2, 2), dtype=np.float32)},
            {"pending": "float64"},
            {"pending": "nan"},
            {"samples_in": np.array(-1)},
            {"samples_in": np.array(1_000.0)},
            {"samples_in": np.array([1_000])},
            {"samples_in": np.array(5)},
            {"extra": np.zeros(1)},
        ],
    )
    def test_refuses_what_it_cannot_have_saved(self, change: dict[str, npt.NDArray[np.float32] | str]) -> None:
        stage, untouched = Resampler(48_000, 16_000), Resampler(48_000, 16_000)
        for one in (stage, untouched):
            one.push(noise(1_000))
        state = stage.state
        made = {"float64": state["pending"].astype(np.float64), "nan": np.full_like(state["pending"], np.nan)}
        bad = state | {key: made[value] if isinstance(value, str) else value for key, value in change.items()}
        with pytest.raises(StateError, match="resampler state"):
            stage.load_state(bad)
        np.testing.assert_array_equal(stage.flush(), untouched.flush())

    def test_refuses_a_part_or_a_state_of_other_rates(self) -> None:
        stage = Resampler(48_000, 16_000)
        stage.push(noise(1_000))
        with pytest.raises(StateError, match="expected samples_in and pending"):
            stage.load_state({"pending": stage.state["pending"]})
        with pytest.raises(StateError, match="other rates"):
            Resampler(44_100, 16_000).load_state(stage.state)


class TestRates:
    @pytest.mark.parametrize("rate", [7_999, 192_001, 0, -16_000, 44_100.0, "48000", None, True])
    def test_refuses_rates_that_it_cannot_convert(self, rate: object) -> None:
        for pair in ((rate, MODEL_RATE), (MODEL_RATE, rate)):
            with pytest.raises(ConfigError, match="from 8000 to 192000 Hz"):
                Resampler(*pair)

    def test_refuses_equal_rates(self) -> None:
        with pytest.raises(ConfigError, match="remove the resampler"):
            Resampler(16_000, 16_000)

    def test_takes_numpy_integers(self) -> None:
        stage = Resampler(np.int32(192_000), np.int32(8_000))  # type: ignore[arg-type]
        assert (type(stage.rate_in), stage.rate_out) == (int, 8_000)

    @settings(deadline=None)
    @given(rate_in=st.integers(8_000, 192_000), rate_out=st.integers(8_000, 192_000))
    def test_takes_every_other_pair(self, rate_in: int, rate_out: int) -> None:
        if rate_in == rate_out:
            rate_out = 8_000 if rate_in > 8_000 else 16_000
        frequency_hz = 0.5 * nyquist_hz(rate_in, rate_out)
        got = convert(sine(frequency_hz, rate_in, rate_in // 20), rate_in, rate_out)
        expected = sine(frequency_hz, rate_out, len(got))
        assert level_db(settled(got - expected, rate_out)) < level_db(expected) - 80


def test_the_example_in_the_documentation() -> None:
    assert doctest.testmod(resampler).attempted > 0
    assert doctest.testmod(resampler).failed == 0


@pytest.mark.parametrize("rates", list(permutations([8000, 11025, 16000, 44100, 48000, 96000, 192000], 2)))
def test_no_output_is_larger_than_the_gain_says(rates):
    """The limits of saved states rely on it."""
    half = -(-polyphase.HALF_SPAN_US * rates[0] // 1_000_000)
    for fraction in np.linspace(0, 1, 17):
        weights = polyphase._impulse_response(np.arange(-half - 1, half + 2) - fraction, *rates)
        assert np.abs(weights).sum() < polyphase.MAX_GAIN
