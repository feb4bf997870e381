"""Saved states with a valid checksum and other values: refused, or the stream goes on as one does.

Bounded here; `GTCRN_FRONTEND_FUZZ_ROUNDS=1000 pytest tests/test_state_mutations.py` goes on longer, with other seeds.
"""

import os

import numpy as np
import pytest

from gtcrn_frontend import Enhancer, StateError, StreamPool, StreamState
from gtcrn_frontend.native.binding import why_absent

ROUNDS = int(os.environ.get("GTCRN_FRONTEND_FUZZ_ROUNDS", "4"))
"""Mutations of each array of each state."""

LOUDEST = 1024.0
"""Nothing that is accepted may make the output louder: twice `spec.MAX_ENHANCED`."""

SETTINGS = {
    "default": {},
    "half": {"strength": 0.5},
    "auto": {"strength": "auto"},
    "bypassed": {"strength": "auto", "bypass": True},
    "8 kHz": {"sample_rate": 8000, "strength": "auto"},
    "48 kHz stereo": {"sample_rate": 48000, "channels": 2, "strength": "auto"},
    "48 to 16 kHz": {"sample_rate": 48000, "output_sample_rate": 16000, "strength": 0.7},
    "16 to 44.1 kHz": {"output_sample_rate": 44100, "strength": "auto"},
    "44,101 Hz": {"sample_rate": 44101},
    "downmix": {"channels": 3, "downmix": True},
    "stereo": {"channels": 2},
    "lite_rtse": {"model": "random:lite_rtse", "sample_rate": 8000},
    "onnx": {"engine": "onnx", "strength": "auto"},
}
FLOATS = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e30, 1e6, 1e4, 200.0, 33.0, 8.5, 1.5, 1.0, -1.0, 1e-40, 0.0)
INTEGERS = (0, 1, -1, 200, 256, 10**6, 2**31, 2**40, 2**59, 2**62, 2**63 - 1, -(2**63))


def changed(array, rng):
    """Returns an array that differs in one way or another."""
    kind = rng.integers(10)
    if kind == 0:
        return array[:-1] if array.ndim and len(array) else array.reshape(1, *array.shape)
    if kind == 1:
        return np.concatenate([array.reshape(-1), np.ones(int(rng.integers(1, 4)), array.dtype)])
    if kind == 2:
        return array.astype(rng.choice([np.float64, np.float32, np.int64, np.uint8]))
    flat = array.reshape(-1).copy()
    if not len(flat):
        return np.ones(1, array.dtype)
    where = int(rng.integers(len(flat))) if kind < 9 else slice(None)  # one value, or all
    if kind == 3:
        bits = flat.view(f"u{array.itemsize}")
        bits[where] ^= bits.dtype.type(1) << bits.dtype.type(rng.integers(8 * array.itemsize))
    elif array.dtype.kind == "f":
        flat[where] = rng.choice(FLOATS) if rng.integers(2) else flat[where] * rng.choice([-1, 10, 1000, 1e7])
    elif kind < 6:
        with np.errstate(over="ignore"):
            flat[where] += flat.dtype.type(rng.choice([1, 2, 255]))
    else:
        flat[where] = np.array(INTEGERS)[rng.integers(len(INTEGERS))].astype(array.dtype)
    return flat.reshape(array.shape)


def mutations(state, seed):
    """Yields the names of arrays, and states in which they differ: one each, and sometimes one of each channel."""
    rng = np.random.default_rng(seed)
    for name, array in state.arrays.items():
        for _ in range(ROUNDS):
            arrays = {**state.arrays, name: changed(array, rng)}
            if rng.integers(8) == 0:
                other = rng.choice(list(state.arrays))
                arrays[other] = changed(state.arrays[other], rng)
            yield name, StreamState.from_bytes(StreamState(state.facts, arrays).to_bytes())


def noise(length, config, seed):
    shape = (length, config["channels"]) if config.get("channels", 1) > 1 else length
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def assert_goes_on(stream, config, process, flush, place):
    """Asserts that a stream delivers what it owes, in numbers that are sound."""
    taken, given = place()
    pieces = [process(noise(length, config, length)) for length in (100, 1500, 700)]
    owed = -(-(taken + 2300) * stream.output_sample_rate // stream.sample_rate) - given
    samples = np.concatenate([*pieces, flush()])
    assert len(samples) == owed
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() < LOUDEST


@pytest.mark.skipif(why_absent() is not None, reason="too slow where the C extension was not built")
@pytest.mark.parametrize("moment", [0, 1000, 7777])
@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_a_changed_state_is_refused_or_goes_on(config, moment):
    enhancer, other = Enhancer(**config), Enhancer(**config)
    enhancer.process_chunk(noise(moment, config, 0))
    state = enhancer.get_state()
    before, refused = state.to_bytes(), 0
    assert_restores(other, state)
    for name, mutated in mutations(state, moment):
        try:
            other.set_state(mutated)
        except StateError:
            refused += 1
            assert other.get_state().to_bytes() == before, f"{name}: refused, but the stream has changed"
            continue
        try:
            assert_goes_on(
                other,
                config,
                other.process_chunk,
                other.flush,
                lambda: (other.samples_in, other.samples_out),
            )
        except Exception as error:
            raise AssertionError(f"{name}, {mutated.arrays[name]!r}: accepted, but {error!r}") from error
        assert_restores(other, state)
    assert refused > ROUNDS


def assert_restores(stream, state):
    stream.set_state(state)
    assert stream.get_state().to_bytes() == state.to_bytes()


@pytest.mark.skipif(why_absent() is not None, reason="too slow where the C extension was not built")
@pytest.mark.parametrize("name", ["default", "auto", "48 kHz stereo"])
def test_a_changed_state_in_a_pool_disturbs_nobody(name):
    config = SETTINGS[name]
    pool, enhancer = StreamPool(num_threads=2), Enhancer(**config)
    enhancer.process_chunk(noise(5000, config, 0))
    others = [pool.open() for _ in range(10)]
    for seed, (array, mutated) in enumerate(mutations(enhancer.get_state(), 1)):
        stream_id = pool.open(**config)
        try:
            pool.set_state(stream_id, mutated)
        except StateError:
            pool.close(stream_id)
            continue
        alone, company = Enhancer(), noise(2300, {}, seed)

        def process(chunk, stream_id=stream_id, company=company):
            outputs = pool.process({stream_id: chunk, **dict.fromkeys(others, company)})
            assert all(np.isfinite(outputs[i]).all() for i in others)
            return outputs[stream_id]

        def flush(stream_id=stream_id):
            return pool.flush(stream_id)

        def place(stream_id=stream_id):
            info = pool.info(stream_id)
            return info.samples_in, info.samples_out

        try:
            assert_goes_on(pool.info(stream_id), config, process, flush, place)
        except Exception as error:
            raise AssertionError(f"{array}, {mutated.arrays[array]!r}: accepted, but {error!r}") from error
        pool.close(stream_id)
        for i in others:
            pool.reset(i)
        np.testing.assert_array_equal(pool.process({others[0]: company})[others[0]], alone.process_chunk(company))
