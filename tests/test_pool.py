"""Streams in a pool: each as if it were alone, whatever the others do; errors, states, threads."""

import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gtcrn_frontend import AudioFormatError, ConfigError, Enhancer, StateError, StreamState
from gtcrn_frontend.pool import StreamPool
from gtcrn_frontend.streaming.stream import Stream
from gtcrn_frontend.streaming.stream_batch import StreamBatch


def noise(length, seed=0, channels=1, dtype="float32"):
    shape = length if channels == 1 else (length, channels)
    samples = np.random.default_rng(seed).normal(0, 0.1, shape).clip(-1, 1)
    return (samples * 32767).astype(dtype) if dtype == "int16" else samples.astype(dtype)


def bad_chunk(kind, channels):
    samples = noise(100, channels=channels)
    if kind == "nan":
        samples[7] = np.nan
    chunks = {
        "shape": noise(100, channels=channels + 1),
        "number": np.float32(0.1),
        "nothing": None,
        "type": samples.astype(np.complex64),
        "nan": samples,
        "int16 as float": samples * 32768,
    }
    return chunks[kind]


BAD_KINDS = ("shape", "number", "nothing", "type", "nan", "int16 as float")


def assert_same(samples, expected):
    assert (samples.shape, samples.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1 if samples.dtype == np.int16 else 1e-6)


settings_of_streams = st.fixed_dictionaries(
    {
        "sample_rate": st.sampled_from([None, 8000, 16000, 44100, 48000]),
        "output_sample_rate": st.sampled_from([None, None, 16000, 22050]),
        "channels": st.sampled_from([1, 1, 1, 2, 3]),
        "downmix": st.booleans(),
        "strength": st.sampled_from([1.0, 1.0, 0.7, 0.0]),
        "bypass": st.sampled_from([False, False, False, True]),
    }
)
chunks = st.tuples(st.integers(0, 3000), st.sampled_from(["float32", "float64", "int16"]))


class PoolBesideEnhancers(RuleBasedStateMachine):
    """Whatever happens to a pool: each of its streams delivers what an `Enhancer` that is alone does."""

    streams = Bundle("streams")

    @initialize(num_threads=st.sampled_from([1, 2]))
    def load(self, num_threads):
        self.pool = StreamPool(num_threads=num_threads)
        self.alone = {}
        self.ever = set()
        self.seed = 0

    def chunk(self, stream_id, length, dtype):
        self.seed += 1
        return noise(length, self.seed, self.alone[stream_id].config.channels, dtype)

    @rule(target=streams, config=settings_of_streams, count=st.sampled_from([1, 1, 20]))
    def open(self, config, count):
        opened = [self.pool.open(**config) for _ in range(count)]
        assert self.ever.isdisjoint(opened)
        self.ever.update(opened)
        self.alone |= {stream_id: Enhancer(**config) for stream_id in opened}
        return multiple(*opened)

    @rule(data=st.data(), one_chunk_for_all=st.one_of(st.none(), chunks))
    def process(self, data, one_chunk_for_all):
        some = self.alone if one_chunk_for_all else data.draw(st.sets(st.sampled_from([*self.alone, None])))
        fed = {i: self.chunk(i, *(one_chunk_for_all or data.draw(chunks))) for i in some if i is not None}
        outputs = self.pool.process(fed)
        assert list(outputs) == list(fed)
        for stream_id, chunk in fed.items():
            assert_same(outputs[stream_id], self.alone[stream_id].process_chunk(chunk))

    @rule(bad=streams, kind=st.sampled_from(BAD_KINDS))
    def process_with_a_bad_chunk(self, bad, kind):
        fed = {stream_id: self.chunk(stream_id, 700, "float32") for stream_id in self.alone}
        fed[bad] = bad_chunk(kind, self.alone[bad].config.channels)
        with pytest.raises(AudioFormatError, match=rf"^stream {bad}: expected "):
            self.pool.process(fed)

    @rule(stream_id=streams)
    def flush(self, stream_id):
        assert_same(self.pool.flush(stream_id), self.alone[stream_id].flush())

    @rule(stream_id=streams)
    def reset(self, stream_id):
        self.pool.reset(stream_id)
        self.alone[stream_id].reset()

    @rule(stream_id=consumes(streams))
    def close(self, stream_id):
        self.pool.close(stream_id)
        del self.alone[stream_id]
        with pytest.raises(StateError, match=f"got {stream_id}: it was closed"):
            self.pool.process({stream_id: noise(100)} | {i: self.chunk(i, 300, "float32") for i in self.alone})

    @rule(stream_id=streams, strength=st.floats(0, 1))
    def set_strength(self, stream_id, strength):
        self.pool.set_strength(stream_id, strength)
        self.alone[stream_id].strength = strength

    @rule(stream_id=streams, bypass=st.booleans())
    def set_bypass(self, stream_id, bypass):
        self.pool.set_bypass(stream_id, bypass)
        self.alone[stream_id].bypass = bypass

    @rule(stream_id=streams)
    def swap_states_with_the_enhancer(self, stream_id):
        of_pool, of_enhancer = self.pool.get_state(stream_id), self.alone[stream_id].get_state()
        self.pool.set_state(stream_id, StreamState.from_bytes(of_enhancer.to_bytes()))
        self.alone[stream_id].set_state(StreamState.from_bytes(of_pool.to_bytes()))

    @invariant()
    def same_streams_at_the_same_place(self):
        if not hasattr(self, "pool"):
            return
        assert set(self.pool) == set(self.alone)
        assert len(self.pool) == len(self.alone)
        for stream_id, enhancer in self.alone.items():
            info = self.pool.info(stream_id)
            for name in ("sample_rate", "output_sample_rate", "strength", "bypass", "latency_samples", "latency_ms"):
                assert getattr(info, name) == getattr(enhancer, name), name
            for name in ("lag_samples", "samples_in", "samples_out"):
                assert getattr(info, name) == getattr(enhancer, name), name
            assert info.channels == enhancer.config.channels

    def teardown(self):
        for stream_id, enhancer in getattr(self, "alone", {}).items():
            assert_same(self.pool.flush(stream_id), enhancer.flush())


