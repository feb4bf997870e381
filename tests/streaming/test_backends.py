"""The backend in C and the one in Python give the same samples, counts, reports and states, whatever is done."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import Enhancer, StreamPool, StreamState
from gtcrn_frontend.audio import polyphase
from gtcrn_frontend.native import auto_strength as in_c
from gtcrn_frontend.native.binding import why_absent
from gtcrn_frontend.streaming import stream as stream_module
from gtcrn_frontend.streaming.native_backend import MIN_TOGETHER, NativeBackend
from gtcrn_frontend.streaming.python_backend import PythonBackend

if reason := why_absent():
    pytest.skip(reason, allow_module_level=True)

RATES = [8000, 16000, 22050, 44100, 48000]
PAIRS = [*itertools.product(RATES, RATES), (44101, 44101), (44101, 16000), (16000, 12345), (192000, 8000)]


def noise(length, channels=1, seed=0):
    shape = length if channels == 1 else (length, channels)
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def with_backend(backend, **config):
    """An enhancer of the native engine whose stream runs in C, or in Python around the network in C."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "NativeBackend", backend)
        enhancer = Enhancer(engine="native", **config)
    assert type(enhancer._stream.backend) is backend
    return enhancer


def both(**config):
    return with_backend(NativeBackend, **config), with_backend(PythonBackend, **config)


@pytest.fixture
def without_c(monkeypatch):
    """The stages in numpy, as where there is no C extension."""
    polyphase.filter_bank.cache_clear()
    monkeypatch.setattr(polyphase.NativeFilter, "is_available", staticmethod(lambda: False))
    monkeypatch.setattr(in_c, "lib", None)
    yield
    polyphase.filter_bank.cache_clear()


def assert_same(got, expected, atol=1e-5):
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


def assert_same_aligned(got, expected):
    assert got.start_sample == expected.start_sample
    for one, other in zip(got[1:], expected[1:], strict=True):
        assert_same(one, other)


def assert_same_states(one, other):
    one, other = one.get_state(), other.get_state()
    assert one.facts == other.facts
    assert set(one.arrays) == set(other.arrays)
    for name, array in one.arrays.items():
        expected = other.arrays[name]
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype), name
        if array.dtype.kind != "f":
            np.testing.assert_array_equal(array, expected, err_msg=name)
            continue
        # What the network remembers differs by more than what it delivers.
        atol = 1e-4 * max(1.0, float(np.abs(expected).max(initial=0))) if ".engine." in name else 1e-5
        np.testing.assert_allclose(array, expected, rtol=0, atol=atol, err_msg=name)


def assert_same_reports(one, other):
    assert len(one.auto_strength_reports) == len(other.auto_strength_reports)
    for report, expected in zip(one.auto_strength_reports, other.auto_strength_reports, strict=True):
        assert vars(report) == pytest.approx(vars(expected), abs=1e-3)


CHANGES = [("strength", s) for s in (1.0, 0.5, 0.0, "auto", "auto", 0.8)] + [
    ("bypass", b) for b in (True, False, False)
]


