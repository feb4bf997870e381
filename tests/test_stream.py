"""Calls of one stream are whole or have not been: two at a time, and interrupts at any point of a call."""

import asyncio
import copy
import dis
import os
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import gtcrn_frontend
from gtcrn_frontend import Enhancer, StreamBusyError, StreamPool, StreamState
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.native.binding import why_absent
from gtcrn_frontend.streaming.stream import Stream
from gtcrn_frontend.streaming.stream_batch import StreamBatch
from gtcrn_frontend.streaming.thread_pool import ThreadPool

PACKAGE = str(Path(gtcrn_frontend.__file__).parent)
needs_native = pytest.mark.skipif(why_absent() is not None, reason="the C extension was not built")

SETTINGS = {
    "default": {},
    "auto": {"strength": "auto"},
    "48 kHz stereo": {"sample_rate": 48000, "channels": 2, "strength": "auto"},
    "48 to 16 kHz": {"sample_rate": 48000, "output_sample_rate": 16000, "strength": 0.5},
    "onnx": {"engine": "onnx"},
}
CALLS = {
    "process_chunk": lambda enhancer, chunk: enhancer.process_chunk(chunk),
    "process_aligned": lambda enhancer, chunk: enhancer.process_aligned(chunk),
    "process_bytes": lambda enhancer, chunk: enhancer.process_bytes((32767 * chunk).astype("<i2").tobytes()),
    "flush": lambda enhancer, chunk: enhancer.flush(),
    "flush_aligned": lambda enhancer, chunk: enhancer.flush_aligned(),
    "reset": lambda enhancer, chunk: enhancer.reset(),
    "get_state": lambda enhancer, chunk: enhancer.get_state(),
    "set_state": lambda enhancer, chunk: enhancer.set_state(Enhancer(**enhancer.config.to_dict()).get_state()),
    "copy": lambda enhancer, chunk: copy.copy(enhancer),
    "pickle": lambda enhancer, chunk: pickle.dumps(enhancer),
}


def noise(length, config=None, seed=0):
    channels = (config or {}).get("channels", 1)
    shape = (length, channels) if channels > 1 else length
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


class Gate:
    """Holds up whoever calls a method for the first time, until it is opened."""

    def __init__(self, monkeypatch, kind, name):
        self.entered, self.opened = threading.Event(), threading.Event()
        inner = getattr(kind, name)

        def held(*arguments, **settings):
            if not self.entered.is_set():
                self.entered.set()
                assert self.opened.wait(60)
            return inner(*arguments, **settings)

        monkeypatch.setattr(kind, name, held)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_a_second_call_is_refused_and_changes_nothing(config, call, monkeypatch):
    enhancer, alone = Enhancer(**config), Enhancer(**config)
    chunks = [noise(2000, config, seed) for seed in range(3)]
    expected = [alone.process_chunk(chunk) for chunk in chunks]
    np.testing.assert_array_equal(enhancer.process_chunk(chunks[0]), expected[0])
    gate = Gate(monkeypatch, Stream, "_process")
    with ThreadPoolExecutor() as executor:
        try:
            running = executor.submit(enhancer.process_chunk, chunks[1])
            assert gate.entered.wait(60)
            with pytest.raises(StreamBusyError, match="one call of a stream at a time"):
                CALLS[call](enhancer, chunks[2])
            enhancer.strength = enhancer.strength  # settings may change at any time
            assert len(enhancer.auto_strength_reports) in (0, config.get("channels", 1))
        finally:
            gate.opened.set()
        np.testing.assert_array_equal(running.result(60), expected[1])
    np.testing.assert_array_equal(enhancer.process_chunk(chunks[2]), expected[2])
    np.testing.assert_array_equal(enhancer.flush(), alone.flush())


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_threads_in_one_stream_lose_nothing_that_was_accepted(config):
    """Without a flag this ended the process: a buffer was sized, and then the stream moved on."""
    enhancer = Enhancer(**config)
    chunks = [noise(length, config, length) for length in (1, 255, 256, 700, 3000)]
    start = threading.Barrier(3)

    def hammer(seed):
        taken = given = 0
        start.wait()
        for i in np.random.default_rng(seed).integers(len(chunks), size=60):
            try:
                given += len(enhancer.process_chunk(chunks[i]))
            except StreamBusyError:
                continue
            taken += len(chunks[i])
        return taken, given

    with ThreadPoolExecutor(3) as executor:
        taken, given = np.sum(list(executor.map(hammer, range(3))), axis=0)
    assert (enhancer.samples_in, enhancer.samples_out) == (taken, given)
    total = -(-taken * enhancer.output_sample_rate // enhancer.sample_rate)
    assert given + len(enhancer.flush()) == total


def test_a_call_that_asyncio_gave_up_still_runs_and_is_told_of():
    async def give_up(enhancer, chunk):
        told = 0
        for _ in range(20):
            try:
                await asyncio.wait_for(asyncio.to_thread(enhancer.process_chunk, chunk), 0.002)
            except TimeoutError:
                pass
            except StreamBusyError:
                told += 1
        return told

    enhancer = Enhancer()
    assert asyncio.run(give_up(enhancer, noise(160000))) >= 0
    assert enhancer.samples_in % 160000 == 0


@needs_native
def test_threads_in_one_engine_state_are_told():
    """The engine's own calls, too, for whoever uses it without a `Stream`."""
    engine = load("gtcrn-asr", "native").engine
    state = engine.new_state()
    hops = noise(256 * 400).reshape(-1, 256)
    start = threading.Barrier(2)

    def until_accepted(call):
        while True:
            try:
                return call()
            except StreamBusyError:
                time.sleep(0)

    def hammer(_):
        start.wait()
        for count in range(1, 40):
            until_accepted(lambda count=count: engine.process(hops[: 5 * count], state))
            until_accepted(lambda: engine.export_state(state))
            until_accepted(lambda count=count: engine.process_many([(hops[:count], state)]))

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(hammer, range(2)))
    assert np.isfinite(engine.process(hops, state)).all()


