"""Work on a cluster: `evaluate` and `calibrate` give the same there, and what misbehaves costs one result."""

import json
import operator
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters.ray import RayPool
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.worker_pool import Failure, Work, WorkerPool

pytestmark = pytest.mark.usefixtures("cluster")

APPLY = partial(operator.itemgetter(0), [map])  # returns the handler: the payload, a function, of each step


def test_what_misbehaves_costs_one_result_and_all_else_is_done() -> None:
    works = [
        Work(int, ("1", "x", "3"), 60),
        Work(os._exit, (7,), 60),
        Work(time.sleep, (0.01, 600), 2),
        Work(abs, (), 60),
        *(Work(abs, (-i,), 60) for i in range(5)),
    ]
    found = {}
    for make_pool in (RayPool, WorkerPool):
        with make_pool(APPLY, 2) as pool:
            found[make_pool] = {(str(work.payload), step): result for work, step, result in pool.run(works)}
            assert [result for _, _, result in pool.run([Work(abs, (-9,), 60)])] == [9]
    assert found[RayPool] == found[WorkerPool]
    assert found[RayPool][str(os._exit), 7] == Failure("ended its process (exit code 7)")
    assert found[RayPool][str(time.sleep), 600] == Failure("took longer than 2 s: it was stopped")


def test_a_handler_that_cannot_be_made_ends_all_work() -> None:
    with pytest.raises(ModelError, match="the metric cannot be loaded: ValueError: invalid literal"):
        list(RayPool(partial(int, "no number"), 2, "the metric").run([Work(abs, (1,), 60)] * 3))


@pytest.fixture
def folder(tmp_path: Path, audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: six recordings and their manifest, noise, and a recogniser that counts loud frames."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GTCRN_FRONTEND_CACHE", str(tmp_path / "cache"))
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0]
    for number in range(6):
        soundfile.write(f"{number}.wav", speech[1000 * number : 1000 * number + 16000], 16000)
    lines = [json.dumps({"audio": f"{number}.wav", "text": "one two three"}) for number in range(6)]
    Path("test.jsonl").write_text("\n".join(lines))
    Path("noise").mkdir()
    soundfile.write("noise/white.wav", np.random.default_rng(0).normal(0, 0.05, 16000), 16000)
    Path("asr_on_ray.py").write_text(
        "def recognise(samples, rate):\n"
        "    loud = sum(float(abs(samples[i : i + 160]).max()) > 0.03 for i in range(0, len(samples), 160))\n"
        "    return ' '.join(['one', 'two', 'three', 'four', 'five'][: 1 + loud % 5])\n"
    )
    return tmp_path


def test_calibrate_and_evaluate_print_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recognizer = ["--recognizer", "asr_on_ray:recognise"]
    calibrate = ["calibrate", *recognizer, "--manifest", "test.jsonl", "--noise", "noise", "--snr", "clean,5"]
    calibrate += ["--strengths", "0.5,1", "--noise-only", "0"]
    evaluate = ["evaluate", *recognizer, "--manifest", "test.jsonl", "--noise", "noise", "--snr", "5"]
    evaluate += ["--metrics", "si-snr", "stoi"]
    for command in (calibrate, evaluate):
        printed = {}
        for where in ([], ["--ray"]):
            assert main([*command, "--jobs", "2", "--no-cache", *where]) == 0
            printed[bool(where)] = capsys.readouterr().out
        assert printed[True] == printed[False]
        assert "gtcrn-asr" in printed[True]


def test_results_are_kept_in_the_cache_of_the_caller(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", "--recognizer", "asr_on_ray:recognise", "--manifest", "test.jsonl", "--noise", "noise"]
    command += ["--snr", "5", "--strengths", "1", "--noise-only", "0", "--cache", "results"]
    assert main([*command, "--ray"]) == 0
    assert "12 recognised, 0 from the cache" in capsys.readouterr().err
    assert main(command) == 0
    assert "0 recognised, 12 from the cache" in capsys.readouterr().err
