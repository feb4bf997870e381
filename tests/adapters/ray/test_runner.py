"""Corpora on a Ray cluster: the same files as without it, also where workers die."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters.ray import ray_runner, runner
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.corpus import enhance_corpus, local_runner

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def folder(audio_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty short files, one of which is no audio."""
    path = tmp_path_factory.mktemp("corpus")
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="int16")[0]
    for number in range(39):
        start = 500 * number
        soundfile.write(path / f"{number:02}.wav", speech[start : start + 8000], (8000, 16000, 22050)[number % 3])
    (path / "bad.flac").write_text("no audio")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """What is in the files of a folder, without the record of the run."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "enhance-corpus.json"}


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the command `enhance` makes of the folder, and the list of what failed."""
    out = tmp_path_factory.mktemp("enhanced")
    assert main(["enhance", str(folder), "-o", str(out)]) == 1
    reason = "expected an audio file that libsndfile reads: Format not recognised"
    (out / "failed.jsonl").write_text(json.dumps({"name": f"{folder}/bad.flac", "reason": reason}) + "\n")
    return contents(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_files_of_enhance(
    folder: Path, expected: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    report = enhance_corpus(str(folder), str(tmp_path / "out"), run=ray_runner(workers))
    assert (report.done, report.kept, report.failed) == (39, 0, 1)
    assert report.audio_s == pytest.approx(13 * (1 + 0.5 + 8000 / 22050))
    assert contents(tmp_path / "out") == expected


def test_the_command(
    folder: Path, expected: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # relative paths are those of this process, not of the workers
    shutil.copytree(folder, "in")
    assert main(["enhance-corpus", "in", "out", "--jobs", "2"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "failed: in/bad.flac: expected an audio file that libsndfile reads: Format not recognised" in lines
    assert lines[-1].startswith("out: 39 done, 0 kept, 1 failed; 0.0067 h of audio in ")
    made = contents(tmp_path / "out")
    assert b'"in/bad.flac"' in made["failed.jsonl"]
    assert made == expected | {"failed.jsonl": made["failed.jsonl"]}
    assert main(["enhance-corpus", "in", "out", "--jobs", "2", "--resume"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("out: 0 done, 39 kept, 1 failed; 0.0000 h")


@pytest.fixture
def slow(folder: Path, tmp_path: Path) -> Path:
    """Six recordings of a minute: long enough to be interrupted."""
    path = tmp_path / "slow"
    path.mkdir()
    minute = np.random.default_rng(0).normal(0, 3000, (48000 * 60, 2)).astype(np.int16)
    for number in range(6):
        soundfile.write(path / f"{number}.wav", minute, 48000)
    return path


def test_a_worker_that_is_killed_loses_and_doubles_nothing(slow: Path, tmp_path: Path) -> None:
    enhance_corpus(str(slow), str(tmp_path / "reference"), run=local_runner(1))
    killed = []

    def kill() -> None:
        while not killed:
            time.sleep(0.01)
            for unfinished in (tmp_path / "out").glob(".?.wav.*.part"):  # its name has the process that writes it
                killed.append(int(unfinished.name.split(".")[3].partition("-")[0]))
                os.kill(killed[0], signal.SIGKILL)
                return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = enhance_corpus(str(slow), str(tmp_path / "out"), run=ray_runner(2))
    killer.join(10)
    assert len(killed) == 1
    assert (report.done + report.kept, report.failed) == (6, 0)
    made = contents(tmp_path / "out")
    leftovers = {name for name in made if f".{killed[0]}-" in name}
    assert len(leftovers) == 1, "the killed worker was in the middle of a file"
    assert {name: made[name] for name in made.keys() - leftovers} == contents(tmp_path / "reference")
    assert enhance_corpus(str(slow), str(tmp_path / "out"), run=ray_runner(1), resume=True).kept == 6
    assert contents(tmp_path / "out") == contents(tmp_path / "reference"), "the leftover is gone"


class _Deadly(runner.EnhanceItems):
    """Ends its process when it meets a certain file, as a crash in a library would."""

    def __call__(self, batch: runner.Rows) -> runner.Rows:
        if any(source.endswith("07.wav") for source in batch["source"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


def test_a_file_that_ends_its_worker_is_given_up_alone(
    folder: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    cluster.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    monkeypatch.setattr(runner, "EnhanceItems", _Deadly)
    monkeypatch.setattr(runner, "_RETRIES", 1)
    monkeypatch.setattr(runner, "_BLOCKS_PER_WORKER", 4)
    report = enhance_corpus(str(folder), str(tmp_path / "out"), run=ray_runner(2))
    assert (report.done + report.kept, report.failed) == (38, 2)
    assert report.problems[0] == (f"{folder}/07.wav", "ended its worker each time")
    made = contents(tmp_path / "out")
    assert made.keys() == expected.keys() - {"07.wav"}
    assert all(made[name] == expected[name] for name in made if name.endswith(".wav"))
