"""The command `transcribe`, with the real sherpa-onnx and tiny models that tell tones apart."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from gtcrn_frontend.cli import _transcribe_live
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.install_hint import install_hint

COMMAND = [sys.executable, "-m", "gtcrn_frontend.cli.main", "transcribe"]
RATE = 16000
TINY = runpy.run_path(str(Path(__file__).parents[1] / "adapters/sherpa/conftest.py"))
UTTERANCE = ["low", "mid", None, None, None, "high", None]  # 0.4 s each: 2.8 s
FINALS = ["low mid", "high"]


def tones(names, rate=RATE):
    time_s = np.arange(int(0.4 * rate)) / rate
    parts = [0.3 * np.sin(2 * np.pi * TINY["TONES_HZ"].get(name, 0) * time_s) for name in names]
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pipelines `online.yaml` and `offline.yaml`, and some audio."""
    folder = tmp_path_factory.mktemp("transcribe")
    TINY["save"](folder / "online.onnx", TINY["ONLINE_CTC"], TINY["ONLINE_CTC_METADATA"])
    TINY["save"](folder / "offline.onnx", TINY["OFFLINE_CTC"])
    TINY["save"](folder / "vad.onnx", TINY["VAD_4"])
    (folder / "tokens.txt").write_text(TINY["TOKENS"], encoding="utf-8")
    common = {"tokens": "tokens.txt", "feature_dim": 40, "num_threads": 1}
    online = {"factory": "OnlineRecognizer.from_zipformer2_ctc", "model": "online.onnx", **common}
    offline = {"factory": "OfflineRecognizer.from_zipformer_ctc", "model": "offline.onnx", **common}
    vad = {"silero_vad": {"model": "vad.onnx", "min_silence_duration": 0.3}}
    pipelines = {
        "online": {"frontend": {"strength": 0}, "recognizer": online, "endpoint": {"rule2_min_trailing_silence": 0.4}},
        "offline": {"frontend": {"strength": 0}, "recognizer": offline},
        "vad": {"frontend": {"strength": 0}, "recognizer": offline, "vad": vad},
        "enhanced": {"frontend": True, "recognizer": online},
        "wrong": {"recognizer": {**online, "tokens": "nothing.txt"}},
    }
    for name, sections in pipelines.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    soundfile.write(folder / "a.wav", tones(UTTERANCE), RATE)
    soundfile.write(folder / "b.flac", np.stack([tones(["mid", "low", None], 48000)] * 2, axis=1), 48000)
    soundfile.write(folder / "long.flac", tones([*UTTERANCE, None, None] * 4), RATE)  # more than a block
    soundfile.write(folder / "silence.wav", np.zeros(8000), RATE)
    soundfile.write(folder / "nan.wav", np.append(tones(["low"]), np.float32(np.nan)), RATE, subtype="FLOAT")
    (folder / "bad.wav").write_bytes(b"no audio")
    return folder


