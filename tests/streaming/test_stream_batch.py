"""Streams of a call that are processed together, and again in the next call."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gtcrn_frontend import AudioFormatError, Enhancer, StateError, StreamPool
from gtcrn_frontend.streaming.stream_batch import StreamBatch


@pytest.fixture
def made(monkeypatch):
    """The batches that pools have made."""
    batches = []
    make = StreamBatch.__init__

    def noted(batch, *arguments):
        batches.append(batch)
        make(batch, *arguments)

    monkeypatch.setattr(StreamBatch, "__init__", noted)
    return batches


@pytest.fixture
def pool(engine_name):
    return StreamPool(engine=engine_name)


@pytest.fixture(params=["auto", "onnx"])
def engine_name(request):
    return request.param


def noise(length, seed=0, dtype="float32"):
    samples = np.random.default_rng(seed).normal(0, 0.1, length).clip(-1, 1)
    return (samples * 32767).astype(dtype) if dtype == "int16" else samples.astype(dtype)


def assert_same(samples, expected):
    assert (samples.shape, samples.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1 if samples.dtype == np.int16 else 1e-6)


def test_it_is_made_once_for_the_same_streams(pool, made):
    one, two = pool.open(), pool.open()
    for _ in range(3):
        pool.process({one: noise(300), two: noise(300)})
    assert len(made) == 1
    pool.process({two: noise(300), one: noise(300)})
    pool.process({one: noise(300)})
    assert len(made) == 3


@pytest.mark.parametrize("change", [lambda pool, i: pool.set_strength(i, 0.5), lambda pool, i: pool.reset(i)])
def test_settings_and_resets_do_not_make_another(pool, made, change):
    ids = [pool.open() for _ in range(3)]
    for _ in range(2):
        pool.process({i: noise(600) for i in ids})
        change(pool, ids[1])
    assert len(made) == 1


CHANGES = {
    "strength": lambda stream, pool, i: pool.set_strength(i, 0.5) if pool else setattr(stream, "strength", 0.5),
    "auto": lambda stream, pool, i: pool.set_strength(i, "auto") if pool else setattr(stream, "strength", "auto"),
    "bypass": lambda stream, pool, i: pool.set_bypass(i, True) if pool else setattr(stream, "bypass", True),
    "reset": lambda stream, pool, i: pool.reset(i) if pool else stream.reset(),
    "flush": lambda stream, pool, i: pool.flush(i) if pool else stream.flush(),
    "get state": lambda stream, pool, i: pool.get_state(i) if pool else stream.get_state(),
    "set state": lambda stream, pool, i: pool.set_state(i, BEGUN) if pool else stream.set_state(BEGUN),
}
BEGUN = Enhancer().get_state()


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_between_two_calls_holds_in_the_second(change, pool, engine_name):
    ids = [pool.open() for _ in range(3)]
    alone = [Enhancer(engine=engine_name) for _ in ids]
    for seed in range(4):
        chunks = {i: noise(700, 10 * seed + i) for i in ids}
        outputs = pool.process(chunks)
        for i, enhancer in zip(ids, alone, strict=True):
            assert_same(outputs[i], enhancer.process_chunk(chunks[i]))
        if seed == 1:
            CHANGES[change](None, pool, ids[1])
            CHANGES[change](alone[1], None, None)
    for i, enhancer in zip(ids, alone, strict=True):
        assert_same(pool.flush(i), enhancer.flush())


def test_a_stream_that_was_closed_is_not_open_in_the_next_call(pool):
    ids = [pool.open() for _ in range(2)]
    chunks = {i: noise(300) for i in ids}
    pool.process(chunks)
    pool.close(ids[0])
    with pytest.raises(StateError, match=f"got {ids[0]}"):
        pool.process(chunks)


def test_a_flush_that_fails_ends_what_was_ready(pool, monkeypatch):
    stream_id = pool.open()
    pool.process({stream_id: noise(1000)})

    def fail(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(type(pool._streams[stream_id].backend), "finish", fail)
        with pytest.raises(MemoryError):
            pool.flush(stream_id)
    assert pool.info(stream_id).samples_in == 0
    assert len(pool.process({stream_id: noise(1000)})[stream_id]) == 512
    assert pool.info(stream_id).samples_in == 1000


def test_a_call_that_waits_for_its_turn_keeps_its_streams(pool):
    kept, closed = pool.open(), pool.open()
    with ThreadPoolExecutor() as executor:
        with pool._lock:
            waiting = executor.submit(pool.process, {kept: noise(1000), closed: noise(1000)})
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            pool.close(closed)
        assert [len(samples) for samples in waiting.result(60).values()] == [512, 512]
    assert list(pool) == [kept]


@pytest.mark.parametrize("times", [1, 3])
def test_streams_of_all_kinds_and_types_in_one_call(times, pool, engine_name):
    kinds = [{}, {"strength": 0.5}, {"sample_rate": 8000}, {}, {"strength": "auto"}, {}] * times
    types = ["float32", "int16", "float32", "int16", "float64", "float64"] * times
    ids = [pool.open(**kind) for kind in kinds]
    alone = [Enhancer(engine=engine_name, **kind) for kind in kinds]
    for turn in range(3):
        chunks = {i: noise(500 + 97 * i, turn, dtype) for i, dtype in zip(ids, types, strict=True)}
        outputs = pool.process(chunks)
        assert list(outputs) == ids
        for i, enhancer in zip(ids, alone, strict=True):
            assert_same(outputs[i], enhancer.process_chunk(chunks[i]))
    for i, enhancer in zip(ids, alone, strict=True):
        assert_same(pool.flush(i), enhancer.flush())


def test_the_tail_comes_in_the_type_of_the_last_chunk(pool):
    ids = [pool.open() for _ in range(2)]
    for dtype in ("int16", "float32", "float64"):
        pool.process({i: noise(300, dtype=dtype) for i in ids})
    assert pool.flush(ids[0]).dtype == np.float64
    pool.process({ids[0]: noise(300), ids[1]: noise(300, dtype="int16")})
    assert [pool.flush(i).dtype for i in ids] == [np.float32, np.int16]


def test_no_stream_sees_the_memory_of_another(pool):
    ids = [pool.open() for _ in range(20)]
    outputs = pool.process({i: noise(1000, i) for i in ids})
    assert all(samples.base is None for samples in outputs.values())


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_bad_chunk_is_named_and_no_stream_has_changed(strength, pool, engine_name):
    ids = [pool.open(strength=strength) for _ in range(3)]
    enhancer = Enhancer(engine=engine_name, strength=strength)
    good, bad = noise(1000), noise(1000)
    bad[500] = np.inf
    for _ in range(2):
        with pytest.raises(AudioFormatError, match=rf"stream {ids[1]}: expected finite samples, got inf at index 500"):
            pool.process({ids[0]: good, ids[1]: bad, ids[2]: good})
    assert [pool.info(i).samples_in for i in ids] == [0, 0, 0]
    expected = enhancer.process_chunk(good)
    for samples in pool.process(dict.fromkeys(ids, good)).values():
        assert_same(samples, expected)


def test_lists_of_numbers_and_loud_chunks_are_fine(pool, engine_name):
    ids = [pool.open() for _ in range(2)]
    loud = np.full(1000, 1.5, np.float32)
    outputs = pool.process({ids[0]: loud.tolist(), ids[1]: loud})
    expected = Enhancer(engine=engine_name).process_chunk(loud)
    assert outputs[ids[0]].dtype == np.float64
    np.testing.assert_allclose(outputs[ids[0]], expected, atol=1e-6)
    assert_same(outputs[ids[1]], expected)


def test_nothing_at_all_and_empty_chunks(pool):
    assert pool.process({}) == {}
    ids = [pool.open() for _ in range(2)]
    outputs = pool.process({i: np.empty(0, np.float32) for i in ids})
    assert [len(samples) for samples in outputs.values()] == [0, 0]
