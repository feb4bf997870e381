import os
import pickle
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.adapters.fingerprint import fingerprint
from gtcrn_frontend.adapters.recognizers import _load_speechbrain, recognizer_source
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
    assert pickle.loads(pickle.dumps(source.make))(str(here))(SAMPLES, 16000).text == "first"


COMMANDS = ["./asr.sh {}", "sh asr.sh {}", "sh -c './asr.sh {}'", "python -m my_asr {}", "asr --model=m {}"]
FOREIGN = ["asr_of_test:hear", *COMMANDS]


@pytest.fixture
def recogniser(here: Path) -> Path:
    """A folder with a function, a script, and what they read."""
    (here / "m").mkdir()
    (here / "m" / "offline.onnx").write_bytes(b"one")
    (here / "pipeline.yaml").write_text("beam: 1\n")
    (here / "asr.sh").write_text("echo first")
    (here / "asr_of_test.py").write_text("def hear(samples, rate):\n    return ''\n")
    return here


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("changed", ["m/offline.onnx", "pipeline.yaml", "asr.sh", "new.txt"])
def test_what_lies_around_code_is_part_of_its_identity(recogniser: Path, what: str, changed: str) -> None:
    before = recognizer_source(what).identity
    assert recognizer_source(what).identity == before
    (recogniser / changed).write_bytes(b"another")
    assert recognizer_source(what).identity != before


@pytest.mark.parametrize("what", FOREIGN)
def test_the_same_files_elsewhere_are_another_recogniser(
    recogniser: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recognizer_source(what).identity
    copy = Path(shutil.copytree(recogniser, recogniser / ".copy", ignore=shutil.ignore_patterns(".copy")))
    monkeypatch.chdir(copy)
    assert recognizer_source(what).identity != before


def test_a_model_trained_anew_in_place_is_another_one(recogniser: Path) -> None:
    model = recogniser / "m" / "offline.onnx"
    model.write_bytes(bytes(1 << 20))
    before = recognizer_source("asr_of_test:hear").identity
    model.write_bytes(bytes([1]) * (1 << 20))
    os.utime(model, (1, 1))
    assert recognizer_source("asr_of_test:hear").identity != before


def test_a_small_file_that_is_written_anew_each_time_stays_the_same_one(recogniser: Path) -> None:
    before = recognizer_source("asr_of_test:hear").identity
    (recogniser / "pipeline.yaml").write_text((recogniser / "pipeline.yaml").read_text())
    os.utime(recogniser / "pipeline.yaml", (1, 1))
    assert recognizer_source("asr_of_test:hear").identity == before


def test_a_script_in_another_folder_has_its_own_surroundings(
    recogniser: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    what = f"sh {recogniser / 'asr.sh'} {{}}"
    before = recognizer_source(what).identity
    (recogniser / "pipeline.yaml").write_text("beam: 8\n")
    assert recognizer_source(what).identity != before


@pytest.mark.parametrize("what", [*FOREIGN, "model"])
def test_what_changes_without_the_recogniser_is_not_part_of_it(recogniser: Path, what: str) -> None:
    (recogniser / "model").mkdir()
    (recogniser / "model" / "hyperparams.yaml").write_text("modules:\n  encoder: !new:torch.nn.Identity\n")
    place = recogniser / ("model" if what == "model" else "")
    apart = [place / name for name in ("cache", "m.jsonl", "wav", "given.txt")]
    before = recognizer_source(what, apart).identity
    for name in ("cache/ab/x.json", "wav/a.txt", "wav/a.wav", "__pycache__/a.pyc", ".git/index"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"x")
    for name in ("m.jsonl", "given.txt", "run.log", ".history", "report.html", "other.wav"):
        (place / name).write_bytes(b"x")
    (place / "frontend.yaml").write_text("# gtcrn-frontend calibrate --recognizer x\nbypass: true\n")
    assert recognizer_source(what, apart).identity == before


def test_links_are_followed_once_and_many_files_are_bounded(
    recogniser: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recogniser / "m" / "round").symlink_to(recogniser, target_is_directory=True)
    assert len(fingerprint([recogniser, recogniser / "m"])) == 4
    assert not caplog.records
    monkeypatch.setattr("gtcrn_frontend.adapters.fingerprint.MAX_FILES", 3)
    assert len(fingerprint([recogniser])) == 3
    assert "more than 3 files" in caplog.text


def test_a_function_of_a_module_in_the_working_directory(here: Path) -> None:
    (here / "asr_of_test.py").write_text("def hear(samples, rate):\n    return f'{len(samples)} {rate}'\n")
    source = recognizer_source("asr_of_test:hear")
    assert source.name == "asr_of_test:hear"
    assert pickle.loads(pickle.dumps(source.make))(str(here))(SAMPLES, 16000).text == "1600 16000"


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


def test_what_many_programs_share_is_not_looked_at(
    recogniser: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, library = (tmp_path_factory.mktemp(name) for name in ("bin", "site-packages"))
    (programs / "asr").write_text("#!/bin/sh\n")
    (programs / "asr").chmod(0o755)
    (library / "asr_installed.py").write_text("def hear(samples, rate):\n    return ''\n")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"purelib": str(library)})
    monkeypatch.syspath_prepend(library)
    names = "asr {}", "asr_installed:hear"
    before = [recognizer_source(name).identity for name in names]
    for folder in (programs, library):
        (folder / "another").write_text("x")
    assert [recognizer_source(name).identity for name in names] == before
    monkeypatch.setattr("gtcrn_frontend.adapters.recognizers.file_digest", lambda path: "another content")
    assert all(recognizer_source(name).identity != one for name, one in zip(names, before, strict=True))


@pytest.mark.parametrize("what", ["asr_of_test:hear", "sh asr.sh {}"])
def test_names_that_are_not_utf_8_in_the_working_directory(recogniser: Path, what: str) -> None:
    before = recognizer_source(what).identity
    (recogniser / os.fsdecode(b"caf\xe9.txt")).write_text("one")
    with_it = recognizer_source(what).identity
    assert with_it != before
    (recogniser / os.fsdecode(b"caf\xe8.txt")).write_text("one")
    assert recognizer_source(what).identity != with_it