@pytest.fixture
def transcribe(folder, capsys, monkeypatch):
    """A function: arguments -> exit code, lines of stdout, stderr."""
    monkeypatch.chdir(folder)

    def run(*arguments, config="online"):
        code = main(["transcribe", "--config", f"{config}.yaml", *arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return run


def run_child(folder, arguments, data=b"", config="online"):
    command = [*COMMAND, "--config", str(folder / f"{config}.yaml"), *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)


def pcm(samples):
    return np.rint(samples * 32767).astype("<i2").tobytes()


def text_of(line):
    return re.fullmatch(r"\s*\d+\.\d\d -\s+\d+\.\d\d  (?:   |\.\.\.) (.*)", line)[1]


def test_partial_and_final_results_with_times(transcribe):
    code, lines, error = transcribe("a.wav")
    assert code == 0
    assert lines == [
        "   0.00 -    0.24  ... low",
        "   0.00 -    0.64  ... low mid",
        "   0.00 -    0.64      low mid",
        "   2.00 -    2.24  ... high",
        "   2.00 -    2.24      high",
    ]
    assert re.fullmatch(r"1 done, 0 failed; 2\.80 s of audio in \d+\.\d\d s, RTF \d\.\d{4}\n", error)


def test_final_results_only(transcribe):
    assert [text_of(line) for line in transcribe("a.wav", "--final")[1]] == FINALS


def test_a_file_of_many_blocks(transcribe):
    code, lines, _ = transcribe("long.flac", "--final")
    assert code == 0
    assert [text_of(line) for line in lines] == FINALS * 4


def test_json_lines(transcribe):
    code, lines, _ = transcribe("a.wav", "--as", "json")
    results = [json.loads(line) for line in lines]
    assert code == 0
    assert [(result["text"], result["is_final"]) for result in results] == [
        ("low", False),
        ("low mid", False),
        ("low mid", True),
        ("high", False),
        ("high", True),
    ]
    assert results[2] == {
        "file": "a.wav",
        "index": 0,
        "text": "low mid",
        "start_s": 0.0,
        "end_s": 0.64,
        "tokens": [" low", " mid"],
        "timestamps": [0.0, 0.4],
        "confidence": None,
        "is_final": True,
    }


def test_subtitles(transcribe):
    code, lines, _ = transcribe("a.wav", "--as", "srt")
    assert code == 0
    assert lines == [
        *("1", "00:00:00,000 --> 00:00:00,640", "low mid", ""),
        *("2", "00:00:02,000 --> 00:00:02,240", "high", ""),
    ]


@pytest.mark.parametrize("jobs", ["1", "2", "8"])
def test_several_files_in_parallel(transcribe, jobs):
    names = ["a.wav", "b.flac", "silence.wav", "long.flac"]
    code, lines, error = transcribe(*names, "--final", "--jobs", jobs)
    heard = {name: [text_of(line[len(name) + 1 :]) for line in lines if line.startswith(f"{name}:")] for name in names}
    assert heard == {"a.wav": FINALS, "b.flac": ["mid low"], "silence.wav": [], "long.flac": FINALS * 4}
    assert code == 0
    assert "4 done, 0 failed; 18.90 s of audio" in error


def test_a_bad_file_among_several_is_reported_and_left_out(transcribe):
    code, lines, error = transcribe("missing.wav", "a.wav", "bad.wav", "nan.wav", "--final")
    assert code == 1
    assert [text_of(line.removeprefix("a.wav:")) for line in lines if line.startswith("a.wav:")] == FINALS
    for name in ("missing.wav", "bad.wav", "nan.wav"):
        assert re.search(rf"^failed: {name}: expected ", error, re.MULTILINE)
    assert "1 done, 3 failed" in error


@pytest.mark.parametrize("name", ["missing.wav", "bad.wav", "nan.wav"])
def test_a_single_bad_file_is_an_error_in_one_line(transcribe, name):
    code, _, error = transcribe(name)
    assert code == 1
    (line,) = error.splitlines()
    assert line.startswith(f"gtcrn-frontend: {name}: expected ")


@pytest.mark.parametrize("config", ["offline", "vad"])
def test_offline_pipelines(transcribe, config):
    code, lines, _ = transcribe("a.wav", config=config)
    assert code == 0
    assert [text_of(line) for line in lines] == (FINALS if config == "vad" else ["low mid high"])


def test_side_by_side_with_and_without_the_frontend(transcribe, monkeypatch):
    monkeypatch.setenv("COLUMNS", "83")
    code, lines, _ = transcribe("a.wav", "b.flac", "--compare")
    assert code == 0
    width = 40
    expected = {"a.wav": FINALS, "b.flac": ["mid low"]}
    for name, texts in expected.items():
        begin = lines.index(name)
        assert lines[begin + 1] == f"{'with front-end':{width}} | without front-end"
        for line, text in zip(lines[begin + 2 :], texts, strict=False):
            left, right = line.split(" | ")
            assert [re.sub(r"^\s*\d\.\d\d -\s+\d\.\d\d  ", "", cell).rstrip() for cell in (left, right)] == [text, text]


def test_a_comparison_shows_a_difference(transcribe):
    """At full strength, the network takes a tone for noise."""
    code, lines, _ = transcribe("long.flac", "--compare", "--as", "json", config="enhanced")
    (line,) = lines
    both = json.loads(line)
    assert code == 0
    assert (list(both), both["file"]) == (["file", "with_frontend", "without_frontend"], "long.flac")
    assert [segment["text"] for segment in both["without_frontend"]] == [" ".join(["low mid high"] * 4)]
    assert both["with_frontend"] != both["without_frontend"]


def test_a_long_result_is_wrapped_within_its_column(transcribe, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    _, lines, _ = transcribe("long.flac", "--compare", config="offline")
    assert len(lines) > 4
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--mic"],
        ["-", "a.wav"],
        ["a.wav", "--rate", "16000"],
        ["a.wav", "--format", "s16le"],
        ["--mic", "--channels", "2"],
        ["-", "--compare"],
        ["--mic", "--compare"],
        ["a.wav", "b.flac", "--as", "srt"],
        ["a.wav", "b.flac", "--as", "vtt"],
        ["a.wav", "--compare", "--as", "srt"],
        ["a.wav", "--compare", "-o", "a.txt"],
        ["a.wav", "--force"],
        ["a.wav", "--jobs", "0"],
        ["a.wav", "--as", "ttml"],
    ],
)
def test_what_does_not_go_together_is_wrong_usage(transcribe, arguments):
    with pytest.raises(SystemExit, match="2"):
        transcribe(*arguments)


SRT = "1\n00:00:00,000 --> 00:00:00,640\nlow mid\n\n2\n00:00:02,000 --> 00:00:02,240\nhigh\n\n"


def test_subtitles_of_the_web(transcribe):
    code, lines, _ = transcribe("a.wav", "--as", "vtt")
    assert code == 0
    times = ("00:00:00.000 --> 00:00:00.640", "00:00:02.000 --> 00:00:02.240")
    assert lines == ["WEBVTT", "", times[0], "low mid", "", times[1], "high", ""]


@pytest.mark.parametrize("name", ["talk.srt", "talk.vtt", "talk.json", "talk.jsonl", "talk.txt", "talk"])
def test_a_file_to_write_says_the_format(transcribe, tmp_path, name):
    path = tmp_path / name
    code, lines, error = transcribe("a.wav", "-o", str(path))
    assert (code, lines) == (0, [])
    content = path.read_text()
    if name.endswith("srt"):
        assert content == SRT
    elif name.endswith("vtt"):
        assert content.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.640\nlow mid\n\n")
    elif ".json" in name:
        assert [json.loads(line)["text"] for line in content.splitlines()] == FINALS
    else:
        assert [text_of(line) for line in content.splitlines()] == FINALS
    code, _, error = transcribe("a.wav", "-o", str(path))
    assert code == 1
    assert "exists: give --force" in error
    path.write_text("old")
    assert transcribe("a.wav", "-o", str(path), "--force")[0] == 0
    assert path.read_text() == content


def test_several_inputs_go_to_a_folder_and_one_that_fails_leaves_no_file(transcribe, tmp_path):
    inputs = ("a.wav", "b.flac", "nan.wav", "silence.wav")
    code, lines, error = transcribe(*inputs, "-o", str(tmp_path / "new"), "--as", "srt")
    assert (code, lines) == (1, [])
    assert "3 done, 1 failed" in error
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.srt", "b.srt", "silence.srt"]
    assert (tmp_path / "new/a.srt").read_text() == SRT
    assert (tmp_path / "new/silence.srt").read_text() == ""


def test_several_inputs_need_places_of_their_own(transcribe, folder, tmp_path):
    (tmp_path / "a.flac").write_bytes(b"")
    code, _, error = transcribe("a.wav", str(tmp_path / "a.flac"), "-o", str(tmp_path / "new"))
    assert code == 1
    assert "have the same output" in error
    code, _, error = transcribe("a.wav", "b.flac", "-o", str(tmp_path / "a.flac"))
    assert code == 1
    assert "expected a folder for several transcripts" in error


def test_names_that_are_not_utf_8(folder, tmp_path):
    name, output = os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"caf\xe9.jsonl")
    (tmp_path / name).write_bytes((folder / "a.wav").read_bytes())
    (tmp_path / os.fsdecode(b"bad\xe9.wav")).write_text("no audio")
    inputs = [str(tmp_path / name), str(tmp_path / os.fsdecode(b"bad\xe9.wav")), str(folder / "b.flac")]
    for options in ([], ["--as", "json"], ["--compare"], ["--compare", "--as", "json"], ["-o", str(tmp_path / "out")]):
        done = run_child(folder, [*inputs, *options])
        assert done.returncode == 1, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"2 done, 1 failed" in done.stderr
    assert b"caf\xe9.wav" in run_child(folder, inputs).stdout
    done = run_child(folder, [inputs[0], "-o", str(tmp_path / output)])
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / output).read_text().splitlines()[0])["file"] == inputs[0]
    pipeline = tmp_path / os.fsdecode(b"p\xe9.yaml")
    pipeline.write_text((folder / "online.yaml").read_text().replace("model: ", f"model: {folder}/"))
    done = subprocess.run([*COMMAND, "--config", str(pipeline), inputs[0]], capture_output=True, check=False)
    assert done.returncode == 1, "there are no tokens beside it"
    assert b"Traceback" not in done.stderr