class Interrupt:
    """Raises `KeyboardInterrupt` at one of the points where Python lets a signal in: calls, and returns from C.

    Args:
        at: number of the point within this package, from 0; -1 counts them only.
    """

    def __init__(self, at=-1):
        self.at, self.points = at, 0

    def __enter__(self):
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _event(self, frame, event, _):
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(PACKAGE):
            self.points += 1
            if self.points == self.at + 1:
                raise KeyboardInterrupt


def saved(stream):
    """What a stream goes on from, but for the type of its last chunk, which an interrupted one may have set."""
    state = stream.get_state() if isinstance(stream, (Enhancer, Stream)) else stream
    return StreamState(state.facts, {**state.arrays, "dtype": np.empty(0, np.uint8)}).to_bytes()


def points(work, most=50):
    """The numbers of at most so many points of a call, evenly spread, its first and last among them."""
    with Interrupt() as counting:
        work()
    assert counting.points > 3
    return sorted({round(at) for at in np.linspace(0, counting.points - 1, most)})


@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("copy", "pickle")])
@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_an_interrupted_call_leaves_the_stream_unchanged_or_anew(config, call):
    chunk = noise(2000, config)
    enhancer = Enhancer(**config)
    enhancer.process_chunk(chunk)
    before = enhancer.get_state()
    allowed = {saved(Enhancer(**config)), saved(before)}

    def begin():
        enhancer.set_state(before)

    interrupted = 0
    begin()
    for at in points(lambda: CALLS[call](enhancer, chunk)):
        begin()
        try:
            with Interrupt(at):
                CALLS[call](enhancer, chunk)
        except KeyboardInterrupt:
            interrupted += 1
        else:
            continue  # the point is in the caller, after the call
        assert saved(enhancer) in allowed, f"out of step after an interrupt at point {at}"
    assert interrupted > 3
    alone = Enhancer(**config)
    enhancer.reset()
    np.testing.assert_array_equal(enhancer.process_chunk(chunk), alone.process_chunk(chunk))


