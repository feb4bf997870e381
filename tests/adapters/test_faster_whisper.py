"""`faster-whisper:FOLDER` with the real faster-whisper and Whisper tiny.en."""

import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters.faster_whisper import DECODING_OPTIONS, MODEL_OPTIONS, FasterWhisperRecognizer, source
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.normalise import Normalisation

pytestmark = pytest.mark.whisper

GREEDY = "beam_size=1,temperature=0,cpu_threads=1"


@pytest.fixture(scope="module")
def recognizer(whisper_model: Path) -> FasterWhisperRecognizer:
    return FasterWhisperRecognizer(whisper_model, beam_size=1, temperature=0, cpu_threads=1, compute_type="float32")


def test_a_sentence_is_recognised_at_any_rate(
    recognizer: FasterWhisperRecognizer, sentences: list[tuple[Path, str]]
) -> None:
    soxr = pytest.importorskip("soxr")
    samples = soundfile.read(sentences[0][0], dtype="float32")[0]
    found = recognizer(samples, 16000)
    english = Normalisation.from_text("english")
    said = english(sentences[0][1]).split()
    for transcript in (found, recognizer(np.asarray(soxr.resample(samples, 16000, 44100), np.float32), 44100)):
        heard = english(transcript.text).split()
        assert len(set(said) & set(heard)) >= 0.8 * len(set(said))
        assert 0.3 < transcript.confidence < 1
    assert recognizer(np.zeros(0, np.float32), 16000).text == ""


def test_settings_reach_the_decoder(whisper_model: Path, sentences: list[tuple[Path, str]]) -> None:
    samples = soundfile.read(sentences[0][0], dtype="float32")[0]
    make = pickle.loads(pickle.dumps(source(f"{whisper_model},{GREEDY},max_new_tokens=3").make))
    assert len(make("")(samples, 16000).text.split()) <= 3


def test_what_is_not_named_has_the_defaults_of_faster_whisper(whisper_model: Path) -> None:
    found = dict(source(f"{whisper_model},beam_size=2,language=en").settings)
    assert set(found) == set(MODEL_OPTIONS) | set(DECODING_OPTIONS)
    assert (found["beam_size"], found["language"]) == ("2", "en")
    assert found["temperature"] == "0+0.2+0.4+0.6+0.8+1"
    assert (found["condition_on_previous_text"], found["vad_filter"], found["compute_type"]) == (
        "true",
        "false",
        "default",
    )


def test_settings_and_content_of_the_model_name_a_recogniser(whisper_model: Path, tmp_path: Path) -> None:
    identity = source(str(whisper_model)).identity
    assert source(f"{whisper_model},beam_size=5").identity == identity  # its default
    assert source(f"{whisper_model},beam_size=4").identity != identity
    for name in ("a", "b"):
        shutil.copytree(whisper_model, tmp_path / name)
    assert source(str(tmp_path / "a")).identity == identity
    with (tmp_path / "b" / "config.json").open("a") as file:
        file.write("\n")
    assert source(str(tmp_path / "b")).identity != identity


def test_a_model_that_is_not_on_this_machine_is_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(*arguments: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for name in ("base.en", "somebody/whisper", "no-such-size", "./no-such-folder"):
        with pytest.raises(ConfigError, match=rf"got '{name}'; to fetch it: python -c .*download_model\('{name}'\)"):
            source(name)
    with pytest.raises(ConfigError, match=r"found no model\.bin there"):
        source(str(tmp_path))


@pytest.mark.parametrize(
    ("option", "match"),
    [("beams=1", "no option 'beams'; expected one of device"), ("beam_size=x", "beam_size: expected a whole number")],
)
def test_a_wrong_option_is_refused(whisper_model: Path, option: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        source(f"{whisper_model},{option}")
    if "no option" in match:
        with pytest.raises(ConfigError, match=match):
            FasterWhisperRecognizer(whisper_model, beams=1)


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot load this model"):
        FasterWhisperRecognizer(tmp_path)
