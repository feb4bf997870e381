import pickle
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.cli._recognizers import _load_speechbrain, recognizer_source
from gtcrn_frontend.errors import ConfigError

SAMPLES = np.zeros(1600, np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("asr_of_test", None)


def test_a_command_with_a_place_for_the_file(here: Path) -> None:
    script = here / "asr.sh"
    script.write_text("echo first")
    source = recognizer_source("sh asr.sh {}")
    assert pickle.loads(pickle.dumps(source.make))()(SAMPLES, 16000).text == "first"


def test_what_a_command_runs_is_part_of_its_identity(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = here / "asr.sh"
    script.write_text("echo first")
    before = recognizer_source("sh ./asr.sh {}").identity
    assert recognizer_source("sh ./asr.sh {}").identity == before
    monkeypatch.setattr("gtcrn_frontend.cli._recognizers.file_digest", lambda path: "another run, another content")
    assert recognizer_source("sh ./asr.sh {}").identity != before


def test_a_function_of_a_module_in_the_working_directory(here: Path) -> None:
    (here / "asr_of_test.py").write_text("def hear(samples, rate):\n    return f'{len(samples)} {rate}'\n")
    source = recognizer_source("asr_of_test:hear")
    assert source.name == "asr_of_test:hear"
    assert pickle.loads(pickle.dumps(source.make))()(SAMPLES, 16000).text == "1600 16000"


def test_a_pipeline_is_checked_before_anything_runs(here: Path) -> None:
    (here / "pipeline.yaml").write_text("recognizer:\n  factory: OfflineRecognizer.from_nothing\n")
    with pytest.raises(ConfigError, match=r"pipeline\.yaml: recognizer: "):
        recognizer_source("pipeline.yaml")


def test_a_speechbrain_model_is_told_from_a_pipeline(here: Path) -> None:
    model = here / "model"
    model.mkdir()
    (model / "hyperparams.yaml").write_text("modules:\n  encoder: !new:torch.nn.Identity\n")
    folder, file = recognizer_source("model"), recognizer_source("model/hyperparams.yaml")
    assert (folder.name, file.name) == ("model", "hyperparams.yaml")
    assert folder.identity == file.identity
    assert isinstance(file.make, partial)
    assert file.make.func is _load_speechbrain
    (model / "weights.ckpt").write_bytes(b"other")
    assert recognizer_source("model").identity != folder.identity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing.yaml", "found nothing there"),
        ("no_such_module_of_test:hear", "expected the Python module"),
        ("some words", "expected a pipeline file of sherpa-onnx"),
        (".", "expected a SpeechBrain model"),
    ],
)
def test_what_names_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recognizer_source(text)