@pytest.mark.parametrize("name", ["process_chunk", "process_aligned", "process_bytes", "flush", "flush_aligned"])
def test_no_interrupt_comes_between_a_whole_call_and_its_caller(name):
    """Behind a call with unpacked arguments Python would look for signals; `Interrupt` cannot come there."""
    inner = {"process_chunk": "process"}.get(name, name)
    for function in (getattr(Enhancer, name), getattr(Stream, inner), Stream._transaction):
        assert "CALL_FUNCTION_EX" not in {instruction.opname for instruction in dis.get_instructions(function)}


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_a_second_interrupt_while_the_first_is_mended_leaves_the_stream_anew(config, monkeypatch):
    enhancer, chunk = Enhancer(**config), noise(3000, config)
    enhancer.process_chunk(chunk)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Stream, "_restart", interrupt)
        patch.setattr(Stream, "_process", interrupt)
        enhancer.process_chunk(chunk)
    assert saved(enhancer) == saved(Enhancer(**config))


@pytest.mark.parametrize("action", ["process", "flush"])
def test_an_interrupted_call_of_a_pool_leaves_each_stream_unchanged_or_anew(action):
    settings = [{}, {}, {"strength": "auto"}, {"sample_rate": 48000, "channels": 2}]
    chunks = {i: noise(2000, config, i) for i, config in enumerate(settings)}
    pool = StreamPool()
    ids = [pool.open(**config) for config in settings]
    bystander = pool.open()
    pool.process({**chunks, bystander: noise(999)})
    before = {i: pool.get_state(i) for i in (*ids, bystander)}
    allowed = {i: {saved(before[i]), saved(Enhancer(**settings[i]))} for i in ids}

    def work():
        return pool.process(chunks) if action == "process" else pool.flush(ids[2])

    def begin():
        for i in ids:
            pool.set_state(i, before[i])

    if action == "flush":  # at its end the stream is as new, whether or not its samples arrive
        pool.flush(ids[2])
        allowed[ids[2]].add(saved(pool.get_state(ids[2])))
    for at in points(work):
        begin()
        try:
            with Interrupt(at):
                work()
        except KeyboardInterrupt:
            for i in ids:
                assert saved(pool.get_state(i)) in allowed[i], f"stream {i}, point {at}"
        assert saved(pool.get_state(bystander)) == saved(before[bystander])
    begin()
    outputs = pool.process(chunks)
    for i, config in enumerate(settings):
        alone = Enhancer(**config)
        alone.set_state(before[i])
        np.testing.assert_allclose(outputs[i], alone.process_chunk(chunks[i]), atol=1e-6)


@pytest.mark.parametrize("last", [False, True])
def test_streams_that_run_together_are_all_as_new_after_an_interrupt(last):
    loaded = load("gtcrn-asr")
    streams = [Stream(loaded, EnhancerConfig()) for _ in range(3)]
    chunk = noise(3000)

    batch = StreamBatch(streams, ThreadPool(1))

    def work(last):
        return batch.finish() if last else batch.process(batch.check([chunk] * 3, "abc"))

    work(last=False)
    states = [stream.get_state() for stream in streams]
    fresh = saved(Stream(loaded, EnhancerConfig()))
    for at in points(lambda: work(last)):
        for stream, state in zip(streams, states, strict=True):
            stream.set_state(state)
        try:
            with Interrupt(at):
                work(last)
        except KeyboardInterrupt:
            after = set(map(saved, streams))
            assert after <= {fresh, saved(states[0])}
            assert len(after) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_of_a_fork_begins_the_stream_anew_that_a_thread_was_in(monkeypatch):
    enhancer, chunk = Enhancer(), noise(2000)
    expected = Enhancer().process_chunk(chunk)
    enhancer.process_chunk(chunk)
    gate = Gate(monkeypatch, Stream, "_process")
    with ThreadPoolExecutor() as executor:
        try:
            running = executor.submit(enhancer.process_chunk, chunk)
            assert gate.entered.wait(60)
            child = os.fork()
            if not child:
                is_same = np.array_equal(enhancer.process_chunk(chunk), expected)
                os._exit(0 if is_same and enhancer.samples_in == 2000 else 1)
        finally:
            gate.opened.set()
        assert os.waitpid(child, 0)[1] == 0
        running.result(60)