PoolBesideEnhancers.TestCase.settings = settings(deadline=None, max_examples=30, stateful_step_count=25)
TestPoolBesideEnhancers = PoolBesideEnhancers.TestCase


@pytest.fixture
def pool():
    return StreamPool()


def test_a_large_batch_gives_each_stream_what_it_gives_alone(pool):
    """More streams than a block of the network holds, with different numbers of hops."""
    lengths = {pool.open(): 256 * (1 + i % 3) + 1 for i in range(700)}
    chunks = {stream_id: noise(length, seed=stream_id) for stream_id, length in lengths.items()}
    heads = pool.process(chunks)
    for stream_id in list(lengths)[::50]:
        enhancer = Enhancer()
        assert_same(heads[stream_id], enhancer.process_chunk(chunks[stream_id]))
        assert_same(pool.flush(stream_id), enhancer.flush())


def test_no_chunks_and_empty_chunks(pool):
    assert pool.process({}) == {}
    mono, stereo = pool.open(), pool.open(channels=2)
    outputs = pool.process({mono: np.empty(0, np.int16), stereo: np.empty((0, 2), np.float64)})
    assert (outputs[mono].shape, outputs[mono].dtype) == ((0,), np.int16)
    assert (outputs[stereo].shape, outputs[stereo].dtype) == ((0, 2), np.float64)
    assert pool.flush(stereo).shape == (0, 2)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_samples_lie_in_memory_of_their_own(pool, strength):
    ids = [pool.open(strength=strength) for _ in range(3)]
    chunk = noise(2000)
    outputs = [*pool.process(dict.fromkeys(ids, chunk)).values(), *(pool.flush(stream_id) for stream_id in ids)]
    for i, samples in enumerate(outputs):
        assert samples.base is None
        assert not any(np.shares_memory(samples, other) for other in [chunk, *outputs[:i]])


