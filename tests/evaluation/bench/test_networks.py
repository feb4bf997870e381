"""The table of all networks: who is in it, with which figures, and who is left out and why."""

import os
from dataclasses import replace
from functools import partial

import pytest

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation import benchmark_networks
from gtcrn_frontend.evaluation.bench import networks, speed
from gtcrn_frontend.evaluation.bench.benchmark import Effort
from gtcrn_frontend.evaluation.bench.footprint import Footprint
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, EnhancerStreams
from gtcrn_frontend.evaluation.progress import LoggedProgress
from gtcrn_frontend.evaluation.report.tables import to_json

EFFORT = Effort((1,), (16,), seconds=0.001, opened=3)


class Factory:
    """Prepares an engine, or raises an error."""

    is_required = False

    def __init__(self, engine, error=None):
        self.engine, self.error = engine, error
        self.name = engine.name

    def prepare(self, folder):
        assert folder.is_dir()
        if self.error:
            raise self.error
        return self.engine


class Counted(LoggedProgress):
    def __init__(self):
        self.steps, self.done = 0, 0

    def begin(self, name, count, later=0):
        self.steps += count

    def update(self, count=1):
        self.done += count


@pytest.fixture
def ours(monkeypatch, random_checkpoint):
    """The networks of this package: GTCRN with random weights in ONNX Runtime; another one is not here."""
    make = partial(EnhancerStreams, EnhancerConfig(random_checkpoint, "onnx"))
    engine = BenchEngine("gtcrn", "gtcrn", "onnx", "a file", make, 16_000, 256, 200, latency_ms=32.0)
    monkeypatch.setattr(networks, "own_networks", lambda: ([engine], {"ulunas": "not downloaded"}))
    return engine


@pytest.fixture
def at_48khz(random_checkpoint):
    """Another product at another rate, whose latency is not known."""
    make = partial(EnhancerStreams, EnhancerConfig("gtcrn-asr", "onnx", sample_rate=48_000))
    return BenchEngine("Other", "theirs", "C", "theirs 1.0", make, 48_000, 480, 200)


def test_each_has_a_row_and_what_is_not_here_is_named(ours, at_48khz):
    broken = replace(at_48khz, name="Broken", make=partial(int, "seven"))
    crashing = replace(at_48khz, name="Crashing", make=partial(os._exit, 3))
    others = [
        Factory(at_48khz),
        Factory(replace(at_48khz, name="Missing"), ImportError("it is not installed:\n  pip install missing")),
        Factory(replace(at_48khz, name="Unfit"), ModelError("no such layout")),
        Factory(broken),
        Factory(crashing),
    ]
    progress = Counted()
    result = benchmark_networks(others, effort=EFFORT, progress=progress)
    assert progress.done == progress.steps > 0

    first, second = result.networks
    assert (first.name, first.network, first.engine, first.runs) == ("gtcrn", "gtcrn", "onnx", "a file")
    assert (first.sample_rate, first.hop_ms, first.latency_ms, first.latency_is_measured) == (16_000, 16, 32, False)
    assert (second.name, second.network, second.engine, second.runs) == ("Other", "theirs", "C", "theirs 1.0")
    assert (second.sample_rate, second.hop_ms, second.latency_is_measured) == (48_000, 10, True)
    assert 32 < second.latency_ms < 41 + 10, "what an Enhancer states at 48 kHz, and up to a chunk that is no hop"
    for figures in result.networks:
        assert 0 < figures.median_us_per_hop <= figures.p95_us_per_hop
        assert figures.ms_per_s == pytest.approx(figures.median_us_per_hop / figures.hop_ms)
        assert figures.calls >= speed.ROUNDS
    assert {name: reason for name, reason in result.left_out.items() if name != "Broken"} == {
        "ulunas": "not downloaded",
        "Missing": "it is not installed: pip install missing",
        "Unfit": "no such layout",
        "Crashing": "its process ended with 3",
    }
    assert result.left_out["Broken"].startswith("ValueError: invalid literal")

    text = str(result)
    assert text.startswith("cpu: ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert rows[0] == list(networks.TITLES.values())
    assert [row[:4] for row in rows[2:]] == [["gtcrn", "onnx", "16000", "16.0"], ["theirs", "C", "48000", "10.0"]]
    assert "; measured for Other." in text
    assert "Other runs theirs 1.0" in text
    assert "Missing is left out: it is not installed: pip install missing\n" in text
    assert max(map(len, text.split("\n\n")[1].splitlines())) <= 100
    written = result.to_dict()
    assert list(written) == ["environment", "settings", "networks", "left_out"]
    assert written["networks"][1]["sample_rate"] == 48_000
    assert to_json(written)


def test_without_others_and_measured_latencies_nothing_is_said_of_them(ours):
    text = str(benchmark_networks(effort=EFFORT))
    assert "measured for" not in text
    assert "ulunas is left out: not downloaded" in text


def test_where_nothing_runs_the_reasons_remain(monkeypatch):
    monkeypatch.setattr(networks, "own_networks", lambda: ([], {"gtcrn": "no engine"}))
    result = benchmark_networks(effort=EFFORT)
    assert result.networks == ()
    assert "gtcrn is left out: no engine" in str(result)


class Clocked:
    """Takes a known time per hop on a clock that nothing else moves."""

    now_s = 0.0

    def __init__(self, seconds, lengths):
        self.seconds, self.lengths = seconds, lengths

    def open(self):
        pass

    def process(self, chunk):
        self.lengths.append(len(chunk))
        Clocked.now_s += self.seconds
        return chunk

    def state_bytes(self):
        return None


def test_a_time_per_second_of_audio_is_that_of_a_hop_over_its_duration(monkeypatch):
    class Clock:
        @staticmethod
        def perf_counter():
            return Clocked.now_s

    monkeypatch.setattr(speed, "time", Clock)
    lengths = {"slow": [], "fast": []}
    slow = BenchEngine("slow", "slow", "Python", "-", partial(Clocked, 0.002, lengths["slow"]), 48_000, 480, 1)
    fast = BenchEngine("fast", "fast", "Python", "-", partial(Clocked, 0.0005, lengths["fast"]), 16_000, 128, 1)
    footprint = Footprint(4.0, 0.5, 20.0, latency_is_measured=True)
    monkeypatch.setattr(networks, "own_networks", lambda: ([slow, fast], {}))
    monkeypatch.setattr(networks, "measure_footprint", lambda engine, streams: footprint)
    by_name = {f.name: f for f in benchmark_networks(effort=replace(EFFORT, seconds=0.1)).networks}
    assert by_name["slow"].median_us_per_hop == pytest.approx(2000)
    assert by_name["slow"].ms_per_s == pytest.approx(200)
    assert by_name["fast"].ms_per_s == pytest.approx(62.5)
    assert {name: figures.calls for name, figures in by_name.items()} == {"slow": 50, "fast": 200}
    assert (set(lengths["slow"]), set(lengths["fast"])) == ({480}, {128})
    assert (by_name["fast"].first_stream_mb, by_name["fast"].next_stream_mb) == (4.0, 0.5)
