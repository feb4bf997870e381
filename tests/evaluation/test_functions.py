"""The functions behind the commands, called from Python: they return what the commands print."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation import ErrorMetric, benchmark, calibrate, evaluate, write_report
from gtcrn_frontend.evaluation.asr.recognizer import Transcript
from gtcrn_frontend.evaluation.asr.recognizer_source import as_source
from gtcrn_frontend.evaluation.bench.benchmark import Effort
from gtcrn_frontend.evaluation.progress import LoggedProgress
from gtcrn_frontend.evaluation.report.tables import to_json

RATE = 16000


# Worker processes import it by its name: loses a word if there is noise in the pauses.
MODULE = """
import numpy as np

def one_word_per_level(samples, rate):
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    floor = np.percentile(np.square(frames).mean(axis=1), 20)
    return "one two" if floor < 1e-5 else "one"

def fails(samples, rate):
    raise RuntimeError(f"out of licences at {len(samples)} samples")

def length(samples, rate):
    return len(samples)
"""


@pytest.fixture
def asr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "asr_for_functions.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("asr_for_functions")
    sys.modules.pop("asr_for_functions")


@pytest.fixture
def folder(tmp_path: Path, audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: recordings with pauses and their manifest, noise, and pairs."""
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0]
    rng = np.random.default_rng(0)
    lines = []
    for i in range(4):
        samples = np.append(np.zeros(6000, np.float32), speech[1000 * i : 1000 * i + 16000])
        soundfile.write(tmp_path / f"{i}_clean.wav", samples, RATE, subtype="FLOAT")
        noisy = samples + rng.normal(0, 0.02, len(samples)).astype(np.float32)
        soundfile.write(tmp_path / f"{i}_noisy.wav", noisy, RATE, subtype="FLOAT")
        lines.append(json.dumps({"audio": f"{i}_clean.wav", "text": "one two"}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "white.wav", rng.normal(0, 0.05, RATE), RATE)
    monkeypatch.setenv("GTCRN_FRONTEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_calibrate_returns_what_the_command_prints(folder: Path, asr: ModuleType) -> None:
    result = calibrate(
        asr.one_word_per_level,
        "m.jsonl",
        noise="noise",
        snrs_db=(None, 5.0),
        noise_only=0,
        strengths=(1.0, 0.5),
        jobs=1,
        cache=False,
    )
    text = str(result)
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:5]] == [
        "no front-end",
        "gtcrn-asr 0.5",
        "gtcrn-asr 1",
    ]
    assert "Too little data to decide: use no front-end for now." in text
    assert all(f"  {reason}" in text for reason in result.reasons)
    assert result.setting == EnhancerConfig(bypass=True)
    assert (result.recognised, result.from_cache, result.failures) == (4 * 2 * 3, 0, ())
    result.write("out.yaml")
    assert EnhancerConfig.from_yaml("out.yaml") == result.setting
    assert "# Measured on m.jsonl, noise noise, SNRs clean,5, seed 0." in Path("out.yaml").read_text()
    write_report(result, "report.html")
    assert "Too little data" in Path("report.html").read_text()
    assert not (folder / "cache").exists()


def test_the_same_entry_twice_is_recognised_once_and_scored_twice(folder: Path, asr: ModuleType) -> None:
    """It is no reason to take the recogniser for one that fails."""
    Path("m.jsonl").write_text(Path("m.jsonl").read_text().splitlines()[0] + "\n" + Path("m.jsonl").read_text())
    result = calibrate(asr.one_word_per_level, "m.jsonl", strengths=(1.0,), jobs=1, cache=False)
    assert result.recognised == 2 * 4
    assert len(result.scores.items) == 5
    assert result.decision.utterances == 4, "they are not independent"


def test_the_first_error_of_a_recogniser_is_named(folder: Path, asr: ModuleType) -> None:
    with pytest.raises(ModelError, match=r"fails failed on more than 20% .*0_clean.*out of licences at 22000 samples"):
        calibrate(asr.fails, "m.jsonl", strengths=(1.0,), jobs=1, cache=False)


def test_evaluate_returns_what_the_command_prints(folder: Path, asr: ModuleType) -> None:
    result = evaluate(pairs=folder, metrics=["si-snr"], strengths=(1.0, 0.5), jobs=1, cache=False)
    text = str(result)
    assert f"pairs in {folder}: 4 signals" in text
    assert "| SI-SNR dB " in text
    assert (result.first, result.failed) == ("gtcrn-asr 1", 0)
    content = result.to_dict()
    result.write_json("scores.json")
    assert Path("scores.json").read_text() == to_json(content)
    assert len(result.rows()) == len(content["results"][f"pairs in {folder}"]["rows"])


def test_evaluate_counts_errors_in_the_unit_that_is_asked_for(folder: Path, asr: ModuleType) -> None:
    result = evaluate(
        manifest="m.jsonl",
        noise="noise",
        snrs_db=(None,),
        metrics=["si-snr"],
        recognizers=[asr.one_word_per_level],
        error_metric=ErrorMetric(unit="character"),
        jobs=1,
        cache=False,
    )
    assert "one_word_per_level: 4 of 4 signals with transcripts" in str(result)
    kinds = ("CER", "substitutions", "deletions", "insertions")
    measures = {f"{kind} % one_word_per_level" for kind in kinds}
    assert {row["measure"] for row in result.rows()} == {"SI-SNR dB", *measures}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing to measure"),
        ({"clean": "."}, "clean, noisy: expected both folders"),
        ({"pairs": ".", "metrics": ["beauty"]}, "metrics: expected names out of si-snr"),
        ({"pairs": ".", "recognizers": [str]}, "expected a manifest with transcripts"),
        ({"manifest": "m.jsonl", "snrs_db": [1000.0]}, "expected SNRs from -60 to 100 dB"),
    ],
)
def test_wrong_arguments_of_evaluate_are_named(folder: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(**arguments)


def test_benchmark_returns_what_the_command_prints(random_checkpoint: Path) -> None:
    effort = Effort((1,), (16,), seconds=0.001, opened=2)
    result = benchmark(random_checkpoint, engines=["onnx"], effort=effort)
    assert [(timing.engine, timing.streams) for timing in result.speed] == [("onnx", 1)]
    assert [cost.engine for cost in result.cost] == ["onnx, 16000 Hz", "onnx, 48000 Hz"]
    assert str(result).startswith("cpu: ")
    assert "speedup" not in str(result), "nothing to compare with"
    assert result.to_dict()["speed"][0]["engine"] == "onnx"


def test_recognisers_are_functions_that_can_be_pickled(asr: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    source = as_source(asr.one_word_per_level)
    assert source.name == "one_word_per_level"
    assert source.identity != as_source(asr.one_word_per_level).identity, "its code may have changed"
    assert source.make("")(np.zeros(RATE, np.float32), RATE) == Transcript("one two")
    assert as_source(source) is source
    with pytest.raises(ConfigError, match="can be pickled"):
        as_source(lambda samples, rate: "")
    with pytest.raises(ConfigError, match="got str"):
        as_source("pipeline.yaml")
    with pytest.raises(ModelError, match="expected text from the recogniser, got int"):
        as_source(asr.length).make("")(np.zeros(3, np.float32), RATE)
    LoggedProgress().message("left out: a.wav")
    assert "left out: a.wav" in caplog.text
