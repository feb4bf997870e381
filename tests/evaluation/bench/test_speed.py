"""The bookkeeping, on a clock that only the engines move; no test depends on how fast this machine is."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.evaluation.bench import speed
from gtcrn_frontend.evaluation.bench import streams as bench_streams
from gtcrn_frontend.evaluation.bench.speed import (
    ROUNDS,
    StreamCost,
    in_fresh_process,
    interleaved_times_s,
    measure_cost,
    measure_speed,
    median_and_p95,
    noise_bursts,
)
from gtcrn_frontend.evaluation.bench.streams import EnhancerStreams, PoolStreams
from gtcrn_frontend.model_spec import FRCRN_SPEC, GTCRN_SPEC

RATE, HOP = GTCRN_SPEC.sample_rate, GTCRN_SPEC.hop_length


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def perf_counter(self):
        return self.now_s


class Fake:
    """Streams that take a known time; remembers the lengths of the chunks it got."""

    def __init__(self, clock, per_call_s, open_s=0.0):
        self.clock, self.per_call_s, self.open_s = clock, per_call_s, open_s
        self.opened = 0
        self.lengths = []
        self.opened_at_calls = []

    def open(self):
        self.opened += 1
        self.clock.now_s += self.open_s

    def process(self, chunk):
        self.lengths.append(len(chunk))
        self.opened_at_calls.append(self.opened)
        self.clock.now_s += self.per_call_s

    def state_bytes(self):
        return 76_000


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    return clock


@pytest.mark.parametrize(("streams", "chunk_ms"), [(1, 16), (1, 5), (16, 100), (256, 1000), (3, 2500)])
def test_a_time_per_hop_is_that_of_a_call_over_the_hops_of_all_streams(clock, streams, chunk_ms):
    ours, reference = Fake(clock, 0.002), Fake(clock, 0.005)
    engines = {"ours": ours, "reference": reference}
    timings = measure_speed(engines, streams, chunk_ms, GTCRN_SPEC, 0.1, "reference")

    assert [(t.engine, t.streams, t.chunk_ms) for t in timings] == [
        ("ours", streams, chunk_ms),
        ("reference", streams, chunk_ms),
    ]
    audio_s = streams * chunk_ms / 1000
    for timing, seconds in zip(timings, (0.002, 0.005), strict=True):
        assert timing.median_us_per_hop == pytest.approx(seconds * 1e6 / (audio_s * RATE / HOP))
        assert timing.p95_us_per_hop == pytest.approx(timing.median_us_per_hop)
        assert timing.rtf == pytest.approx(seconds / audio_s)
    assert [t.times_faster for t in timings] == pytest.approx([2.5, 1])
    assert [t.calls for t in timings] == [50, 20], "both get a tenth of a second"
    assert set(ours.lengths) == set(reference.lengths) == {RATE * chunk_ms // 1000}
    assert len(ours.lengths) > 50, "a warm-up is not counted"


@pytest.mark.parametrize("chunk_ms", [100, 600, 1000, 97])
def test_of_a_network_in_segments_the_chunks_that_bring_one_are_timed(clock, chunk_ms):
    class Segmented(Fake):
        """Takes a second for the new part of a segment, none for the chunks between; the first one comes late."""

        def process(self, chunk):
            before = sum(self.lengths)
            super().process(chunk)
            advance, latency = FRCRN_SPEC.segments.advance, FRCRN_SPEC.segments.latency
            now, then = ((samples - latency) // advance for samples in (before + len(chunk), before))
            self.clock.now_s += max(0, now + 1) - max(0, then + 1)

    streams = Segmented(clock, 1e-6)
    (timing,) = measure_speed({"frcrn": streams}, 1, chunk_ms, FRCRN_SPEC, 0.1)
    assert set(streams.lengths) == {RATE * chunk_ms // 1000}
    assert timing.calls == ROUNDS
    assert timing.rtf == pytest.approx(RATE / FRCRN_SPEC.segments.advance, rel=0.15 if chunk_ms == 97 else 1e-4)


def test_the_slow_are_called_in_every_round_and_without_a_reference_nothing_is_compared(clock):
    timings = measure_speed({"slow": Fake(clock, 7.0)}, 1, 1000, GTCRN_SPEC, 0.1)
    assert [(t.calls, t.times_faster) for t in timings] == [(ROUNDS, None)]
    timings = measure_speed({"slow": Fake(clock, 7.0)}, 1, 1000, GTCRN_SPEC, 0.1, "not here")
    assert [t.times_faster for t in timings] == [None]


def test_engines_take_turns_and_get_their_chunks():
    seen = []
    processes = {name: partial(lambda name, chunk: seen.append((name, chunk[0])), name) for name in "abc"}
    chunks = {name: [np.array([value], np.float32) for value in (1, 2)] for name in "abc"}
    times = interleaved_times_s(processes, chunks, 3)
    assert seen == [(name, value) for name in "bcacababc" for value in (1, 2)]
    assert {name: len(values) for name, values in times.items()} == {"a": 6, "b": 6, "c": 6}

    seen.clear()
    times = interleaved_times_s(processes, chunks, 1, {"a": 1, "b": 3, "c": 2})
    assert seen == [("b", 1), ("b", 2), ("b", 1), ("c", 1), ("c", 2), ("a", 1)]
    assert {name: len(values) for name, values in times.items()} == {"a": 1, "b": 3, "c": 2}

    seen.clear()
    chunks["b"] = [np.array([value], np.float32) for value in (7, 8, 9)]
    interleaved_times_s(processes, chunks, 1)
    assert seen == [("b", 7), ("b", 8), ("b", 9), ("c", 1), ("c", 2), ("a", 1), ("a", 2)]


def test_the_cost_of_a_stream_is_what_opening_takes_and_what_running_adds(clock, monkeypatch):
    resident = iter([1_000_000, 4_000_000])
    monkeypatch.setattr(speed, "resident_bytes", lambda: next(resident))
    fake = Fake(clock, 1.0, open_s=0.25)
    cost = measure_cost("fake", lambda: fake, RATE, streams=10, warm_up=4)
    assert cost == StreamCost("fake", 10, 250.0, 250.0, process_mb=0.3, arrays_mb=0.076)
    assert fake.opened_at_calls == [4, 4, 4, 14, 14, 14], "before: those to warm up; after: all"
    assert set(fake.lengths) == {RATE // 10}


def test_what_is_not_known_is_none(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "_STATM", tmp_path / "missing")
    fake = Fake(clock, 1.0)
    fake.state_bytes = lambda: None
    cost = measure_cost("fake", lambda: fake, RATE, streams=1, warm_up=1)
    assert (cost.process_mb, cost.arrays_mb) == (None, None)


@pytest.mark.skipif(not speed._STATM.is_file(), reason="the system tells a process its memory in another way")
def test_memory_that_is_taken_is_seen():
    # In a process of its own: this one may have free memory to give without growing.
    script = """
