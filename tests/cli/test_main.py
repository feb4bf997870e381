import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from gtcrn_frontend.cli import models
from gtcrn_frontend.cli.main import EXIT_TERMINATED, main
from gtcrn_frontend.errors import GtcrnFrontendError
from gtcrn_frontend.install_hint import install_hint


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


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m gtcrn_frontend.cli.main models list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_training_without_torch_says_what_to_install():
    # In a process of its own: modules that are imported twice here would leave other tests with the older ones.
    program = "import sys; sys.modules['torch'] = None; from gtcrn_frontend.cli.main import main"
    program += "; sys.exit(main(['train', 'config.yaml']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert install_hint("train") in done.stderr


def test_a_program_that_calls_it_finds_its_own_signal_handlers_again(monkeypatch, capsys):
    def own(number, frame):
        raise AssertionError

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, own) for number in numbers]
    try:
        for arguments in (["models", "list"], ["enhance", "missing.wav", "-o", "out.wav"]):
            main(arguments)
            assert [signal.getsignal(number) for number in numbers] == [own, own]

        def interrupted(args):
            assert signal.getsignal(signal.SIGTERM) is not own
            signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(models, "_list", interrupted)
        with pytest.raises(SystemExit, match=str(EXIT_TERMINATED)):
            main(["models", "list"])
        assert [signal.getsignal(number) for number in numbers] == [own, own]
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
