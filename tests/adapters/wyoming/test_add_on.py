"""The container for Home Assistant: its manifest, and the program that it runs. Docker is not needed."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from gtcrn_frontend.adapters.wyoming.proxy import PORT

FOLDER = Path(__file__).parents[3] / "examples" / "home_assistant"


def test_the_manifest_has_what_the_supervisor_needs_and_options_that_its_schema_allows():
    manifest = yaml.safe_load((FOLDER / "config.yaml").read_text(encoding="utf-8"))
    assert {"name", "version", "slug", "description", "arch"} <= set(manifest)
    assert manifest["version"] == version("gtcrn-frontend")
    assert manifest["options"].keys() == manifest["schema"].keys() == {"upstream", "strength"}
    assert manifest["ports"] == {f"{PORT}/tcp": PORT}


def test_the_dockerfile_copies_files_that_exist():
    root = FOLDER.parents[1]
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert copied
    assert all((root / name).exists() for name in copied)


def start(environ):
    program = Path(sys.executable).parent
    environ = {
        **os.environ,
        "PATH": f"{program}{os.pathsep}{os.environ['PATH']}",
        "URI": "tcp://127.0.0.1:0",
        **environ,
    }
    return subprocess.Popen([sys.executable, str(FOLDER / "run.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environ)  # fmt: skip


@pytest.mark.parametrize("by", ["options", "environment"])
def test_the_program_starts_the_proxy(by, tmp_path):
    options = tmp_path / "options.json"
    environ = {"OPTIONS_FILE": str(options), "UPSTREAM": "tcp://127.0.0.1:2"}
    if by == "options":
        options.write_text(json.dumps({"upstream": "tcp://127.0.0.1:1", "strength": 0.5}), encoding="utf-8")
    with start(environ) as process:
        try:
            line = process.stdout.readline()
        finally:
            process.terminate()
    assert line.startswith("listening on tcp://127.0.0.1:")
    assert line.strip().endswith("for tcp://127.0.0.1:1" if by == "options" else "for tcp://127.0.0.1:2")


def test_without_a_service_it_says_what_is_missing(tmp_path):
    with start({"OPTIONS_FILE": str(tmp_path / "none"), "UPSTREAM": ""}) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "set UPSTREAM=tcp://HOST:PORT" in error