@pytest.mark.parametrize("channels", [{"channels": 1}, {"channels": 2}, {"channels": 3, "downmix": True}], ids=str)
@pytest.mark.parametrize(("rate", "output_rate"), PAIRS)
def test_they_agree_at_all_rates_while_strengths_change(without_c, rate, output_rate, channels):
    """In chunks of any length, ramps and bypass; the stages are those without C."""
    rng = np.random.default_rng([rate, output_rate, channels["channels"]])
    ours, reference = both(sample_rate=rate, output_sample_rate=output_rate, strength="auto", **channels)
    samples, place = noise(rate // 3, channels["channels"]), 0
    while place < len(samples):
        if rng.integers(2):
            name, value = CHANGES[rng.integers(len(CHANGES))]
            setattr(ours, name, value)
            setattr(reference, name, value)
        chunk = samples[place : place + rng.integers(rate // 15)]
        assert_same_aligned(ours.process_aligned(chunk), reference.process_aligned(chunk))
        assert (ours.samples_in, ours.samples_out) == (reference.samples_in, reference.samples_out)
        assert_same_reports(ours, reference)
        place += len(chunk)
        if rng.integers(3) == 0:
            assert_same_states(ours, reference)
    assert_same_aligned(ours.flush_aligned(), reference.flush_aligned())
    assert (ours.samples_in, ours.samples_out) == (0, 0)


@pytest.mark.parametrize("first", ["auto", 0.3])
@pytest.mark.parametrize("second", ["auto", 1.0])
@pytest.mark.parametrize(("rate", "output_rate"), [(16000, 16000), (48000, 48000), (8000, 44100), (44100, 16000)])
def test_a_stream_moves_between_them_in_the_middle_of_a_ramp(rate, output_rate, first, second):
    config = {"sample_rate": rate, "output_sample_rate": output_rate, "channels": 2}
    streams = both(strength=first, **config)
    samples, hop = noise(rate // 2, 2), rate * 256 // 16000
    for number, start in enumerate(range(0, len(samples), 5 * hop // 3)):  # ramps last one hop
        for stream in streams:
            stream.strength = second if number % 3 == 1 else first
        chunk = samples[start : start + 5 * hop // 3]
        assert_same(streams[0].process_chunk(chunk), streams[1].process_chunk(chunk))
        moved = [StreamState.from_bytes(stream.get_state().to_bytes()) for stream in streams]
        for stream, state in zip(streams, reversed(moved), strict=True):
            stream.set_state(state)
        assert_same_states(*streams)
    assert_same(streams[0].flush(), streams[1].flush())


lengths = st.one_of(st.integers(0, 700), st.sampled_from([255, 256, 257, 512, 160, 1600]))
actions = st.lists(
    st.one_of(
        st.tuples(st.just("chunk"), lengths, st.sampled_from(["float32", "float64", "int16"])),
        st.tuples(st.just("aligned"), lengths),
        st.tuples(st.just("strength"), st.sampled_from([1.0, 0.5, 0.0, "auto", "auto"])),
        st.tuples(st.just("bypass"), st.booleans()),
        st.tuples(st.sampled_from(["state", "flush", "reset", "counts"])),
    ),
    min_size=3,
    max_size=20,
)


def act(enhancer, action, samples):
    """Returns what one action gives."""
    match action:
        case "chunk", length, dtype:
            chunk = samples[:length]
            return enhancer.process_chunk((chunk * 32767).astype(dtype) if dtype == "int16" else chunk.astype(dtype))
        case "aligned", length:
            return np.stack(enhancer.process_aligned(samples[:length])[1:])
        case "strength", strength:
            enhancer.strength = strength
        case "bypass", bypass:
            enhancer.bypass = bypass
        case ("state",):
            enhancer.set_state(enhancer.get_state())
        case ("flush",):
            return enhancer.flush()
        case ("reset",):
            enhancer.reset()
    return np.array([enhancer.samples_in, enhancer.samples_out])


@given(
    strength=st.sampled_from([1.0, 0.7, "auto"]),
    rates=st.sampled_from([(16000, 16000), (16000, 16000), (8000, 16000), (16000, 44100), (48000, 48000)]),
    actions=actions,
    seed=st.integers(0, 99),
)
def test_whatever_is_done_with_a_stream(strength, rates, actions, seed):
    ours, reference = both(strength=strength, sample_rate=rates[0], output_sample_rate=rates[1])
    samples = noise(2000, seed=seed)
    for action in actions:
        got, expected = act(ours, action, samples), act(reference, action, samples)
        assert_same(got, expected, atol=1 if got.dtype == np.int16 else 1e-5)
        assert_same_states(ours, reference)
        assert_same_reports(ours, reference)
    assert_same(ours.flush(), reference.flush(), atol=1)


settings_of_streams = st.fixed_dictionaries(
    {
        "sample_rate": st.sampled_from([8000, 16000, 16000, 48000]),
        "channels": st.sampled_from([1, 1, 2, 3]),
        "downmix": st.booleans(),
        "strength": st.sampled_from([1.0, 0.5, "auto"]),
    }
)


@settings(max_examples=30)
@given(
    configs=st.lists(settings_of_streams, min_size=1, max_size=2 * MIN_TOGETHER),
    lengths=st.lists(st.integers(0, 3000), min_size=2 * MIN_TOGETHER, max_size=2 * MIN_TOGETHER),
    threads=st.integers(1, 3),
)
def test_together_as_alone(configs, lengths, threads):
    pool = StreamPool(engine="native", num_threads=threads)
    ids = [pool.open(**config) for config in configs]
    alone = [Enhancer(engine="native", **config) for config in configs]
    for turn in range(3):
        lengths = lengths[1:] + lengths[:1]
        chunks = {i: noise(lengths[i], configs[i]["channels"], seed=turn) for i in ids}
        outputs = pool.process(chunks)
        for i in ids:
            np.testing.assert_array_equal(outputs[i], alone[i].process_chunk(chunks[i]))
    for i in ids:
        np.testing.assert_array_equal(pool.flush(i), alone[i].flush())


@pytest.mark.parametrize("threads", [2, 3])
def test_channels_on_several_threads_are_the_same(threads):
    samples = noise(20_000, channels=3)
    one, other = (Enhancer(engine="native", channels=3, num_threads=number) for number in (1, threads))
    for chunk in np.split(samples, [100, 9_000]):
        np.testing.assert_array_equal(one.process_chunk(chunk), other.process_chunk(chunk))
    np.testing.assert_array_equal(one.flush(), other.flush())


def test_samples_that_lie_anyhow():
    misaligned = np.frombuffer(b"x" + noise(1000).tobytes(), np.float32, offset=1)
    for samples in (noise(4000)[::3], misaligned):
        one, other = (Enhancer(engine="native") for _ in range(2))
        np.testing.assert_array_equal(one.process_chunk(samples), other.process_chunk(samples.copy()))
    channels = np.asfortranarray(noise(3000, channels=2))
    one, other = (Enhancer(engine="native", channels=2) for _ in range(2))
    np.testing.assert_array_equal(one.process_chunk(channels), other.process_chunk(channels.copy("C")))


@pytest.mark.parametrize("engine", ["native", "onnx"])
def test_the_backend_is_chosen_once(engine):
    enhancer = Enhancer(engine=engine, strength=0.5)
    backend = enhancer._stream.backend
    assert type(backend) is (NativeBackend if engine == "native" else PythonBackend)
    for strength in ("auto", 0.0, 1.0):
        enhancer.strength = strength
        enhancer.process_chunk(noise(1000))
    enhancer.bypass = True
    enhancer.set_state(enhancer.get_state())
    enhancer.flush()
    enhancer.reset()
    assert enhancer._stream.backend is backend


class Boaster(np.ndarray):
    """An array that claims to be longer."""

    def __len__(self):
        return 10**9


def test_lengths_that_are_not_true_are_not_believed():
    pool = StreamPool(engine="native")
    ids = [pool.open() for _ in range(MIN_TOGETHER)]
    outputs = pool.process({i: noise(1000).view(Boaster) for i in ids})
    assert [samples.shape for samples in outputs.values()] == [(512,)] * len(ids)
