"""What holds for every engine: blocks, batches, states, isolation, silence; each test runs on all of them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.engines import stft_engine
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import GTCRN_SPEC

HOP = GTCRN_SPEC.hop_length


def noise(hops, seed=0, scale=0.1):
    return np.random.default_rng(seed).normal(0, scale, (hops, HOP)).astype(np.float32)


def alone(engine, hops):
    """The output of a new stream, and its state."""
    state = engine.new_state()
    return engine.process(hops, state), engine.export_state(state)


def assert_same_state(state, expected, atol=0.0):
    assert state.keys() == expected.keys() == GTCRN_SPEC.cache_shapes.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(state[name], array, atol=atol, err_msg=name)


# Blocks


@settings(deadline=None, max_examples=8)
@given(sizes=st.lists(st.integers(0, 9), max_size=5))
def test_any_blocks_give_the_samples_of_one_call(engine, sizes):
    hops = noise(sum(sizes) + 2)
    whole, last = alone(engine, hops)
    state = engine.new_state()
    pieces = [engine.process(block, state) for block in np.split(hops, np.cumsum(sizes))]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    assert_same_state(engine.export_state(state), last, atol=1e-5)


def test_long_calls_are_cut_into_bounded_runs_that_do_not_show(engine, monkeypatch):
    hops = noise(45)
    whole, last = alone(engine, hops)
    sizes, run = [], engine._run

    def recorded(spectra, caches):
        sizes.append(spectra.shape[:2])
        return run(spectra, caches)

    monkeypatch.setattr(stft_engine, "MAX_FRAMES", 20)
    monkeypatch.setattr(engine, "_run", recorded)
    cut, last_of_cut = alone(engine, hops)
    assert sizes == [(1, 20), (1, 20), (1, 5)]
    np.testing.assert_allclose(cut, whole, atol=1e-6)
    assert_same_state(last_of_cut, last, atol=1e-5)

    sizes.clear()
    streams = [(noise(7, seed), engine.new_state()) for seed in range(3)]
    for enhanced, (samples, _) in zip(engine.process_many(streams), streams, strict=True):
        np.testing.assert_allclose(enhanced, alone(engine, samples)[0], atol=1e-6)
    assert sizes[:2] == [(2, 7), (1, 7)]

    sizes.clear()
    engine.process_many([(noise(1, seed), engine.new_state()) for seed in range(45)])
    assert [streams * frames for streams, frames in sizes] == [20, 20, 5]


def test_more_hops_than_one_run_takes(engine):
    hops = noise(stft_engine.MAX_FRAMES + 3)
    enhanced = engine.process(hops, engine.new_state())
    assert enhanced.shape == hops.shape
    start, _ = alone(engine, hops[:10])
    np.testing.assert_allclose(enhanced[:10], start, atol=1e-6)
    state = engine.new_state()
    engine.process(hops[: stft_engine.MAX_FRAMES - 2], state)
    np.testing.assert_allclose(enhanced[-5:], engine.process(hops[-5:], state), atol=1e-6)


# Streams side by side


@settings(deadline=None, max_examples=6)
@given(counts=st.lists(st.integers(0, 4), max_size=7), rounds=st.integers(1, 3))
def test_many_streams_give_what_each_gives_alone(engine, counts, rounds):
    states = [engine.new_state() for _ in counts]
    expected = [engine.new_state() for _ in counts]
    for number in range(rounds):
        hops = [noise(count, seed=10 * number + i) for i, count in enumerate(counts)]
        together = engine.process_many(list(zip(hops, states, strict=True)))
        assert [samples.shape for samples in together] == [(count, HOP) for count in counts]
        for samples, own_hops, state in zip(together, hops, expected, strict=True):
            np.testing.assert_allclose(samples, engine.process(own_hops, state), atol=1e-6)
    for state, own in zip(states, expected, strict=True):
        assert_same_state(engine.export_state(state), engine.export_state(own), atol=1e-5)


def test_more_streams_than_one_run_takes(engine):
    count = stft_engine.MAX_FRAMES + 2
    hops = noise(count)
    streams = [(hops[i : i + 1], engine.new_state()) for i in range(count)]
    enhanced = engine.process_many(streams)
    assert len(enhanced) == count
    for i in (0, 1, stft_engine.MAX_FRAMES - 1, stft_engine.MAX_FRAMES, count - 1):
        single, state = alone(engine, hops[i : i + 1])
        np.testing.assert_allclose(enhanced[i], single, atol=1e-6)
        assert_same_state(engine.export_state(streams[i][1]), state, atol=1e-5)


def test_streams_do_not_leak_into_each_other(engine):
    quiet, loud = noise(6, scale=0.001), noise(6, seed=1, scale=1)
    quiet_state, loud_state = engine.new_state(), engine.new_state()
    expected, state = alone(engine, quiet)
    for i in range(6):
        result, _ = engine.process_many([(quiet[i : i + 1], quiet_state), (loud[i : i + 1], loud_state)])
        np.testing.assert_allclose(result, expected[i : i + 1], atol=1e-8)
    assert_same_state(engine.export_state(quiet_state), state, atol=1e-5)


def test_threads_share_an_engine(engine):
    signals = [noise(30, seed) for seed in range(6)]
    expected = [alone(engine, hops)[0] for hops in signals]

    def in_pieces(hops):
        state = engine.new_state()
        return np.concatenate([engine.process(hops[i : i + 3], state) for i in range(0, 30, 3)])

    with ThreadPoolExecutor(3) as pool:
        for enhanced, whole in zip(pool.map(in_pieces, signals), expected, strict=True):
            np.testing.assert_allclose(enhanced, whole, atol=1e-6)


def test_no_hops_and_no_streams_change_nothing(engine):
    state = engine.new_state()
    engine.process(noise(3), state)
    before = engine.export_state(state)
    empty = np.empty((0, HOP), np.float32)
    assert engine.process(empty, state).shape == (0, HOP)
    assert [samples.shape for samples in engine.process_many([(empty, state)])] == [(0, HOP)]
    assert engine.process_many([]) == []
    assert_same_state(engine.export_state(state), before)


def test_what_came_in_is_not_changed_and_not_kept(engine):
    hops = noise(4)
    kept = hops.copy()
    state = engine.new_state()
    engine.process(hops, state)
    np.testing.assert_array_equal(hops, kept)
    before = engine.export_state(state)
    hops[:] = 9
    assert_same_state(engine.export_state(state), before)


def test_a_failing_run_leaves_every_stream_as_it_was(engine, monkeypatch):
    states = [engine.new_state(), engine.new_state()]
    for seed, state in enumerate(states):
        engine.process(noise(3, seed), state)
    before = [engine.export_state(state) for state in states]

    def failing(spectra, caches):
        raise RuntimeError("device lost")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "_run", failing)
        with pytest.raises(RuntimeError, match="device lost"):
            engine.process_many([(noise(2), state) for state in states])
        with pytest.raises(RuntimeError, match="device lost"):
            engine.process(noise(2), states[0])
    for state, arrays in zip(states, before, strict=True):
        assert_same_state(engine.export_state(state), arrays)


# States


def leaves(state):
    """All arrays and tensors of a state."""
    stack = [state.analysis, state.synthesis, *state.caches]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple):
            stack.extend(item)
        else:
            yield item


def bytes_held(array):
    """Bytes of all the memory that an array or tensor keeps alive."""
    if isinstance(array, onnxruntime.OrtValue):  # owns its memory
        return array.numpy().nbytes
    if not isinstance(array, np.ndarray):
        return array.untyped_storage().nbytes()
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.nbytes


def test_a_stream_does_not_keep_the_memory_of_a_batch_alive(engine):
    states = [engine.new_state() for _ in range(5)]
    own = sum(4 * int(np.prod(shape)) for shape in GTCRN_SPEC.cache_shapes.values())
    engine.process_many([(noise(8, seed), state) for seed, state in enumerate(states)])
    engine.process(noise(20), states[0])
    engine.process_many([(noise(1), state) for state in states[1:]])
    for state in (*states, engine.new_state(), engine.import_state(engine.export_state(states[0]))):
        assert sum(bytes_held(array) for array in leaves(state)) == own
    assert own < 100_000


def test_a_new_state_is_silence(engine):
    assert_same_state(
        engine.export_state(engine.new_state()),
        {name: np.zeros(shape, np.float32) for name, shape in GTCRN_SPEC.cache_shapes.items()},
    )


def test_export_and_import_are_inverse_and_copy(engine):
    rng = np.random.default_rng(1)
    arrays = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in GTCRN_SPEC.cache_shapes.items()}
    kept = {name: array.copy() for name, array in arrays.items()}
    state = engine.import_state(arrays)
    for array in arrays.values():
        array[:] = 0
    exported = engine.export_state(state)
    assert_same_state(exported, kept)
    for array in exported.values():
        assert (array.dtype, array.flags.c_contiguous, array.flags.writeable) == (np.float32, True, True)
        array[:] = 0
    assert_same_state(engine.export_state(state), kept)


def test_a_state_goes_on_where_it_was_exported(engine):
    hops = noise(20)
    whole, _ = alone(engine, hops)
    state = engine.new_state()
    start = engine.process(hops[:7], state)
    exported = engine.export_state(state)
    exported = {name: np.asfortranarray(array) for name, array in reversed(exported.items())}
    engine.process(noise(5, seed=9), state)  # the original goes elsewhere meanwhile
    for _ in range(2):
        rest = engine.process(hops[7:], engine.import_state(exported))
        np.testing.assert_allclose(np.concatenate([start, rest]), whole, atol=1e-6)


def test_a_state_of_another_shape_is_refused(engine):
    arrays = engine.export_state(engine.new_state())
    with pytest.raises(StateError, match="tra"):
        engine.import_state(arrays | {"tra": arrays["tra"][:1]})
    with pytest.raises(StateError, match="another model"):
        engine.import_state({})


# Signals at the edge


def test_silence_stays_silence(engine):
    silence = np.zeros((30, HOP), np.float32)
    state = engine.new_state()
    assert not engine.process(silence, state).any()
    engine.process(noise(30, scale=0.5), state)
    after = engine.process(np.zeros((300, HOP), np.float32), state)
    assert not after[2:].any(), "the frame that is half silent ends with the second hop"
    assert all(np.isfinite(array).all() for array in engine.export_state(state).values())


def square_wave(samples):
    return np.where(samples // 40 % 2, 1.0, -1.0)


EDGES = {
    "square wave": square_wave,
    "constant": lambda samples: np.ones(len(samples)),
    "largest allowed": lambda samples: 8 * square_wave(samples),
    "impulse": lambda samples: (samples == 777).astype(float),
    "denormal": lambda samples: np.where(samples % 2, 1e-42, -3e-42),
    "fading to nothing": lambda samples: np.sin(samples) * 0.5 ** (samples / 80),
    "almost silent": lambda samples: np.where(samples % 3, 1 / 32768, 0),
}


@pytest.mark.parametrize("name", EDGES)
def test_signals_at_the_edge_stay_finite(engine, name):
    hops = EDGES[name](np.arange(80 * HOP)).astype(np.float32).reshape(-1, HOP)
    state = engine.new_state()
    enhanced = engine.process(hops, state)
    assert np.isfinite(enhanced).all()
    assert np.abs(enhanced).max() <= 4 * np.abs(hops).max() + 1e-6
    assert all(np.isfinite(array).all() for array in engine.export_state(state).values())


def test_each_engine_describes_itself(engine):
    assert engine.name in ("onnx", "torch")
    assert engine.name in engine.description.lower()
    assert engine.spec is GTCRN_SPEC
