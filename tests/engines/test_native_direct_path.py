"""The direct path in C gives the samples, the counts and the states of the way through `streaming/`, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend import Enhancer, StateError, StreamPool
from gtcrn_frontend.engines.direct_path import Position
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.native.binding import ffi, why_absent

if reason := why_absent():
    pytest.skip(reason, allow_module_level=True)

from gtcrn_frontend.engines.native import NativeEngine
from gtcrn_frontend.engines.native_direct_path import _CHUNK, MIN_TOGETHER

EMPTY = np.empty(0, np.float32)
BEGIN = Position(0, EMPTY, 0)


@pytest.fixture(scope="module")
def engine():
    return load("gtcrn-asr", "native").engine


def noise(length, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


def cut(samples, lengths):
    return np.split(samples, np.cumsum(lengths)[:-1])


class Staged(Enhancer):
    """An enhancer whose samples never take the direct path."""

    __slots__ = ()

    def process_chunk(self, chunk):
        return self.process_aligned(chunk).mixed


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
            state = enhancer.get_state()
            enhancer.set_state(state)
            return state.to_bytes()
        case ("flush",):
            return enhancer.flush()
        case ("reset",):
            enhancer.reset()
    return np.array([enhancer.samples_in, enhancer.samples_out])


@given(strength=st.sampled_from([1.0, 0.7, "auto"]), actions=actions, seed=st.integers(0, 99))
def test_whatever_is_done_with_a_stream(strength, actions, seed):
    direct, staged = (kind(engine="native", strength=strength) for kind in (Enhancer, Staged))
    samples = noise(2000, seed)
    for action in actions:
        got, expected = act(direct, action, samples), act(staged, action, samples)
        if isinstance(expected, bytes):
            assert got == expected
        else:
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)
        assert direct.auto_strength_reports == staged.auto_strength_reports
    np.testing.assert_array_equal(direct.flush(), staged.flush())


def test_it_is_taken_where_nothing_else_is_needed(monkeypatch):
    taken = []
    direct_path = NativeEngine.direct_path
    monkeypatch.setattr(
        NativeEngine, "direct_path", lambda *arguments: taken.append(arguments) or direct_path(*arguments)
    )
    for strength in (1.0, 0.5, "auto"):
        enhancer = Enhancer(engine="native", strength=strength)
        for _ in range(3):
            enhancer.process_chunk(noise(300))
    assert len(taken) == 3
    for settings in ({"sample_rate": 8000}, {"strength": 0.0}, {"bypass": True}, {"channels": 2}):
        other = Enhancer(engine="native", **settings)
        other.process_chunk(np.zeros((300, 2) if "channels" in settings else 300, np.float32))
    assert len(taken) == 3


@pytest.mark.parametrize("strength", [1.0, 0.6, "auto"])
def test_it_goes_on_where_the_ramp_to_another_strength_ends(strength):
    enhancer, staged = (kind(engine="native", strength=0.3) for kind in (Enhancer, Staged))
    for each in (enhancer, staged):
        each.process_chunk(noise(1000))
        each.strength = strength
    for chunk in cut(noise(1200, 1), [100, 100, 300, 700]):
        np.testing.assert_array_equal(enhancer.process_chunk(chunk), staged.process_chunk(chunk))
    assert enhancer._stream._direct is not None


@given(parts=st.lists(st.lists(lengths, min_size=3, max_size=3), min_size=1, max_size=20), threads=st.integers(0, 3))
def test_together_as_alone(engine, parts, threads):
    signals = [noise(sum(part), seed) for seed, part in enumerate(parts)]
    chunks = [cut(signal, part) for signal, part in zip(signals, parts, strict=True)]
    alone = [engine.direct_path(engine.new_state(), BEGIN) for _ in parts]
    paths = [engine.direct_path(engine.new_state(), BEGIN) for _ in parts]
    together = engine.direct_paths(paths, threads)
    for turn in range(3):
        now = [of_signal[turn] for of_signal in chunks]
        enhanced, counts = together.advance(np.concatenate(now), [len(chunk) for chunk in now])
        assert sum(counts) == len(enhanced)
        expected = [path.advance(chunk) for path, chunk in zip(alone, now, strict=True)]
        assert counts == [len(samples) for samples in expected]
        np.testing.assert_array_equal(enhanced, np.concatenate(expected))
    for one, other in zip(alone, paths, strict=True):
        assert (one.samples_in, one.samples_out) == (other.samples_in, other.samples_out)
        np.testing.assert_array_equal(one.position.recent, other.position.recent)


def test_samples_that_lie_anyhow(engine):
    misaligned = np.frombuffer(b"x" + noise(1000).tobytes(), np.float32, offset=1)
    for samples in (noise(4000)[::3], misaligned):
        one, other = (engine.direct_path(engine.new_state(), BEGIN) for _ in range(2))
        np.testing.assert_array_equal(one.advance(samples), other.advance(samples.copy()))


def test_numpy_fills_in_what_c_reads():
    fields = {name: field.offset for name, field in ffi.typeof("gtcrn_chunk").fields}
    assert {name: offset for name, (_, offset) in _CHUNK.fields.items()} == fields
    assert _CHUNK.itemsize == ffi.sizeof("gtcrn_chunk")


class Boaster(np.ndarray):
    """An array that claims to be longer."""

    def __len__(self):
        return 10**9


def test_lengths_that_are_not_true_are_not_believed():
    pool = StreamPool(engine="native")
    ids = [pool.open() for _ in range(MIN_TOGETHER)]
    outputs = pool.process({i: noise(1000).view(Boaster) for i in ids})
    assert [samples.shape for samples in outputs.values()] == [(512,)] * len(ids)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("guard.past", np.ones(256, np.float32)),
        ("track.strengths", np.array([0.123])),
    ],
)
def test_a_guard_somebody_made_up_goes_the_other_way(name, array):
    enhancer = Enhancer(engine="native", strength="auto")
    enhancer.process_chunk(noise(1000))
    state = enhancer.get_state()
    state.arrays[f"0.path.{name}"] = array
    enhancer.set_state(state)
    assert enhancer._stream.direct_path() is None
    enhancer.process_chunk(noise(1000))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("counters", np.array([2**63 - 1, 0]), "expected counters from 0 to"),
        ("counters", np.array([1000, 1]), "expected 0 samples to drop after 1000 of the stream, got 1"),
        ("guard.hops", np.array([2**63 - 1, 0, 0, 0]), "expected at most .* hops"),
        ("guard.hops", np.array([3, 1, 1, 0]), "expected at most 3 hops"),
        ("guard.hops", np.array([2, 1, 1, 1]), "counts that fit each other"),
        ("guard.hops", np.array([2, 3, 1, 0]), "counts that fit each other"),
        ("guard.levels", np.array([1e9, 1, 1, 1, 0, 0, 0, 9]), "energies of at most"),
        ("track.hop", np.array([2]), "strengths of 3 hops"),
        ("framer.rest", np.zeros(231, np.float32), "expected 232 samples held by the framer"),
        ("framer.rest", np.full(232, 8.1, np.float32), "framer.rest: expected finite values from -8 to 8"),
        ("mixer.dry", np.zeros(487, np.float32), "expected 488 samples of the input waiting"),
    ],
)
def test_a_state_that_cannot_be_is_refused(name, array, message):
    enhancer = Enhancer(engine="native", strength="auto")
    enhancer.process_chunk(noise(1000))
    state = enhancer.get_state()
    state.arrays[f"0.path.{name}"] = array
    with pytest.raises(StateError, match=message):
        enhancer.set_state(state)
    assert len(enhancer.flush()) == 1000 - 512
