"""Memory and latency of one engine: what is counted, and what becomes of an engine that cannot run."""

import os
import sys
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.bench import footprint
from gtcrn_frontend.evaluation.bench.footprint import Footprint, measure_footprint, measure_here
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, EnhancerStreams

RATE, HOP = 48_000, 480


class Fake:
    """Streams that return their input, and count."""

    made: ClassVar[list] = []

    def __init__(self):
        self.opened = 0
        self.opened_at_calls = []
        Fake.made.append(self)

    def open(self):
        self.opened += 1

    def process(self, chunk):
        assert len(chunk) == HOP
        self.opened_at_calls.append(self.opened)
        return chunk

    def state_bytes(self):
        return None


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(Fake, "made", [])
    return BenchEngine("fake", "fake", "Python", "nothing", Fake, RATE, HOP, max_streams=5)


def own_engine(model, max_streams=200):
    make = partial(EnhancerStreams, EnhancerConfig(model, "onnx"))
    return BenchEngine("gtcrn", "gtcrn", "onnx", "a file", make, 16_000, 256, max_streams)


@pytest.mark.parametrize(("asked", "opened"), [(3, 3), (1000, 5)])
def test_memory_is_that_of_the_first_stream_and_of_one_more(engine, monkeypatch, asked, opened):
    resident = iter([10_000_000, 14_000_000, 14_000_000 + opened * 500_000])
    monkeypatch.setattr(footprint, "resident_bytes", lambda: next(resident))
    assert measure_here(engine, asked) == Footprint(4.0, 0.5, 10.0, latency_is_measured=True)
    streams, fresh = Fake.made
    assert streams.opened_at_calls == [1] * 10 + [1 + opened] * 10, "a tenth of a second each"
    assert fresh.opened == 1, "the latency is that of a stream that has processed nothing"


def test_a_latency_that_is_stated_is_not_measured(engine):
    found = measure_here(replace(engine, latency_ms=7.0), 1)
    assert (found.latency_ms, found.latency_is_measured) == (7.0, False)
    assert len(Fake.made) == 1


def test_memory_is_unknown_on_other_systems(engine, monkeypatch):
    monkeypatch.setattr(footprint, "resident_bytes", lambda: None)
    assert measure_here(engine, 1) == Footprint(None, None, 10.0, latency_is_measured=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell a process its memory in another way")
def test_in_a_process_of_its_own_libraries_and_model_count():
    found = measure_footprint(own_engine("gtcrn-asr"), 50)
    state = sum(array.nbytes for array in Enhancer("gtcrn-asr", "onnx").get_state().arrays.values())
    assert found.first_stream_mb > 10, "ONNX Runtime, although these tests have imported it"
    assert state / 1e6 / 2 < found.next_stream_mb < found.first_stream_mb
    assert (found.latency_ms, found.latency_is_measured) == (32, True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(int, "seven"), "ValueError: invalid literal for int"),
        (partial(os._exit, 3), "its process ended with 3"),
        (object, "AttributeError: 'object' object has no attribute 'open'"),
    ],
)
def test_what_goes_wrong_in_the_process_is_one_line(random_checkpoint, make, said):
    with pytest.raises(ModelError, match=said) as caught:
        measure_footprint(replace(own_engine(random_checkpoint), make=make), 1)
    assert "\n" not in str(caught.value)