def test_a_live_transcript_goes_to_a_file(folder, tmp_path):
    done = run_child(folder, ["-", "-o", str(tmp_path / "live.srt")], pcm(tones(UTTERANCE)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "live.srt").read_text() == SRT


def test_errors_of_the_pipeline_are_one_line(transcribe, folder):
    for config, said in (("wrong", r"wrong\.yaml: recognizer: tokens: expected a file"), ("none", "none.yaml")):
        code, lines, error = transcribe("a.wav", config=config)
        assert (code, lines, len(error.splitlines())) == (1, [], 1)
        assert re.search(said, error)


def test_a_missing_sherpa_onnx_names_the_extra(transcribe, monkeypatch):
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    code, _, error = transcribe("a.wav")
    assert code == 1
    assert install_hint("sherpa") in error


@pytest.mark.parametrize("options", [[], ["--format", "f32le"], ["--rate", "48000", "--channels", "2"]])
def test_raw_pcm_on_stdin(folder, options):
    samples = tones(UTTERANCE, 48000 if "48000" in options else RATE)
    data = samples.astype("<f4").tobytes() if "f32le" in options else pcm(samples)
    if "--channels" in options:
        data = pcm(np.stack([samples, samples], axis=1))
    done = run_child(folder, ["-", "--final", *options], data)
    assert done.returncode == 0
    assert [text_of(line) for line in done.stdout.decode().splitlines()] == FINALS


def test_stdin_without_a_sample(folder):
    done = run_child(folder, ["-"])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("data", ["file", "nan"])
def test_what_is_no_audio_on_stdin_ends_it_after_what_was_good(folder, data):
    if data == "file":
        done = run_child(folder, ["-"], (folder / "a.wav").read_bytes())
    else:
        samples = np.append(tones(UTTERANCE), np.float32(np.nan))
        done = run_child(folder, ["-", "--final", "--format", "f32le"], samples.astype("<f4").tobytes())
        assert "low mid" in done.stdout.decode()
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("gtcrn-frontend: stdin: stopped: expected ")


@contextmanager
def running(folder, arguments):
    """The command as a child that is certainly gone at the end."""
    command, pipe = [*COMMAND, "--config", str(folder / "online.yaml"), *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_results_come_at_once_and_a_signal_gives_the_last(folder, number):
    with running(folder, ["-"]) as process:
        process.stdin.write(pcm(tones(["low", None, None, None, "mid"])))
        process.stdin.flush()
        seen = [process.stdout.readline().decode() for _ in range(2)]  # with stdin still open
        assert [text_of(line.rstrip()) for line in seen] == ["low", "low"]
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (0, b"")
    assert text_of(out.decode().splitlines()[-1]) == "mid"


def test_a_reader_that_goes_away_ends_it_quietly(folder):
    with running(folder, ["-", "--as", "json"]) as process:
        process.stdin.write(pcm(tones(["low", None, None])))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        for _ in range(8):
            try:
                process.stdin.write(pcm(tones(UTTERANCE)))
                process.stdin.flush()
            except BrokenPipeError:
                break
        process.stdin = None
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_a_terminal_is_no_source_of_samples(folder):
    pty = pytest.importorskip("pty", reason="no terminals on this platform")
    ours, theirs = pty.openpty()
    command = [*COMMAND, "--config", str(folder / "online.yaml"), "-"]
    done = subprocess.run(command, stdin=theirs, capture_output=True, timeout=60, check=False)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 1
    assert b"terminal" in done.stderr


class PortAudioError(Exception):
    """As of sounddevice."""


class Microphone:
    """As sounddevice's `InputStream`, with a person who says something and then presses Ctrl-C."""

    def __init__(self, *, samplerate, channels, dtype):
        if samplerate != RATE:
            raise PortAudioError("Invalid sample rate")
        assert (channels, dtype) == (1, "float32")
        self._samples = tones(UTTERANCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, frames):
        if not len(self._samples):
            raise KeyboardInterrupt
        chunk, self._samples = self._samples[:frames], self._samples[frames:]
        return chunk[:, np.newaxis], len(self._samples) == 0


def test_the_microphone(transcribe, monkeypatch, caplog):
    fake = types.SimpleNamespace(InputStream=Microphone, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    code, lines, _ = transcribe("--mic", "--final")
    assert code == 0
    assert [text_of(line) for line in lines] == FINALS
    assert "samples of the microphone were lost" in caplog.text
    code, _, error = transcribe("--mic", "--rate", "44100")
    assert code == 1
    assert "44100 Hz: Invalid sample rate" in error


def test_without_sounddevice_the_microphone_says_what_to_install(transcribe, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, error = transcribe("--mic")
    assert code == 1
    assert install_hint("mic") in error


def test_without_the_library_of_sounddevice(transcribe, monkeypatch):
    def no_library(name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(_transcribe_live, "importlib", types.SimpleNamespace(import_module=no_library))
    code, _, error = transcribe("--mic")
    assert code == 1
    assert "needs the library PortAudio" in error
    assert "apt install libportaudio2" in error
    assert "pip install" not in error, "it is not a Python package that is missing"


def test_progress_goes_to_a_terminal(folder):
    pty = pytest.importorskip("pty", reason="no terminals on this platform")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [*COMMAND, "--config", str(folder / "online.yaml"), str(folder / "long.flac"), "--final"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.set_blocking(ours, False)
    shown = os.read(ours, 65536).decode()
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert [text_of(line) for line in done.stdout.decode().splitlines()] == FINALS * 4
    assert "of 14 s of audio" in shown


def test_the_function_returns_what_the_command_prints(folder, monkeypatch, transcribe):
    from gtcrn_frontend.adapters.sherpa import transcribe as function

    _, lines, _ = transcribe("a.wav", "b.flac", "--final")
    result = function("online.yaml", ["a.wav", Path("b.flac")])
    assert sorted(str(result).splitlines()) == sorted(lines)
    assert [file.text for file in result.files] == [" ".join(FINALS), "mid low"]
    assert result.audio_s == pytest.approx(4.0)
    both = function("online.yaml", ["a.wav", "bad.wav"], compare=True)
    assert both.failed == 1
    assert both.files[0].without_frontend == both.files[0].segments, "strength 0"
    assert "expected an audio file" in both.files[1].error
    assert "with front-end" in str(both)
    assert json.loads(json.dumps(both.to_dict()))["files"][0]["path"] == "a.wav"
