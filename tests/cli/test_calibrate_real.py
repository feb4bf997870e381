"""`calibrate` with real recognisers of spoken digits: sherpa-onnx, and pocketsphinx, which nothing here knows of."""

import argparse
import importlib.util
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.cli import calibrate

RATE = 16000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RECOGNIZER = Path(__file__).resolve().parents[1] / "assets" / "recognizers" / "digits-clean"

PIPELINE = """
recognizer:
  factory: OfflineRecognizer.from_zipformer_ctc
  tokens: {0}/tokens.txt
  model: {0}/offline.onnx
  feature_dim: 40
frontend:
  model: not looked at
"""

# A grammar of digits for pocketsphinx's own English model, as a function and as a program.
SPHINX = f"""
import sys
from pathlib import Path
import numpy as np
from pocketsphinx import Decoder

grammar = Path(__file__).with_name("digits.jsgf")
grammar.write_text("#JSGF V1.0; grammar digits; public <digits> = ({" | ".join(DIGITS)})+;")
decoder = Decoder(jsgf=str(grammar), samprate=16000, loglevel="FATAL")

def hear(samples, rate):
    decoder.start_utt()
    decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr if decoder.hyp() else ""

if __name__ == "__main__":
    import soundfile
    print(hear(*soundfile.read(sys.argv[1], dtype="float32")))
"""


@pytest.fixture
def folder(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Strings of three digits of a speaker whom the recogniser has not heard, in the working directory."""
    entries = json.loads((shared / "audio" / "manifest.json").read_text())
    clips = [entry for entry in entries if entry["set"] == "digits" and entry["speaker"] == "theo"]
    rng = np.random.default_rng(0)
    lines = []
    for i in range(10):
        chosen = [clips[int(rng.integers(len(clips)))] for _ in range(3)]
        pieces = [np.zeros(4000, np.float32)]
        for clip in chosen:
            samples = soundfile.read(shared / "audio" / clip["path"], dtype="float32")[0]
            pieces += [np.repeat(samples, 2) * 0.5 / np.abs(samples).max(), np.zeros(3000, np.float32)]  # 8 to 16 kHz
        soundfile.write(tmp_path / f"{i}.wav", np.concatenate(pieces), RATE)
        lines.append(json.dumps({"audio": f"{i}.wav", "text": " ".join(clip["text"] for clip in chosen)}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "white.wav", rng.normal(0, 0.1, 5 * RATE), RATE)
    (tmp_path / "sphinx_of_test.py").write_text(SPHINX)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("sphinx_of_test", None)


def rates(text: str) -> list[float]:
    """The overall rates in the table, no front-end first."""
    table = [line.split("|") for line in text.split("\n\n")[0].splitlines() if line.startswith("| ")]
    column = next(i for i, name in enumerate(table[0]) if name.strip().endswith("WER"))
    return [float(row[column].split()[0]) for row in table[1:]]


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    calibrate.add_parser(parser.add_subparsers())
    defaults = ["calibrate", "--manifest", "m.jsonl", "--no-cache", "--jobs", "1", "--strengths", "1"]
    defaults += ["--noise-only", "0"]
    args = parser.parse_args([*defaults, *arguments])
    assert args.run(args) == 0


def test_a_pipeline_of_sherpa_onnx(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not RECOGNIZER.is_dir():
        pytest.skip(f"no recogniser in {RECOGNIZER}")
    (folder / "pipeline.yaml").write_text(PIPELINE.format(RECOGNIZER))
    run("--recognizer", "pipeline.yaml", "--noise", "noise", "--snr", "0", "--write", "frontend.yaml")
    without, full = rates(capsys.readouterr().out)
    assert full < without
    EnhancerConfig.from_yaml("frontend.yaml")


@pytest.mark.whisper
def test_whisper_by_short_name(
    whisper_model: Path,
    sentences: list[tuple[Path, str]],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [json.dumps({"audio": str(path), "text": text}) for path, text in sentences[:3]]
    (folder / "libri.jsonl").write_text("\n".join(lines))
    what = f"faster-whisper:{whisper_model},beam_size=1,temperature=0,cpu_threads=1"
    arguments = ["--manifest", "libri.jsonl", "--noise", "noise", "--snr", "10,clean", "--normalise", "english"]
    run("--recognizer", what, *arguments, "--report", "report.html", "--write", "frontend.yaml")
    captured = capsys.readouterr()
    assert "12 recognised, 0 from the cache, 0 failed" in captured.err
    assert "leaked" not in captured.err
    heading, _, without = (line.split("|") for line in captured.out.splitlines()[:3])
    clean = next(i for i, name in enumerate(heading) if name.strip() == "clean")
    assert float(without[clean].split()[0]) < 20
    for text in (captured.out, Path("report.html").read_text(), Path("frontend.yaml").read_text()):
        assert "beam_size 1, best_of 5, patience 1" in text
        assert "condition_on_previous_text true" in text
    EnhancerConfig.from_yaml("frontend.yaml")


@pytest.mark.whisper
def test_whisper_where_nobody_speaks_over_a_telephone_and_before_silero(
    whisper_model: Path,
    sentences: list[tuple[Path, str]],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = importlib.util.find_spec("silero_vad")
    assert found is not None
    assert found.origin is not None
    lines = [json.dumps({"audio": str(path), "text": text}) for path, text in sentences[:2]]
    (folder / "libri.jsonl").write_text("\n".join(lines))
    vad = Path(found.origin).parent / "data" / "silero_vad.onnx"
    what = f"faster-whisper:{whisper_model},beam_size=1,cpu_threads=1"
    arguments = ["--manifest", "libri.jsonl", "--noise", "noise", "--snr", "10,clean", "--normalise", "english"]
    arguments += ["--channel", "microphone,telephone", "--noise-only", "2", "--vad", str(vad)]
    run("--recognizer", what, *arguments, "--report", "report.html")
    captured = capsys.readouterr()
    assert f"{2 * (2 * 2 * 2 + 2 * 2 + 5)} recognised, 0 from the cache, 0 failed" in captured.err
    tables = captured.out.split("\n\n")
    clean = tables[0].splitlines()
    assert float(clean[2].split("|")[5].split()[0]) < 30  # telephone clean
    assert "telephone clean" in clean[0].split("|")[5]
    for title in (
        "Hallucinated words per minute",
        "False starts of silero_vad.onnx",
        "Speech missed by silero_vad.onnx",
    ):
        assert sum(title in table for table in tables) == 1
        assert title in Path("report.html").read_text()
    missed = next(i for i, table in enumerate(tables) if table.startswith("Speech missed")) + 1
    heading, _, raw = (line.split("|") for line in tables[missed].splitlines()[:3])
    assert float(dict(zip(map(str.strip, heading), raw, strict=True))["clean"].split()[0]) == 0


@pytest.mark.parametrize("kind", ["function", "command"])
def test_pocketsphinx_as_a_function_and_as_a_command(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    command = f"{shlex.quote(sys.executable)} sphinx_of_test.py {{}}"
    run("--recognizer", "sphinx_of_test:hear" if kind == "function" else command, "--limit", "2")
    captured = capsys.readouterr()
    assert "4 recognised, 0 from the cache, 0 failed" in captured.err
    assert rates(captured.out)[0] < 100  # it understands some of it
