"""An open-vocabulary recogniser that others made, in sherpa-onnx: Whisper tiny.en behind front-end and detector."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sherpa_onnx
import soundfile
import yaml

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.sherpa import with_frontend
from gtcrn_frontend.adapters.sherpa.pipeline import load_pipeline
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.wer import count_errors, error_rate

pytestmark = pytest.mark.whisper

RATE = 16000
PAUSE_S = 1.5


@pytest.fixture(scope="module")
def whisper(sherpa_whisper: dict[str, str]) -> sherpa_onnx.OfflineRecognizer:
    return sherpa_onnx.OfflineRecognizer.from_whisper(**sherpa_whisper, num_threads=1)


@pytest.fixture(scope="module")
def noisy(sentences: list[tuple[Path, str]]) -> tuple[np.ndarray, list[str]]:
    """Two sentences with pauses around them, in white noise, and what is said."""
    pause = np.zeros(int(PAUSE_S * RATE), np.float32)
    parts = [pause]
    for path, _ in sentences[:2]:
        parts += [soundfile.read(path, dtype="float32")[0], pause]
    samples = np.concatenate(parts)
    level = 0.1 * float(np.sqrt(np.mean(samples**2)))
    noise = np.random.default_rng(0).normal(0, level, len(samples))
    return (samples + noise).astype(np.float32), [text for _, text in sentences[:2]]


@pytest.fixture(scope="module")
def pipeline_file(sherpa_whisper: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silero's detector and Whisper behind the front-end."""
    (package,) = importlib.util.find_spec("silero_vad").submodule_search_locations
    sections = {
        "frontend": {"strength": 0.7},
        "recognizer": {"factory": "OfflineRecognizer.from_whisper", **sherpa_whisper, "num_threads": 1},
        "vad": {"silero_vad": {"model": f"{package}/data/silero_vad.onnx", "min_silence_duration": 0.6}},
    }
    path = tmp_path_factory.mktemp("pipeline") / "pipeline.yaml"
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return path


def text_of(recognizer: object, chunks: list[np.ndarray]) -> str:
    stream = recognizer.create_stream()
    for chunk in chunks:
        stream.accept_waveform(RATE, chunk)
    recognizer.decode_stream(stream)
    return stream.result.text


def wer(said: list[str], heard: list[str]) -> float:
    english = Normalisation.from_text("english")
    return error_rate([count_errors(english(" ".join(said)), english(" ".join(heard)), "word")]).value


def test_the_front_end_is_what_the_enhancer_is(whisper, noisy: tuple[np.ndarray, list[str]]) -> None:
    samples = noisy[0][: 6 * RATE]
    bare = text_of(whisper, [samples])
    assert len(bare.split()) > 5
    assert text_of(with_frontend(whisper, Enhancer(strength=0)), [samples]) == bare
    enhanced = np.asarray(Enhancer(strength=0.7).enhance(samples), np.float32)
    assert text_of(with_frontend(whisper, Enhancer(strength=0.7)), [samples]) == text_of(whisper, [enhanced])


def test_speech_between_pauses_is_found_and_recognised(
    pipeline_file: Path, noisy: tuple[np.ndarray, list[str]], sentences: list[tuple[Path, str]]
) -> None:
    samples, said = noisy
    first_s = soundfile.info(sentences[0][0]).duration
    second_s = PAUSE_S + first_s + PAUSE_S
    for pipeline in (load_pipeline(pipeline_file), load_pipeline(pipeline_file).without_frontend()):
        found = pipeline.transcribe(samples, RATE).segments
        assert all(segment.is_final for segment in found)
        assert {segment.start_s < second_s - PAUSE_S / 2 for segment in found} == {True, False}
        assert all(segment.end_s < second_s or segment.start_s > second_s - PAUSE_S for segment in found)
        assert wer(said, [segment.text for segment in found]) < 0.35


def test_transcribe_compares_with_and_without_front_end(
    pipeline_file: Path, noisy: tuple[np.ndarray, list[str]], tmp_path: Path
) -> None:
    samples, said = noisy
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "transcribe", "--compare", "--as", "json"]
    arguments = ["--config", str(pipeline_file), str(tmp_path / "a.wav")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    assert "1 done, 0 failed" in done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    texts = {name: [segment["text"] for segment in found[name]] for name in ("with_frontend", "without_frontend")}
    pipelines = (load_pipeline(pipeline_file), load_pipeline(pipeline_file).without_frontend())
    assert list(texts.values()) == [
        [segment.text for segment in pipeline.transcribe(samples, RATE).segments] for pipeline in pipelines
    ]
    assert all(wer(said, heard) < 0.35 for heard in texts.values())
