import re

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer
from gtcrn_frontend.cli.main import main


@pytest.fixture
def noisy(audio_folder):
    return audio_folder / "speech_a.flac"


def test_enhances_a_file_and_says_so_on_the_last_line(noisy, tmp_path, capsys):
    out = tmp_path / "out.flac"
    assert main(["enhance", str(noisy), "-o", str(out)]) == 0
    samples = soundfile.read(noisy, dtype="int16")[0]
    np.testing.assert_array_equal(soundfile.read(out, dtype="int16")[0], Enhancer().enhance(samples))
    captured = capsys.readouterr()
    assert captured.out == ""
    duration, engine = f"{len(samples) / 16000:.2f}", Enhancer().engine
    assert re.search(rf"{duration} s of audio in .* s, RTF \d+\.\d+, engine {engine}$", captured.err.splitlines()[-1])


def test_settings_reach_the_enhancer(noisy, tmp_path):
    out = tmp_path / "out.wav"
    assert main(["enhance", str(noisy), "-o", str(out), "--strength", "0", "--engine", "torch"]) == 0
    np.testing.assert_array_equal(*(soundfile.read(path, dtype="int16")[0] for path in (noisy, out)))


def test_an_existing_output_needs_force(noisy, tmp_path, capsys):
    out = tmp_path / "out.wav"
    out.write_bytes(b"mine")
    assert main(["enhance", str(noisy), "-o", str(out)]) == 1
    assert "--force" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert main(["enhance", str(noisy), "-o", str(out), "--force"]) == 0
    assert soundfile.info(out).frames == soundfile.info(noisy).frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wav"], "missing.wav"),
        (["{noisy}", "--strength", "2"], "strength"),
        (["{noisy}", "--model", "gtcrn-xyz"], "gtcrn-xyz"),
        (["{noisy}", "--engine", "warp"], "warp"),
        (["{noisy}", "--strength", "0.5", "--max-attenuation-db", "10"], "one setting in two units"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(noisy, tmp_path, capsys, arguments, message):
    filled = [argument.format(noisy=noisy) for argument in arguments]
    assert main(["enhance", *filled, "-o", str(tmp_path / "out.wav")]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_o_an_existing_last_path_might_be_an_input(noisy, tmp_path, capsys):
    for name in ("a.flac", "b.flac"):
        (tmp_path / name).write_bytes(noisy.read_bytes())
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", str(tmp_path / "a.flac"), str(tmp_path / "b.flac"), "--force"])
    assert "-o" in capsys.readouterr().err
    assert (tmp_path / "b.flac").read_bytes() == noisy.read_bytes()


def test_a_guard_that_is_off_takes_no_parameters(noisy, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", str(noisy), "-o", str(tmp_path / "out.wav"), "--auto-strength", "min_strength=0.6"])
    assert "expected --strength auto with --auto-strength" in capsys.readouterr().err


def test_a_name_of_a_file_does_not_become_a_folder(noisy, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.flac").write_bytes(noisy.read_bytes())
    assert main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out.wav")]) == 1
    assert "out.wav/" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()
