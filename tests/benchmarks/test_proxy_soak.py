"""The soak as a command, for two seconds: it ends in counts, and nothing is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def soak(*arguments):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, ROOT / "benchmarks" / "proxy_soak.py", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_it_ends_in_counts(tmp_path):
    file = tmp_path / "soak.json"
    done = soak("--seconds", 2, "--clients", 6, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(file.read_text())["counts"]
    assert counts["samples sent in complete utterances"] == counts["samples answered for"] > 0
    assert counts["clients that failed"] == 0
    assert "file descriptors before and after" in done.stdout


def test_it_has_bounds():
    done = soak("--seconds", 1e9)
    assert done.returncode == 2
    assert "expected at most 3600 seconds" in done.stderr
