import subprocess
import sys
from importlib.metadata import version

import pytest

from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import GtcrnFrontendError


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"gtcrn-frontend {version('gtcrn-frontend')}"


@pytest.mark.parametrize("arguments", [[], ["sing"], ["enhance"], ["enhance", "a.wav", "-o", "b.wav", "--loud"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage" in capsys.readouterr().err


def test_verbose_shows_the_traceback():
    with pytest.raises(GtcrnFrontendError):
        main(["-v", "enhance", "missing.wav", "-o", "out.wav"])


def test_runs_as_a_module_and_stops_cleanly():
    command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "enhance", "missing.wav", "-o", "out.wav"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("gtcrn-frontend: missing.wav")
    assert "Traceback" not in done.stderr
