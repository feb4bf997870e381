"""`evaluate --recognizer`: word errors behind each system, of a function whose text depends on the noise level."""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.cli import evaluate
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.weights.registry import cache_folder

RATE = 16000
FUNCTION = """
from pathlib import Path
import numpy as np

def hear(samples, rate):
    with Path("calls.log").open("a") as file:
        file.write("x")
    quietest = np.sqrt(np.square(samples[: len(samples) // 160 * 160].reshape(-1, 160)).mean(axis=1)).min()
    return "ONE, two" if quietest < 0.002 else "one noise"

def fail(samples, rate):
    raise RuntimeError("not today")
"""


@pytest.fixture
def folder(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    audio_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """The working directory: a manifest of speech with transcripts, one without, noise and the recogniser."""
    rng = np.random.default_rng(0)
    lines = []
    for name in ("a", "b"):
        samples = soundfile.read(audio_folder / f"speech_{name}.flac", dtype="float32")[0][: 2 * RATE]
        soundfile.write(tmp_path / f"{name}.wav", np.append(samples, np.zeros(RATE // 2, np.float32)), RATE)
        lines.append({"audio": f"{name}.wav", "text": "one two"})
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "silent.jsonl").write_text('{"audio": "a.wav"}\n')
    (tmp_path / "mixed.jsonl").write_text('{"audio": "a.wav"}\n' + json.dumps(lines[1]))
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "white.wav", rng.normal(0, 0.05, 3 * RATE), RATE)
    (tmp_path / "asr_of_test.py").write_text(FUNCTION)
    monkeypatch.setenv("GTCRN_FRONTEND_CACHE", str(tmp_path_factory.mktemp("users") / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("asr_of_test", None)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers())
    common = ["--jobs", "1", "--metrics", "si-snr", "--noise", "noise", "--snr", "clean,5"]
    args = parser.parse_args(["evaluate", *common, *arguments])
    code: int = args.run(args)
    return code


def test_word_errors_by_condition_as_table_csv_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--manifest", "said.jsonl", "--recognizer", "asr_of_test:hear", "--strength", "1", "0.5")
    assert run(*arguments, "--csv", "s.csv", "--json", "s.json") == 0
    text = capsys.readouterr().out
    assert "asr_of_test:hear: 4 of 4 signals with transcripts" in text
    table = [line for line in text.splitlines() if line.startswith("| system")]
    assert [cell.strip() for cell in table[-1].strip("|").split("|")] == [
        *("system", "clean", "5 dB", "all: WER", "sub", "del", "ins")
    ]
    with Path("s.csv").open() as file:
        every = list(csv.DictReader(file))
    rows = [row for row in every if row["measure"] == "WER % asr_of_test:hear"]
    rates = {(row["system"], row["snr_db"]): float(row["mean"]) for row in rows if not row["against"]}
    changes = {(row["system"], row["snr_db"]): float(row["mean"]) for row in rows if row["against"] == "noisy"}
    assert {system: rates[system, "clean"] for system, _ in rates} == dict.fromkeys(
        ("noisy", "gtcrn-asr 1", "gtcrn-asr 0.5"), 0
    )
    assert (rates["noisy", "5"], rates["noisy", "all"]) == (50, 25)
    for system in ("gtcrn-asr 1", "gtcrn-asr 0.5"):
        assert changes[system, "5"] == rates[system, "5"] - 50
    assert rates["gtcrn-asr 1", "5"] < rates["gtcrn-asr 0.5", "5"]  # half of the noise can be heard
    assert {row["signals"] for row in rows} == {"2", "4"}
    for kind, expected in {"substitutions": 50, "deletions": 0, "insertions": 0}.items():
        (raw,) = (
            float(row["mean"])
            for row in every
            if (row["measure"], row["system"], row["snr_db"]) == (f"{kind} % asr_of_test:hear", "noisy", "5")
        )
        assert raw == expected
    content = json.loads(Path("s.json").read_text())
    assert content["settings"]["recognizers"] == {"asr_of_test:hear": {}}
    (result,) = content["results"].values()
    assert len([row for row in result["rows"] if row["measure"].startswith("WER")]) == len(rows)


def test_what_was_recognised_is_kept(folder: Path) -> None:
    arguments = ("--manifest", "said.jsonl", "--recognizer", "asr_of_test:hear")
    run(*arguments)
    assert Path("calls.log").read_text() == "x" * 8
    run(*arguments, "--strength", "1", "0.5")
    assert Path("calls.log").read_text() == "x" * 12
    run(*arguments, "--no-cache")
    assert Path("calls.log").read_text() == "x" * 20


def test_speech_without_transcript_has_no_word_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--manifest", "mixed.jsonl", "--recognizer", "asr_of_test:hear") == 0
    text = capsys.readouterr().out
    assert "4 signals, " in text
    assert "asr_of_test:hear: 2 of 2 signals with transcripts" in text


def test_what_cannot_be_recognised_is_said_before_anything_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, match in {
        ("--manifest", "silent.jsonl"): r"expected transcripts in silent\.jsonl, found none",
        ("--pairs", "."): "expected a manifest with transcripts, got none",
        ("--manifest", "said.jsonl", "--normalise", "loud"): "got 'loud'",
        ("--manifest", "said.jsonl", "--recognizer", "no such thing"): "expected a pipeline file",
    }.items():
        with pytest.raises(ConfigError, match=match):
            run("--recognizer", "asr_of_test:hear", *arguments)
    assert not cache_folder().exists()


def test_a_recogniser_that_fails_ends_it_with_its_reason(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"asr_of_test:fail failed on more than 20% .*RuntimeError: not today"):
        run("--manifest", "said.jsonl", "--mixtures", "3", "--recognizer", "asr_of_test:fail")
