"""`calibrate` from end to end, with recognisers made for it: what they hear depends on the noise in the pauses."""

import argparse
import json
import os
import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from gtcrn_frontend import AutoStrengthConfig, Enhancer, EnhancerConfig
from gtcrn_frontend.cli import calibrate
from gtcrn_frontend.cli._progress import ProgressBar
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr import auto_strength_fit
from gtcrn_frontend.evaluation.asr.verdict_text import setting_yaml

RATE = 16000
UTTERANCES = 12

# Hears the words, but for one that is lost for every so many dB of noise floor; tells what it was asked in a file.
RECOGNISER = """
import os, time
import numpy as np

def hear(samples, rate):
    with open("calls.log", "a") as file:
        file.write("x")
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    floor_db = 10 * np.log10(np.percentile(np.square(frames).mean(axis=1), 20) + 1e-9)
    lost = int(np.clip((floor_db + 50) / 5 + np.abs(samples).sum() % 1, 0, 4))
    return " ".join("One two, THREE four".split()[lost:])

def numb(samples, rate):
    return "one two three four"

def wordy(samples, rate):
    return 7 * "one two three four "

def deaf(samples, rate):
    return "..."

def deaf_to_noise(samples, rate):
    heard = hear(samples, rate)
    return heard if os.path.getsize("calls.log") > 12 else ""

def talks(samples, rate):
    # Fills soft noise with words, which a recogniser that was trained on speech alone does.
    level_db = 10 * np.log10(np.square(samples).mean() + 1e-20)
    return "thank you for watching" if -150 < level_db < -50 else hear(samples, rate)

def loops(samples, rate):
    return 11 * "one two three four "

def names_its_rate(samples, rate):
    return "one two three four" if rate == 16000 else "one two"

def breaks(samples, rate):
    raise RuntimeError("no licence")

def sometimes(samples, rate):
    if len(samples) % 2:
        os._exit(5)
    return hear(samples, rate)
"""


