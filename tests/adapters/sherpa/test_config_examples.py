"""The examples for users who configure, run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from gtcrn_frontend.adapters.sherpa import load_pipeline
from gtcrn_frontend.adapters.sherpa.config import PipelineConfig

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
SPOKEN = ("seven", "three", "one")


@pytest.fixture(scope="module")
def digits(shared, tmp_path_factory):
    """A recording of three digits."""
    recordings = ("7_theo_3", "3_theo_3", "1_theo_3")
    parts = [np.zeros(4000)]
    for name in recordings:
        samples, rate = soundfile.read(shared / f"audio/digits/{name}.flac")
        samples = soxr.resample(samples, rate, 16000)
        parts += [0.3 * samples / np.abs(samples).max(), np.zeros(4000)]
    path = tmp_path_factory.mktemp("digits") / "digits.wav"
    soundfile.write(path, np.concatenate(parts), 16000)
    return path


def run(*arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def run_args(digits_clean, *arguments):
    files = f"--tokens={digits_clean}/tokens.txt", f"--model={digits_clean}/online.onnx", "--feature-dim=40"
    return run(EXAMPLES / "sherpa_args.py", *files, *arguments)


def transcribe(path):
    command = ["-m", "gtcrn_frontend.cli.main", "transcribe", "--config", EXAMPLES / "pipeline.yaml"]
    return run(*command, path, "--final")


def test_they_run_on_any_audio(digits_clean):
    noisy = EXAMPLES / "noisy.flac"
    (line,) = run_args(digits_clean, "--frontend-strength=0.5", noisy)
    assert line.startswith(f"{noisy}: ")
    for lines in (run(EXAMPLES / "sherpa_pipeline.py", noisy), transcribe(noisy)):
        assert all(float(line.split()[0]) <= float(line.split()[2]) for line in lines)


def test_they_hear_digits(digits_clean, digits):
    text = " ".join(SPOKEN)
    for strength in ("0", "0.5"):
        assert run_args(digits_clean, f"--frontend-strength={strength}", digits) == [f"{digits}: {text}"]
    partial = run(EXAMPLES / "sherpa_pipeline.py", digits)
    assert partial[-1].endswith(f"s: {text}")
    assert any(line.endswith("...") for line in partial)
    (line,) = transcribe(digits)
    assert line.endswith(f" {text}")


def test_the_noisy_string_of_digits_is_understood_behind_the_front_end_only():
    truth = "six one five three zero seven eight"  # examples/make_noisy.py
    lines = run(EXAMPLES / "sherpa_in_code.py", EXAMPLES / "noisy_digits.flac")
    assert lines[-1].split(maxsplit=2)[2] == truth
    bare = lines[lines.index("with the front-end:") - 1].split(maxsplit=2)[2]
    assert bare != truth
    (line,) = transcribe(EXAMPLES / "noisy_digits.flac")
    assert line.endswith(f" {truth}")


def test_the_pipeline_file_is_right():
    pipeline = load_pipeline(EXAMPLES / "pipeline.yaml")
    assert pipeline.is_online
    assert pipeline.config.frontend.strength == 0.8
    assert not pipeline.config.has_endpoints, "calibrate would not use them"


def test_its_sections_that_are_commented_out_are_right_as_well(digits_clean, keyword_spotter, tiny, tmp_path):
    text = (EXAMPLES / "pipeline.yaml").read_text(encoding="utf-8")
    lines = text[text.index("# endpoint:") :].splitlines()
    hidden = "\n".join(line[2:] for line in lines if not line.startswith("# For"))
    sections = yaml.safe_load(hidden)
    for name in ("silero_vad.onnx", "hotwords.txt"):
        (tmp_path / name).write_text("only has to be there", encoding="utf-8")

    online = {"factory": "OnlineRecognizer.from_zipformer2_ctc", "tokens": f"{digits_clean}/tokens.txt"}
    recognizer = {**online, "model": f"{digits_clean}/online.onnx"}
    config = PipelineConfig.from_dict({"recognizer": recognizer, "endpoint": sections["endpoint"]}, tmp_path)
    assert config.has_endpoints
    assert config.arguments["rule2_min_trailing_silence"] == 0.8

    offline = {"model": f"{digits_clean}/offline.onnx", "tokens": f"{digits_clean}/tokens.txt"}
    with_vad = {"frontend": True, "recognizer": {"factory": "OfflineRecognizer.from_zipformer_ctc", **offline}}
    config = PipelineConfig.from_dict({**with_vad, "vad": sections["vad"]}, tmp_path)
    assert config.vad.route == "enhanced_to_vad_raw_to_asr"

    files = {name: str(tiny / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    transducer = {"factory": "OnlineRecognizer.from_transducer", "tokens": f"{digits_clean}/tokens.txt", **files}
    recognizer = {**transducer, "decoding_method": "modified_beam_search"}
    config = PipelineConfig.from_dict({"recognizer": recognizer, "hotwords": sections["hotwords"]}, tmp_path)
    assert config.arguments["hotwords_score"] == 1.5
