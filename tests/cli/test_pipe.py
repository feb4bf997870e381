import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer
from gtcrn_frontend.audio.file_types import is_file
from gtcrn_frontend.audio.pcm import recoded
from gtcrn_frontend.cli.main import main

COMMAND = [sys.executable, "-m", "gtcrn_frontend.cli.main", "enhance"]
RATE = 16000
CHUNK = RATE // 10


@pytest.fixture(scope="module")
def speech(audio_folder):
    return soundfile.read(audio_folder / "speech_a.flac", dtype="int16")[0][: 2 * RATE]


def run(arguments, data=b""):
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=60, check=False)


@contextmanager
def running(arguments):
    """The command as a child that is certainly gone at the end."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            yield process
        finally:
            process.kill()


def read_at_least(process, count):
    """Reads until so many bytes are there; fails instead of waiting for ever."""
    data = b""
    while len(data) < count:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, f"only {len(data)} of {count} bytes"
        piece = os.read(process.stdout.fileno(), 65536)
        assert piece, process.stderr.read()
        data += piece
    return data


def assert_close(out, expected):
    """Chunks are summed in another order: one unit of 16 bits."""
    assert out.shape == expected.shape
    assert np.abs(out.astype(int) - expected.astype(int)).max() <= 1


def test_stdout_is_the_enhanced_stdin_and_nothing_else(speech):
    done = run(["-", "-"], speech.tobytes())
    assert done.returncode == 0
    assert_close(np.frombuffer(done.stdout, "<i2"), Enhancer().enhance(speech))
    assert done.stderr.decode().startswith("stdout: 2.00 s of audio in ")


def test_output_by_option_rate_channels_and_f32le(speech):
    samples = np.stack([speech, speech[::-1]], axis=1).astype(np.float32) / 32768
    options = ["--rate", "48000", "--channels", "2", "--format", "f32le", "--output-rate", "16000"]
    done = run(["-", "-o", "-", *options], samples.astype("<f4").tobytes())
    expected = Enhancer(sample_rate=48000, output_sample_rate=16000, channels=2).enhance(samples)
    out = np.frombuffer(done.stdout, "<f4").reshape(-1, 2)
    np.testing.assert_allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_g711_is_8_khz_unless_told(speech, law):
    codes = recoded(speech.tobytes(), "s16le", law)
    assert run(["-", "-", "--format", law, "--strength", "0"], codes).stdout == codes
    enhancer = Enhancer(sample_rate=8000)
    expected = enhancer.process_bytes(codes, law) + enhancer.flush_bytes(law)
    out = run(["-", "-", "--format", law], codes).stdout
    levels = [np.frombuffer(recoded(data, law, "s16le"), "<i2").astype(int) for data in (out, expected)]
    assert np.mean(levels[0] != levels[1]) < 0.01, "chunks are summed in another order"
    wide = Enhancer(sample_rate=16000)
    out = run(["-", "-", "--format", law, "--rate", "16000"], codes).stdout
    assert len(out) == len(wide.process_bytes(codes, law) + wide.flush_bytes(law))


def test_g711_into_a_file_is_decoded(speech, tmp_path):
    codes = recoded(speech.tobytes(), "s16le", "alaw")
    run(["-", "-o", str(tmp_path / "call.flac"), "--format", "alaw", "--strength", "0"], codes)
    samples, rate = soundfile.read(tmp_path / "call.flac", dtype="int16")
    assert rate == 8000
    assert samples.tobytes() == recoded(codes, "alaw", "s16le")


def test_downmix_gives_mono(speech):
    stereo = np.stack([speech, speech], axis=1)
    done = run(["-", "-", "--channels", "2", "--downmix"], stereo.tobytes())
    assert_close(np.frombuffer(done.stdout, "<i2"), Enhancer().enhance(speech))


def test_every_chunk_is_answered_before_the_next_comes(speech):
    """Live use: after each 100 ms, all samples older than the latency come out, with stdin still open."""
    with running(["-", "-"]) as process:
        out = b""
        for fed in range(CHUNK, len(speech) + 1, CHUNK):
            process.stdin.write(speech[fed - CHUNK : fed].tobytes())
            out += read_at_least(process, 2 * (fed - Enhancer().lag_samples) - len(out))
        process.stdin.close()
        out += process.stdout.read()
        assert process.wait(60) == 0
    assert_close(np.frombuffer(out, "<i2"), Enhancer().enhance(speech))


def test_pieces_may_end_within_a_sample(speech):
    data = speech.tobytes()
    with running(["-", "-"]) as process:
        for start, end in ((0, 1), (1, 2002), (2002, 5001), (5001, len(data))):
            process.stdin.write(data[start:end])
            time.sleep(0.05)  # likely, though not certainly, a read of its own
        out, _ = process.communicate()
    assert_close(np.frombuffer(out, "<i2"), Enhancer().enhance(speech))


def test_an_incomplete_sample_at_the_end_is_left_out_with_a_warning(speech):
    done = run(["-", "-"], speech.tobytes() + b"\x01")
    assert done.returncode == 0
    assert len(done.stdout) == speech.nbytes
    assert "1 bytes at the end" in done.stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_flushes_the_tail(speech, number):
    with running(["-", "-"]) as process:
        process.stdin.write(speech.tobytes())
        out = read_at_least(process, 2 * (len(speech) - Enhancer().lag_samples))
        assert len(out) < speech.nbytes
        process.send_signal(number)
        rest, error = process.communicate(timeout=60)
        assert process.returncode == 0
    assert_close(np.frombuffer(out + rest, "<i2"), Enhancer().enhance(speech))
    assert error.decode().startswith("stdout: 2.00 s of audio")


def test_the_second_signal_ends_the_process(speech):
    """Where nobody reads the answer, the process hangs in a write and cannot finish after the first."""
    with running(["-", "-"]) as process:
        process.stdin.write(speech.tobytes())
        read_at_least(process, 1)
        while select.select([], [process.stdin], [], 1)[1]:  # until all pipes are full
            os.write(process.stdin.fileno(), bytes(4096))
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_a_reader_that_goes_away_ends_it_quietly(speech):
    with running(["-", "-"]) as process:
        process.stdin.write(speech.tobytes())
        read_at_least(process, 1)
        process.stdout.close()
        with pytest.raises(BrokenPipeError):
            for _ in range(1000):
                process.stdin.write(speech.tobytes())
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1000.0])
def test_what_is_no_audio_ends_it_after_all_that_was_good(speech, bad):
    samples = speech.astype("<f4") / 32768
    samples[20000] = bad
    done = run(["-", "-", "--format", "f32le"], samples.tobytes())
    assert done.returncode == 1
    np.testing.assert_allclose(np.frombuffer(done.stdout, "<f4"), Enhancer().enhance(samples[:20000]), atol=1e-6)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("gtcrn-frontend: stdin: stopped after 1.250 s: expected")


@pytest.mark.parametrize("name", ["in.wav", "in.flac", "in.ogg", "in.aiff", "in.au"])
def test_a_file_where_raw_pcm_is_expected_is_refused(tmp_path, speech, name):
    soundfile.write(tmp_path / name, speech, RATE)
    done = run(["-", "-"], (tmp_path / name).read_bytes())
    assert (done.returncode, done.stdout) == (1, b"")
    assert "raw PCM" in done.stderr.decode()


def test_from_a_pipe_to_a_file(tmp_path, speech):
    out = tmp_path / "out.wav"
    assert run(["-", "-o", str(out)], speech.tobytes()).returncode == 0
    assert_close(soundfile.read(out, dtype="int16")[0], Enhancer().enhance(speech))
    assert soundfile.info(out).subtype == "PCM_16"
    assert "--force" in run(["-", "-o", str(out)], speech.tobytes()).stderr.decode()
    assert run(["-", "-o", str(out), "--force", "--format", "f32le"], bytes(400)).returncode == 0
    assert (soundfile.info(out).subtype, soundfile.info(out).frames) == ("FLOAT", 100)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
@pytest.mark.parametrize("pcm_format", ["s16le", "f32le"])
def test_from_a_file_to_a_pipe(tmp_path, speech, subtype, pcm_format):
    soundfile.write(tmp_path / "in.wav", speech / 32768, RATE, subtype=subtype)
    done = run([str(tmp_path / "in.wav"), "-", "--format", pcm_format])
    out = np.frombuffer(done.stdout, "<i2") if pcm_format == "s16le" else 32768 * np.frombuffer(done.stdout, "<f4")
    np.testing.assert_allclose(out, Enhancer().enhance(speech), atol=1)


def test_silence_of_no_length():
    done = run(["-", "-"])
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [["-"], ["-", "a.wav", "-o", "-"], ["-", "-", "--resume"], ["-", "-", "--plot", "a.png"]]
)
def test_what_does_not_go_with_a_pipe_is_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", *arguments])
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--rate", "16000"], ["--channels", "2"], ["--format", "f32le"], ["--segment-latency-ms", "2000"]]
)
@pytest.mark.parametrize("output", ["out.wav", "-"])
def test_files_need_no_words_on_what_they_hold(tmp_path, option, output):
    arguments = ["enhance", str(tmp_path / "in.wav"), output, *option]
    if output == "-" and option[0] == "--format":
        assert main(arguments) == 1  # right, but for the missing file
    else:
        with pytest.raises(SystemExit, match="2"):
            main(arguments)


def test_a_terminal_is_no_place_for_samples(tmp_path):
    pty = pytest.importorskip("pty", reason="no terminals on this platform")
    ours, theirs = pty.openpty()
    for arguments, streams in ((["-", str(tmp_path / "o.wav")], {"stdin": theirs}), (["-", "-"], {"stdout": theirs})):
        filled = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | streams
        done = subprocess.run([*COMMAND, *arguments], stderr=subprocess.PIPE, timeout=60, check=False, **filled)
        assert done.returncode == 1
        assert b"terminal" in done.stderr
    os.close(ours)
    os.close(theirs)
    assert not list(tmp_path.iterdir())


def test_a_lost_terminal_keeps_the_recording(tmp_path, speech):
    path = tmp_path / "live.wav"
    with running(["-", "-o", str(path)]) as process:
        process.stdin.write(speech.tobytes())
        process.stdin.flush()
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        time.sleep(0.3)  # what is not read by now is not part of it
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["live.wav"]
    assert 0 < soundfile.info(path).frames <= len(speech)


@pytest.mark.parametrize("suffix", ["mp3", "w64", "caf"])
def test_files_of_any_kind_are_no_raw_pcm(tmp_path, speech, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", speech, RATE)
    done = run(["-", "-"], (tmp_path / f"a.{suffix}").read_bytes())
    assert done.returncode == 1
    assert b"expected raw PCM on stdin" in done.stderr


def test_m4a_on_stdin_is_named():
    done = run(["-", "-"], b"\x00\x00\x00\x20ftypM4A " + bytes(40_000))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"MP4" in done.stderr
    assert b"ffmpeg" in done.stderr


def test_any_samples_are_raw_pcm():
    """Noise of full scale is not taken for a file."""
    generator = np.random.default_rng(0)
    for _ in range(2000):
        assert not is_file(generator.bytes(4096))


def test_a_file_through_stdin(tmp_path, speech):
    soundfile.write(tmp_path / "a.flac", speech, RATE)
    done = run(["/dev/stdin", "-o", str(tmp_path / "b.wav")], (tmp_path / "a.flac").read_bytes())
    assert done.returncode == 0, done.stderr
    assert_close(soundfile.read(tmp_path / "b.wav", dtype="int16")[0], Enhancer().enhance(speech))
