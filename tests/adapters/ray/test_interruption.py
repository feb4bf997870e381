"""The command on Ray, ended from outside."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.cli.main import main

COMMAND = [sys.executable, "-m", "gtcrn_frontend.cli.main", "enhance-corpus", "in", "out", "--jobs", "2"]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_resume_continues_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, exit_code: int
) -> None:
    (tmp_path / "in").mkdir()
    minutes = np.random.default_rng(0).normal(0, 3000, (48000 * 180, 2)).astype(np.int16)
    for name in range(12):
        soundfile.write(tmp_path / "in" / f"{name:02}.wav", minutes, 48000)
    process = subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (done := list(tmp_path.glob("out/*.wav"))):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == exit_code, error
    assert 1 <= len(done) < 12
    for path in sorted((tmp_path / "in").iterdir())[4:]:  # the rest need not be done here
        path.unlink()
    monkeypatch.chdir(tmp_path)
    assert main(["enhance-corpus", "in", "out", "--local", "--jobs", "2", "--resume"]) == 0
    assert {f"{name:02}.wav" for name in range(4)} <= {path.name for path in (tmp_path / "out").iterdir()}
