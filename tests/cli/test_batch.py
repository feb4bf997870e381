import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.cli import _batch
from gtcrn_frontend.cli._batch import Existing, enhance_tasks
from gtcrn_frontend.cli._file_plan import Task
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.install_hint import install_hint

COMMAND = [sys.executable, "-m", "gtcrn_frontend.cli.main", "enhance"]


@pytest.fixture(scope="module")
def speech(audio_folder):
    return soundfile.read(audio_folder / "speech_a.flac", dtype="int16")[0][:16000]


@pytest.fixture
def corpus(tmp_path, speech):
    """Three good files at different rates, and one that is no audio."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "a.wav", speech, 16000)
    soundfile.write(folder / "b.flac", np.stack([speech, speech], axis=1), 48000)
    soundfile.write(folder / "deep/c.wav", speech[:8000], 8000)
    (folder / "deep/bad.wav").write_text("no audio")
    return folder


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_bad_file_is_reported_and_left_out(corpus, tmp_path, speech, capsys, jobs):
    out = tmp_path / "out"
    assert main(["enhance", str(corpus), "-o", str(out), "-r", "--jobs", jobs]) == 1
    assert files(out) == ["a.wav", "b.flac", "deep/c.wav"]
    np.testing.assert_array_equal(soundfile.read(out / "a.wav", dtype="int16")[0], Enhancer().enhance(speech))
    assert soundfile.info(out / "b.flac").channels == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    failed, summary = captured.err.splitlines()
    assert failed.startswith(f"failed: {corpus / 'deep/bad.wav'}: expected")
    audio_s, engine = 1 + 1 / 3 + 1, Enhancer().engine
    pattern = rf"{out}: 3 done, 0 skipped, 1 failed; {audio_s:.2f} s of audio in .* s, RTF \d+\.\d+, engine {engine}"
    assert re.fullmatch(pattern, summary)


def test_all_good_is_exit_code_0(corpus, tmp_path, capsys):
    assert main(["enhance", str(corpus), str(tmp_path / "out")]) == 0  # without -o, without -r
    assert files(tmp_path / "out") == ["a.wav", "b.flac"]
    assert "2 done, 0 skipped, 0 failed" in capsys.readouterr().err


def test_several_files_into_a_new_folder(corpus, tmp_path):
    inputs = [str(corpus / "a.wav"), str(corpus / "deep/c.wav")]
    assert main(["enhance", *inputs, "-o", f"{tmp_path}/out/"]) == 0
    assert files(tmp_path / "out") == ["a.wav", "c.wav"]


def test_existing_outputs_fail_or_are_kept_or_replaced(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.wav").write_text("mine")
    (out / ".b.flac.999999999-0123abcd.part").write_text("left by a killed run")
    arguments = ["enhance", str(corpus), "-o", str(out)]

    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "--force" in error
    assert "--resume" in error
    assert "1 done, 0 skipped, 1 failed" in error
    assert (out / "a.wav").read_text() == "mine"

    (out / "b.flac").unlink()
    assert main([*arguments, "--resume"]) == 0
    assert "1 done, 1 skipped, 0 failed" in capsys.readouterr().err
    assert (out / "a.wav").read_text() == "mine"
    assert files(out) == ["a.wav", "b.flac"]

    assert main([*arguments, "--force"]) == 0
    assert soundfile.info(out / "a.wav").frames == soundfile.info(corpus / "a.wav").frames


def test_resume_cannot_work_in_place(corpus, capsys):
    before = (corpus / "a.wav").read_bytes()
    assert main(["enhance", str(corpus), str(corpus), "--resume"]) == 1
    assert "a.wav is input and output" in capsys.readouterr().err
    assert main(["enhance", str(corpus), str(corpus), "--force"]) == 0
    assert (corpus / "a.wav").read_bytes() != before


@pytest.mark.parametrize("setting", [["--strength", "2"], ["--engine", "warp"], ["--output-rate", "100"]])
def test_a_wrong_setting_is_one_error_not_one_for_each_file(corpus, tmp_path, capsys, setting):
    assert main(["enhance", str(corpus), str(tmp_path / "out"), *setting]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_rate_out_of_range_names_the_file(corpus, tmp_path, speech, capsys):
    soundfile.write(corpus / "slow.wav", speech, 4000)
    assert main(["enhance", str(corpus), str(tmp_path / "out")]) == 1
    assert f"failed: {corpus / 'slow.wav'}: " in capsys.readouterr().err
    assert files(tmp_path / "out") == ["a.wav", "b.flac"]


def test_an_unwritable_place_is_one_failure(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").write_text("a file where a folder has to be")
    assert main(["enhance", str(corpus), "-o", str(out), "-r"]) == 1
    assert "2 done, 0 skipped, 2 failed" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_breaks_ends_the_run_and_does_not_hang(corpus, tmp_path, monkeypatch, jobs):
    tasks = [Task(corpus / "a.wav", tmp_path / f"out{number}.wav") for number in range(50)]

    def broken(source, output, enhancer, progress):
        if output.name == "out3.wav":
            raise RuntimeError("a mistake of ours")
        progress(100)
        time.sleep(0.01)
        progress(100)

    monkeypatch.setattr(_batch, "write_enhanced_audio", broken)
    with pytest.raises(RuntimeError, match="of ours"):
        enhance_tasks(tasks, EnhancerConfig(), Existing(), jobs=jobs)


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def long_run(tmp_path, speech):
    """A run that has finished a.wav and is at work on b.wav, which takes some seconds."""
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", speech, 16000)
    soundfile.write(tmp_path / "in/b.wav", np.tile(speech, 1000), 16000)
    command = [*COMMAND, str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: any(p.stat().st_size > 44 for p in tmp_path.glob("out/.b.wav.*.part")), process)
        yield process
        process.kill()


def test_a_killed_run_leaves_no_half_file_and_resumes(tmp_path, speech, long_run, capsys):
    long_run.kill()
    long_run.wait()
    done, leftover = reversed(files(tmp_path / "out"))
    assert done == "a.wav"
    assert re.fullmatch(r"\.b\.wav\.\d+-\w{8}\.part", leftover)
    soundfile.write(tmp_path / "in/b.wav", speech, 16000)  # so that the test is quick
    assert main(["enhance", str(tmp_path / "in"), str(tmp_path / "out"), "--resume"]) == 0
    assert "1 done, 1 skipped" in capsys.readouterr().err
    assert files(tmp_path / "out") == ["a.wav", "b.wav"]
    assert soundfile.info(tmp_path / "out/b.wav").frames == len(speech)


def test_ctrl_c_ends_at_once_and_cleans_up(tmp_path, long_run):
    long_run.send_signal(signal.SIGINT)
    _, error = long_run.communicate(timeout=30)
    assert long_run.returncode == 130
    assert error.strip() == "gtcrn-frontend: interrupted"
    assert files(tmp_path / "out") == ["a.wav"]


def test_a_terminal_shows_progress_over_seconds_of_audio(tmp_path, speech):
    pty = pytest.importorskip("pty", reason="no terminals on this platform")
    termios = pytest.importorskip("termios")
    soundfile.write(tmp_path / "a.wav", np.tile(speech, 20), 16000)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [*COMMAND, str(tmp_path / "a.wav"), str(tmp_path / "out.wav")]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            shown += piece
        assert process.stdout.read() == b""
    os.close(ours)
    assert re.search(rb"of 20 s of audio, \d\d:\d\d elapsed, [\d:?]+ left", shown)
    assert b"20.00 s of audio in" in shown


def test_what_only_pyav_decodes_is_counted_where_it_is_missing(corpus, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "av", None)
    (corpus / "talk.m4a").write_bytes(b"\x00\x00\x00\x20ftypM4A ")
    assert main(["enhance", str(corpus), "-o", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == ["a.wav", "b.flac"]
    assert "1 files left out that libsndfile cannot decode: convert them, ffmpeg -i" in caplog.text
    assert install_hint("av") in caplog.text


def test_names_that_are_not_utf_8_and_foreign_formats_do_not_end_a_batch(corpus, tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    (corpus / "a.wav").rename(corpus / name)
    (corpus / os.fsdecode(b"bad\xe9.wav")).write_text("no audio")
    (corpus / "talk.m4a").write_bytes(b"\x00\x00\x00\x20ftypM4A ")
    done = subprocess.run([*COMMAND, corpus, "-o", tmp_path / "out"], capture_output=True, check=False)
    assert done.returncode == 1
    assert files(tmp_path / "out") == ["b.flac", name]
    assert b"talk.m4a: damaged or truncated audio file" in done.stderr
    assert b"2 done, 0 skipped, 2 failed" in done.stderr
    assert b"Traceback" not in done.stderr