CALLS = {
    "process": lambda pool, stream_id: pool.process({stream_id: noise(300)}),
    "flush": lambda pool, stream_id: pool.flush(stream_id),
    "close": lambda pool, stream_id: pool.close(stream_id),
    "reset": lambda pool, stream_id: pool.reset(stream_id),
    "set_strength": lambda pool, stream_id: pool.set_strength(stream_id, 0.5),
    "set_bypass": lambda pool, stream_id: pool.set_bypass(stream_id, True),
    "get_state": lambda pool, stream_id: pool.get_state(stream_id),
    "set_state": lambda pool, stream_id: pool.set_state(stream_id, Enhancer().get_state()),
    "info": lambda pool, stream_id: pool.info(stream_id),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("which", ["closed", "never opened"])
def test_a_stream_that_is_not_open_is_refused(pool, call, which):
    stream_id = pool.open() if which == "closed" else 1000
    other = pool.open()
    if which == "closed":
        pool.close(stream_id)
    assert stream_id not in pool
    with pytest.raises(StateError, match=f"expected the id of an open stream, got {stream_id}"):
        CALLS[call](pool, stream_id)
    assert list(pool) == [other]


@pytest.mark.parametrize("setting", [{"strength": 2.0}, {"sample_rate": 7999}, {"channels": 17}, {"downmix": "yes"}])
def test_wrong_settings_open_nothing(pool, setting):
    with pytest.raises(ConfigError, match=next(iter(setting)).replace("_", ".")):
        pool.open(**setting)
    assert len(pool) == 0


def test_wrong_adjustments_keep_the_old_ones(pool):
    stream_id = pool.open(strength=0.3)
    with pytest.raises(ConfigError, match="strength"):
        pool.set_strength(stream_id, 1.1)
    with pytest.raises(ConfigError, match="bypass"):
        pool.set_bypass(stream_id, "on")
    assert (pool.info(stream_id).strength, pool.info(stream_id).bypass) == (0.3, False)


def test_a_flushed_stream_is_as_new(pool):
    stream_id, samples = pool.open(channels=2), noise(3000, channels=2)
    first, second = (
        np.concatenate([pool.process({stream_id: samples})[stream_id], pool.flush(stream_id)]) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_strength_and_bypass_count_for_the_last_samples_too(pool):
    ids, chunk = [pool.open(), pool.open()], noise(100)
    pool.process(dict.fromkeys(ids, chunk))
    pool.set_strength(ids[0], 0.0)
    pool.set_bypass(ids[1], True)
    for stream_id in ids:
        np.testing.assert_array_equal(pool.flush(stream_id), chunk)


def test_max_attenuation_is_the_strength_in_other_units(pool):
    assert pool.info(pool.open(max_attenuation_db=20)).strength == pytest.approx(0.9)


@pytest.mark.parametrize("config", [{}, {"sample_rate": 48000, "output_sample_rate": 16000, "channels": 2}])
def test_a_stream_moves_between_enhancer_and_pool(pool, config):
    samples = noise(30_000, channels=config.get("channels", 1))
    expected = Enhancer(**config).enhance(samples)
    enhancer, stream_id = Enhancer(**config), pool.open(**config)
    pool.process({stream_id: samples[::-1][:999]})  # what is there is replaced
    pieces = [enhancer.process_chunk(samples[:9_999])]
    pool.set_state(stream_id, StreamState.from_bytes(enhancer.get_state().to_bytes()))
    pieces.append(pool.process({stream_id: samples[9_999:20_001]})[stream_id])
    enhancer.set_state(StreamState.from_bytes(pool.get_state(stream_id).to_bytes()))
    pieces += [enhancer.process_chunk(samples[20_001:]), enhancer.flush()]
    assert_same(np.concatenate(pieces), expected)


def test_a_foreign_state_is_refused_and_changes_nothing(pool):
    stream_id, enhancer = pool.open(), Enhancer()
    chunk = noise(1000)
    pool.process({stream_id: chunk})
    enhancer.process_chunk(chunk)
    with pytest.raises(StateError, match="48000"):
        pool.set_state(stream_id, Enhancer(sample_rate=48000).get_state())
    assert_same(pool.flush(stream_id), enhancer.flush())


def test_settings_do_not_wait_for_samples_on_their_way(pool, monkeypatch):
    entered, go_on = Event(), Event()
    process = StreamBatch.process

    def slow(batch, checked):
        outputs = process(batch, checked)
        entered.set()
        assert go_on.wait(60)
        return outputs

    monkeypatch.setattr(StreamBatch, "process", slow)
    kept, closed = pool.open(), pool.open()
    chunk = noise(1000)
    with ThreadPoolExecutor() as executor:
        try:
            running = executor.submit(pool.process, {kept: chunk, closed: chunk})
            assert entered.wait(60)
            late = pool.open()
            pool.close(closed)
            pool.set_strength(kept, 0.0)
            assert list(pool) == [kept, late]
            assert pool.info(kept).strength == 0.0
        finally:
            go_on.set()
        outputs = running.result(60)
    enhancer = Enhancer()
    expected = enhancer.process_chunk(chunk)
    assert_same(outputs[kept], expected)
    assert_same(outputs[closed], expected)
    enhancer.strength = 0.0
    assert_same(pool.flush(kept), enhancer.flush())


def test_calls_that_move_samples_take_turns(pool, monkeypatch):
    running, most = [], []

    def watched(move):
        def moving(*arguments, **settings):
            running.append(move)
            time.sleep(0.01)
            most.append(len(running))
            running.remove(move)
            return move(*arguments, **settings)

        return moving

    monkeypatch.setattr(StreamBatch, "process", watched(StreamBatch.process))
    monkeypatch.setattr(Stream, "flush", watched(Stream.flush))
    stream_id = pool.open()
    with ThreadPoolExecutor(4) as executor:
        calls = [executor.submit(pool.process, {stream_id: noise(100)}) for _ in range(6)]
        calls += [executor.submit(pool.flush, stream_id) for _ in range(6)]
        for call in calls:
            call.result()
    assert most == [1] * 12


def test_threads_at_once_do_not_disturb_each_other():
    pool = StreamPool(num_threads=2)

    def one_client(seed):
        samples = noise(8000, seed)
        stream_id = pool.open(sample_rate=8000 if seed % 2 else None)
        pieces = [pool.process({stream_id: chunk})[stream_id] for chunk in np.split(samples, 10)]
        pieces.append(pool.flush(stream_id))
        pool.close(stream_id)
        return np.concatenate(pieces)

    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(one_client, range(16)))
    assert len(pool) == 0
    for seed, samples in enumerate(results):
        assert_same(samples, Enhancer(sample_rate=8000 if seed % 2 else None).enhance(noise(8000, seed)))


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_streams_begin_anew_when_the_engine_fails(strength, pool, monkeypatch):
    """Rather a gap than input and output out of step; a stream that had no part in it goes on."""
    hit, spared, enhancer = pool.open(strength=strength), pool.open(), Enhancer()
    chunk = noise(1000)
    pool.process({hit: chunk, spared: chunk})
    enhancer.process_chunk(chunk)

    def fail(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(StreamBatch, "_divided", fail)  # the engine has advanced
        with pytest.raises(MemoryError):
            pool.process({hit: chunk})
    assert (pool.info(hit).samples_in, pool.info(spared).samples_in) == (0, 1000)
    outputs = pool.process({hit: chunk, spared: chunk})
    assert_same(outputs[spared], enhancer.process_chunk(chunk))
    assert_same(outputs[hit], Enhancer(strength=strength).process_chunk(chunk))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_streams_go_on_after_fork(tmp_path):
    # In a process of its own, and without destructors in the child: see the same test of Enhancer.
    script = """
import os, pickle, sys
import numpy as np
from gtcrn_frontend.pool import StreamPool
chunk = np.random.default_rng(0).normal(0, 0.1, 1000).astype(np.float32)
pool = StreamPool(num_threads=2)
ids = [pool.open() for _ in range(40)]
pool.process(dict.fromkeys(ids, chunk))
child = os.fork()
try:
    ids.append(pool.open())
    outputs = pool.process(dict.fromkeys(ids, chunk))
    with open(sys.argv[1] + ("/parent" if child else "/child"), "wb") as file:
        pickle.dump(outputs, file)
finally:
    if not child:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    enhancer = Enhancer()
    first, second = enhancer.process_chunk(noise(1000)), enhancer.process_chunk(noise(1000))
    for name in ("parent", "child"):
        outputs = pickle.loads((tmp_path / name).read_bytes())
        for samples in list(outputs.values())[:-1]:
            assert_same(samples, second)
        assert_same(list(outputs.values())[-1], first)


def test_a_fork_during_a_call_does_not_leave_the_child_waiting(random_checkpoint):
    script = """
import os, sys, threading, numpy as np
from gtcrn_frontend import StreamPool
from gtcrn_frontend.streaming.stream_batch import StreamBatch
pool = StreamPool(sys.argv[1])
idle, busy = pool.open(), pool.open()
pool.process({idle: np.zeros(1000, np.float32)})
inside, forked = threading.Event(), threading.Event()
process = StreamBatch.process
def slow(company, checked):
    inside.set()
    forked.wait(30)
    return process(company, checked)
StreamBatch.process = slow
thread = threading.Thread(target=pool.process, args=({busy: np.zeros(1000, np.float32)},))
thread.start()
inside.wait(30)
child = os.fork()
forked.set()
if not child:
    lengths = {i: len(pool.process({i: np.zeros(1000, np.float32)})[i]) for i in (idle, busy)}
    os._exit(0 if lengths == {idle: 1024, busy: 512} else 1)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-c", script, str(random_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "0"
