import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.adapters.commands import CommandRecognizer, FunctionRecognizer
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.recognizer import Transcript

SAMPLES = np.array([0.5, -0.25, 2.0], np.float32)

FUNCTIONS = """
from gtcrn_frontend.evaluation.asr.recognizer import Transcript

def count(samples, sample_rate):
    return f" {len(samples)}   samples at {sample_rate} "

def whole(samples, sample_rate):
    return Transcript("x", ("x",), 0.5)

def wrong(samples, sample_rate):
    return 3

class Model:
    transcribe = staticmethod(count)

model = Model()
number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "functions_of_test.py").write_text(FUNCTIONS)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda name: FunctionRecognizer(f"functions_of_test:{name}", str(tmp_path))
    sys.modules.pop("functions_of_test", None)


def test_a_function_is_a_recogniser(module) -> None:
    assert module("count")(SAMPLES, 8000) == Transcript("3 samples at 8000")
    assert module("model.transcribe")(SAMPLES, 8000).text == "3 samples at 8000"
    assert module("whole")(SAMPLES, 8000) == Transcript("x", ("x",), 0.5)


def test_what_is_no_function_is_refused(module) -> None:
    with pytest.raises(ConfigError, match="no attribute 'nothing'"):
        module("nothing")
    with pytest.raises(ConfigError, match="is a int"):
        module("number")
    with pytest.raises(ConfigError, match="no_such_module"):
        FunctionRecognizer("no_such_module:f")
    with pytest.raises(ModelError, match="expected text from functions_of_test:wrong, got int"):
        module("wrong")(SAMPLES, 8000)


def command(code: str) -> CommandRecognizer:
    return CommandRecognizer(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {{}}")


def test_a_command_reads_a_wave_file_and_its_output_is_the_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import sys, wave; f = wave.open(sys.argv[1]); print(f.getnchannels(), f.getframerate(), f.getsampwidth());"
        "import array; print(*array.array('h', f.readframes(9))); print('heard', file=sys.stderr)"
    )
    assert command(code)(SAMPLES, 8000).text == "1 8000 2 16384 -8192 32767"
    assert not list(tmp_path.iterdir())


def test_a_command_may_be_a_pipe_and_runs_in_its_folder(tmp_path: Path) -> None:
    assert (
        CommandRecognizer("pwd; cat {} | head -c 4", str(tmp_path))(SAMPLES, 8000).text
        == f"{os.path.realpath(tmp_path)} RIFF"
    )


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="exit code 3: no model"):
        command("import sys; print('no model', file=sys.stderr); sys.exit(3)")(SAMPLES, 8000)
    with pytest.raises(ModelError, match="expected text in UTF-8"):
        command("import sys; sys.stdout.buffer.write(bytes([255, 254]))")(SAMPLES, 8000)
    with pytest.raises(ConfigError, match="in place of the WAV file"):
        CommandRecognizer("asr file.wav")