@pytest.fixture
def folder(tmp_path: Path, audio_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Twelve recordings with pauses and their manifest, noise, and the recognisers, in the working directory."""
    (tmp_path / "wav").mkdir()
    (tmp_path / "noise").mkdir()
    entries = []
    speech = [soundfile.read(audio_folder / f"speech_{name}.flac", dtype="float32")[0] for name in "ab"]
    for i in range(UTTERANCES):
        start = 1500 * i
        samples = np.concatenate([np.zeros(6000, np.float32), speech[i % 2][start : start + 12000]])
        soundfile.write(tmp_path / "wav" / f"{i}.wav", samples, RATE)
        entries.append({"audio": f"wav/{i}.wav", "text": "one two three four"})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, entries)))
    noise = np.random.default_rng(0).normal(0, 0.05, RATE * 4)
    soundfile.write(tmp_path / "noise" / "white.wav", noise, RATE)
    (tmp_path / "asr_of_test.py").write_text(RECOGNISER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("asr_of_test", None)


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    calibrate.add_parser(parser.add_subparsers())
    defaults = ["--manifest", "m.jsonl", "--cache", "cache", "--jobs", "1", "--noise-only", "0"]
    args = parser.parse_args(["calibrate", *defaults, *map(str, arguments)])
    code: int = args.run(args)
    return code


def test_names_that_are_not_utf_8(folder: Path) -> None:
    """Of recordings, noise, manifest, outputs, cache and what lies in the working directory; all but text in files."""
    (folder / "wav").rename(folder / os.fsdecode(b"w\xe9"))
    (folder / "noise").rename(folder / os.fsdecode(b"n\xe9"))
    (folder / os.fsdecode(b"n\xe9") / "white.wav").rename(
        folder / os.fsdecode(b"n\xe9") / os.fsdecode(b"white\xe9.wav")
    )
    odd = os.fsdecode(b"w\xe9")
    manifest = [{"audio": f"{odd}/{i}.wav", "text": "one two three four"} for i in range(UTTERANCES)]
    (folder / os.fsdecode(b"m\xe9.jsonl")).write_text("\n".join(map(json.dumps, manifest)))
    command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "calibrate", "--recognizer", "asr_of_test:numb"]
    command += ["--manifest", b"m\xe9.jsonl", "--noise", b"n\xe9", "--snr", "0", "--cache", b"c\xe9", "--jobs", "1"]
    command += ["--write", b"f\xe9.yaml", "--report", b"r\xe9.html", "--noise-only", "0"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    assert EnhancerConfig.from_yaml(folder / os.fsdecode(b"f\xe9.yaml"))
    assert "</html>" in (folder / os.fsdecode(b"r\xe9.html")).read_text(encoding="utf-8")


class Page(HTMLParser):
    """What the tests ask of the report: its tags, and where it refers to."""

    VOID = ("meta", "br", "img", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_what_helps_is_found_written_reported_and_free_the_second_time(folder: Path, capsys) -> None:
    arguments = ("--recognizer", "asr_of_test:hear", "--noise", "noise", "--snr", "clean,5", "--strengths", "1,0.5")
    assert run(*arguments, "--write", "out.yaml", "--report", "report.html") == 0
    captured = capsys.readouterr()
    rows = [line for line in captured.out.splitlines() if line.startswith("| ")]
    names = ["front-end", "no front-end", "gtcrn-asr 0.5", "gtcrn-asr 1"]
    assert [row.split("|")[1].strip() for row in rows] == 2 * names  # rates by condition, and kinds of errors
    assert "Use gtcrn-asr at strength 1." in captured.out
    assert "not significantly worse" in captured.out

    config = EnhancerConfig.from_yaml("out.yaml")
    assert (config.model, config.strength, config.bypass) == ("gtcrn-asr", 1.0, False)
    written = Path("out.yaml").read_text()
    assert "# Use gtcrn-asr at strength 1." in written
    assert "# Measured on m.jsonl, noise noise, SNRs clean,5, seed 0." in written

    text = Path("report.html").read_text()
    page = Page(text)
    assert not page.open
    assert page.links
    assert all(link.startswith("data:audio/flac;base64,") for link in page.links)
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org)", text)
    assert "Use gtcrn-asr at strength 1" in text
    assert "<del" in text

    calls = (folder / "calls.log").read_text()
    assert len(calls) == 2 * UTTERANCES * 3
    assert run(*arguments) == 0
    assert (folder / "calls.log").read_text() == calls
    assert capsys.readouterr().out == captured.out


def test_the_guard_is_fitted_on_other_utterances_and_written(
    folder: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"clean_snr_db": (60.0,), "max_strength": (0.5, 0.98)}
    monkeypatch.setattr(auto_strength_fit, "MIN_UTTERANCES", UTTERANCES // 2)
    monkeypatch.setattr(
        auto_strength_fit,
        "search",
        partial(auto_strength_fit.search, candidates=few, begin=AutoStrengthConfig(max_strength=0.7)),
    )
    arguments = ("--recognizer", "asr_of_test:hear", "--noise", "noise", "--snr", "clean,5", "--strengths", "0.5")
    assert (
        run(*arguments, "--fit-auto-strength", "asr_of_test:numb", "--write", "out.yaml", "--report", "report.html")
        == 0
    )
    captured = capsys.readouterr()
    names = [line.split("|")[1].strip() for line in captured.out.splitlines() if line.startswith("| ")]
    expected = ["front-end", "no front-end", "gtcrn-asr 0.5", "gtcrn-asr auto", "gtcrn-asr auto, fitted"]
    assert names == 2 * expected  # rates by condition, and kinds of errors
    assert f"fitted on {UTTERANCES // 2} other utterances of 2 recognisers: clean_snr_db 60" in captured.out
    assert "Too little data" in captured.out  # six utterances are left to decide on
    assert re.search(
        "# Strength auto was fitted on 6 other utterances .*: clean_snr_db 60", Path("out.yaml").read_text()
    )
    assert "Strength auto was fitted on 6 other utterances" in Path("report.html").read_text()
    assert len((folder / "calls.log").read_text()) < 2 * UTTERANCES * 8

    assert run(*arguments, "--fit-auto-strength", "asr_of_test:numb") == 0
    assert capsys.readouterr().out == captured.out
    assert EnhancerConfig.from_yaml("out.yaml").bypass


def test_a_fitted_guard_that_helps_is_what_the_enhancer_takes_back(tmp_path: Path) -> None:
    setting = EnhancerConfig(strength="auto", auto_strength={"clean_snr_db": 60.0, "caution": 0.0})
    (tmp_path / "out.yaml").write_text(setting_yaml(setting))
    config = EnhancerConfig.from_yaml(tmp_path / "out.yaml")
    assert (config.strength, config.auto_strength_config) == ("auto", setting.auto_strength_config)
    assert Enhancer.from_config(config).config.auto_strength == setting.auto_strength


def test_too_few_utterances_to_fit_on_are_said_before_any_work(folder: Path) -> None:
    with pytest.raises(ModelError, match="fitting strength auto: expected at least 20 utterances"):
        run("--recognizer", "asr_of_test:hear", "--fit-auto-strength")
    assert not (folder / "calls.log").exists()


def test_an_interrupted_run_goes_on_where_it_was(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    count_results = ProgressBar.update

    def interrupt(bar: ProgressBar, count: float) -> None:
        count_results(bar, count)
        if bar.done == 7:
            raise KeyboardInterrupt

    arguments = ("--recognizer", "asr_of_test:hear", "--strengths", "1")
    with monkeypatch.context() as patched:
        patched.setattr(ProgressBar, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(*arguments)
    assert "interrupted after 7 results: run the same command again to resume" in capsys.readouterr().err
    run(*arguments)
    assert f"{2 * UTTERANCES - 7} recognised, 7 from the cache" in capsys.readouterr().err


def test_what_adds_hallucinated_words_is_not_recommended(folder: Path, capsys) -> None:
    arguments = ("--recognizer", "asr_of_test:talks", "--noise", "noise", "--snr", "clean,5", "--strengths", "1")
    assert run(*arguments) == 0
    assert "Use gtcrn-asr at strength 1." in capsys.readouterr().out
    assert run(*arguments, "--noise-only", "12", "--write", "out.yaml", "--report", "report.html") == 0
    said = capsys.readouterr().out
    assert "Use no front-end: nothing helps." in said
    assert "Hallucinated words per minute, in 4.6 minutes without speech:" in said
    for text in (said, Path("out.yaml").read_text(), Path("report.html").read_text().replace("\u2212", "-")):
        assert re.search(
            r"Ruled out because they add hallucinated words where nobody speaks: gtcrn-asr 1 \(\+\d.* per minute, "
            r"while its WER changes by -",
            text,
        )
    assert EnhancerConfig.from_yaml("out.yaml").bypass
    assert not Page(Path("report.html").read_text()).open


def test_signals_without_speech_are_cached_too(folder: Path, capsys) -> None:
    arguments = ("--recognizer", "asr_of_test:hear", "--noise", "noise", "--snr", "5", "--strengths", "1")
    for expected in (
        f"{2 * (UTTERANCES + 2 + 5)} recognised, 0 from",
        f"0 recognised, {2 * (UTTERANCES + 2 + 5)} from",
    ):
        run(*arguments, "--noise-only", "2", "--noise-only-levels=-40")
        assert expected in capsys.readouterr().err


def test_a_telephone_and_rooms_are_conditions(folder: Path, capsys) -> None:
    (folder / "rooms").mkdir()
    soundfile.write(folder / "rooms" / "hall.wav", 0.5 ** np.arange(0, 20, 0.005), RATE)
    channels = ("--channel", "microphone,telephone,room", "--rooms", "rooms")
    noise = ("--noise", "noise", "--snr", "clean")
    run("--recognizer", "asr_of_test:names_its_rate", *noise, *channels, "--strengths", "1", "--write", "out.yaml")
    heading, _, raw, full = (line.split("|") for line in capsys.readouterr().out.splitlines()[:4])
    rates = dict(zip([name.strip() for name in heading], raw, strict=True))
    assert [rates[name].split()[0] for name in ("clean", "telephone clean", "room clean")] == ["0.0", "50.0", "0.0"]
    assert full[3].split()[0] == "50.0", "the front-end runs at 8 kHz as well"
    assert "SNRs clean, channels microphone,telephone,room, rooms rooms, seed 0." in Path("out.yaml").read_text()


def test_a_loop_of_words_counts_once_per_word(folder: Path, capsys) -> None:
    arguments = ("--recognizer", "asr_of_test:loops", "--strengths", "1")
    run(*arguments)
    capped = capsys.readouterr().out
    run(*arguments, "--uncapped")
    uncapped = capsys.readouterr().out
    heading, _, raw = (line.split("|") for line in capped.splitlines()[:3])
    column = next(i for i, name in enumerate(heading) if name.strip().endswith("WER"))
    assert raw[column].split()[0] == "100.0"
    assert uncapped.splitlines()[2].split("|")[column].split()[0] == "1000.0"
    assert "1000.0" in capped, "the uncapped rate stays visible"
    assert "at most as many errors as it has words" in capped


def test_what_does_not_help_is_bypassed(folder: Path, capsys) -> None:
    lines = (folder / "m.jsonl").read_text().replace("one two three four", 7 * "one two three four ")
    (folder / "m.jsonl").write_text(lines)
    assert run("--recognizer", "asr_of_test:wordy", "--strengths", "1", "--write", "out.yaml") == 0
    assert "Use no front-end: nothing helps." in capsys.readouterr().out
    values = yaml.safe_load(Path("out.yaml").read_text())
    assert values == {"bypass": True}
    assert EnhancerConfig.from_yaml("out.yaml").bypass


@pytest.mark.parametrize("options", [("--strengths", "1"), (), ("--fit-auto-strength",)])
@pytest.mark.parametrize(
    ("name", "message"), [("deaf", "returned no text for any of"), ("numb", "returned 'one two three four' for all of")]
)
def test_a_recogniser_that_does_not_hear_gets_no_verdict(
    folder: Path, options: tuple[str, ...], name: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(auto_strength_fit, "MIN_UTTERANCES", UTTERANCES // 2)
    lines = (folder / "m.jsonl").read_text().replace("one two", "two one", 1)
    (folder / "m.jsonl").write_text(lines)
    with pytest.raises(ModelError, match=f"{message}.*try the recogniser on one recording by hand"):
        run("--recognizer", f"asr_of_test:{name}", *options, "--write", "out.yaml")
    assert not capsys.readouterr().out
    assert not Path("out.yaml").exists()


def test_what_hears_nothing_without_front_end_alone_is_judged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run("--recognizer", "asr_of_test:deaf_to_noise", "--strengths", "1") == 0
    assert "returned no text for any of 12 recordings, without front-end: if that is unexpected, try" in caplog.text


def test_too_little_data_is_said(folder: Path, capsys) -> None:
    run("--recognizer", "asr_of_test:hear", "--noise", "noise", "--snr", "5", "--strengths", "1", "--limit", "3")
    said = capsys.readouterr().out
    assert "Too little data to decide" in said
    assert "3 utterances are too few to tell: about 10 would probably do." in said
    assert "Clean speech was not among the conditions" in said


def test_files_that_end_the_recogniser_are_left_out(folder: Path, capsys) -> None:
    soundfile.write(folder / "wav" / "0.wav", np.zeros(9001), RATE)
    (folder / "wav" / "1.wav").write_bytes(b"nothing")
    assert run("--recognizer", "asr_of_test:sometimes", "--strengths", "1") == 0
    captured = capsys.readouterr()
    assert "left out: m.jsonl, line 2:" in captured.err
    assert captured.err.count("failed: wav/0.wav") == 2
    assert "ended its process (exit code 5)" in captured.err
    assert "Left out because the recogniser failed behind some setting: 1 of 11 items." in captured.out


def test_a_command_that_is_stopped_leaves_no_wave_file(folder: Path, capsys) -> None:
    with pytest.raises(ModelError, match=r"took longer than 0\.5 s"):
        run("--recognizer", "echo {} > wave.log; sleep 60", "--limit", "1", "--timeout", "0.5")
    wave = Path((folder / "wave.log").read_text().strip())
    assert wave.is_absolute()
    assert not wave.exists()
    assert not wave.parent.exists(), "the folder of the run is gone too"


def test_a_recogniser_that_never_works_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match="never succeeded: RuntimeError: no licence"):
        run("--recognizer", "asr_of_test:breaks")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--snr", "5"], "expected --noise DIR"),
        (["--vad", "silero_vad.onnx"], "--vad: expected --noise DIR"),
        (["--channel", "room"], "expected --channel room and --rooms DIR together"),
        (["--rooms", "wav"], "expected --channel room and --rooms DIR together"),
        (["--channel", "room", "--rooms", "nowhere"], "expected a folder of impulse responses"),
        (["--noise", "nowhere"], "expected a folder of noise"),
        (["--report", "no/such/folder.html"], "in a folder that exists"),
        (["--write", "wav"], "expected a file"),
        (["--normalise", "upper"], "got 'upper'"),
        (["--manifest", "nothing.csv"], "found nothing there"),
        (["--write", "/proc/out.yaml"], "/proc/out.yaml: cannot be written"),
        (["--report", "/proc/out.html"], "/proc/out.html: cannot be written"),
        (["--engine", "cuda"], "expected an engine out of"),
        (["--model", "a/last.onnx", "b/last.onnx"], "both called 'last'"),
    ],
)
def test_wrong_arguments_are_said_before_anything_runs(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run("--recognizer", "asr_of_test:hear", *arguments)
    assert not (folder / "calls.log").exists()


def test_an_unknown_model_is_said(folder: Path) -> None:
    with pytest.raises(ModelError, match="gtcrn-nothing"):
        run("--recognizer", "asr_of_test:hear", "--model", "gtcrn-nothing")


def test_a_detector_that_is_none_is_said_before_anything_runs(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.jsonl: expected an ONNX model"):
        run("--recognizer", "asr_of_test:hear", "--noise", "noise", "--vad", "m.jsonl")
    assert not (folder / "calls.log").exists()


@pytest.mark.parametrize("options", [(), ("--fit-auto-strength",)])
def test_a_model_that_cannot_be_loaded_is_said_before_anything_runs(
    folder: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_strength_fit, "MIN_UTTERANCES", UTTERANCES // 2)
    (folder / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"junk\.onnx"):
        run("--recognizer", "asr_of_test:hear", "--model", "gtcrn-asr", "junk.onnx", *options)
    assert not (folder / "calls.log").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--strengths", "abc", "expected a number, got 'abc'"),
        ("--strengths", "1,2", "expected strengths above 0"),
        ("--snr", "loud", "expected SNRs in dB or 'clean', got 'loud'"),
        ("--channel", "radio", "expected channels out of microphone, telephone, room; got radio"),
        ("--noise-only-levels", "loud", "expected levels in dB of full scale, such as -30,-45; got 'loud'"),
        ("--noise-only", "few", "expected a whole number from 1, got 'few'"),
        ("--jobs", "two", "expected a whole number from 1, got 'two'"),
        ("--timeout", "soon", "expected a number, got 'soon'"),
    ],
)
def test_numbers_that_are_none_are_said_in_words(folder: Path, option: str, value: str, message: str, capsys) -> None:
    with pytest.raises(SystemExit):
        run("--recognizer", "asr_of_test:hear", option, value)
    said = capsys.readouterr().err
    assert f"argument {option}: {message}" in said
    assert "_" not in said.rpartition("error:")[2]


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(ModelError, match=r"pip install '[^']+\[calibrate\]'"):
        run("--recognizer", "asr_of_test:hear")
