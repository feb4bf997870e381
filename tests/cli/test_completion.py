"""Completion scripts, run by the real shell where there is one."""

import shutil
import subprocess
import sys

import pytest

from gtcrn_frontend.cli.main import main
from gtcrn_frontend.install_hint import install_hint


def script_of(shell, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--print-completion", shell])
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_there_is_a_script_for_each_shell(shell, capsys):
    script = script_of(shell, capsys)
    assert "gtcrn-frontend" in script
    assert "max-attenuation-db" in script


COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p gtcrn-frontend | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["enh"], ["enhance", "enhance-corpus"]),
        (["trans"], ["transcribe"]),
        (["enhance", "--max-att"], ["--max-attenuation-db"]),
        (["transcribe", "--as", "v"], ["vtt"]),
        (["models", "ver"], ["verify"]),
        (["enhance", "noi"], ["noisy.wav"]),
        (["calibrate", "--noise", "fol"], ["folder"]),
        (["enhance", "--config", "front"], ["frontend.yaml"]),
    ],
)
def test_bash_completes(words, expected, capsys, tmp_path):
    (tmp_path / "script").write_text(script_of("bash", capsys))
    (tmp_path / "folder").mkdir()
    for name in ("noisy.wav", "frontend.yaml"):
        (tmp_path / name).write_bytes(b"")
    command = ["bash", "-c", COMPLETE, "bash", "./script", "gtcrn-frontend", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.rstrip("/") for line in done.stdout.split()] == expected, done.stderr


def test_another_shell_is_wrong_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--print-completion", "fish"])
    assert "expected one of bash, zsh, tcsh, got 'fish'" in capsys.readouterr().err


def test_without_shtab_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    assert install_hint("completion") in capsys.readouterr().err