import numpy as np
from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.evaluation.bench import speed
from gtcrn_frontend.evaluation.bench import streams as bench_streams
before = speed.resident_bytes()
taken = np.ones(32 << 17)  # 32 MiB
print((speed.resident_bytes() - before) / taken.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(1, rel=0.2)


def test_a_fresh_process_gives_results_and_errors_back():
    assert in_fresh_process(os.getpid) not in (os.getpid(), in_fresh_process(os.getpid))
    with pytest.raises(ValueError, match="invalid literal"):
        in_fresh_process(int, "seven")


def test_a_pool_can_be_weighed_in_a_fresh_process(random_checkpoint):
    make = partial(PoolStreams, EnhancerConfig(random_checkpoint, "onnx", sample_rate=48_000))
    cost = in_fresh_process(measure_cost, "pool", make, 48_000, streams=3, warm_up=2)
    assert (cost.engine, cost.streams) == ("pool", 3)
    same = make()
    same.open()
    for _ in range(6):  # three times to warm up, three times with all
        same.process(noise_bursts(48_000, 0.1))
    assert cost.arrays_mb == same.state_bytes() / 1e6


@pytest.mark.parametrize("kind", [EnhancerStreams, PoolStreams])
def test_every_stream_gets_the_chunk(random_checkpoint, monkeypatch, kind):
    monkeypatch.setattr(bench_streams, "STREAMS_PER_CALL", 2)
    streams = kind(EnhancerConfig(random_checkpoint, "onnx"))
    for _ in range(5):
        streams.open()
    for _ in range(2):
        streams.process(np.zeros(HOP, np.float32))
    if kind is PoolStreams:
        seen = [streams._pool.info(stream_id).samples_in for stream_id in streams._pool]
    else:
        seen = [enhancer.samples_in for enhancer in streams._enhancers]
    assert seen == [2 * HOP] * 5
    assert streams.state_bytes() >= 4 * sum(int(np.prod(s)) for s in GTCRN_SPEC.cache_shapes.values())


@pytest.mark.parametrize("seconds", [0.1, 1, 2.5])
def test_the_noise_is_full_work(seconds):
    noise = noise_bursts(RATE, seconds)
    assert noise.shape == (RATE * seconds,)
    assert noise.dtype == np.float32
    assert 0.3 < np.abs(noise).max() < 1
    assert np.abs(noise).reshape(-1, 16).max(axis=1).min() > 1e-3, "no silence"


def test_median_and_p95():
    assert median_and_p95(range(101)) == (50, 95)
    assert median_and_p95([7.0]) == (7, 7)
