"""`evaluate` from end to end, with real PESQ and STOI on a few seconds of speech."""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.cli import evaluate
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.quality import evaluate as evaluation
from gtcrn_frontend.evaluation.quality.metrics import si_snr
from gtcrn_frontend.evaluation.systems import systems_of

RATE = 16000


@pytest.fixture
def folder(tmp_path: Path, audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: two pairs, the same as two folders, noise, a manifest of speech, and the user's cache."""
    rng = np.random.default_rng(0)
    for name, level in (("a", 0.1), ("b", 0.003)):
        clean = soundfile.read(audio_folder / f"speech_{name}.flac", dtype="float32")[0][: 2 * RATE]
        noisy = clean + rng.normal(0, level, len(clean)).astype(np.float32)
        for kind, samples in (("clean", clean), ("noisy", noisy)):
            for path in (tmp_path / "pairs" / f"{name}_{kind}.wav", tmp_path / kind / f"{name}.wav"):
                path.parent.mkdir(exist_ok=True)
                soundfile.write(path, samples, RATE, subtype="FLOAT")
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "white.wav", rng.normal(0, 0.05, 3 * RATE), RATE)
    (tmp_path / "speech.jsonl").write_text('{"audio": "clean/a.wav"}\n{"audio": "clean/b.wav"}\n')
    monkeypatch.setenv("GTCRN_FRONTEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["evaluate", "--jobs", "1", *map(str, arguments)])
    code: int = args.run(args)
    return code


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each table by row, the rule below the heading left out."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block if line[:2] == "| "]
        for block in blocks
    ]


def test_models_side_by_side_as_table_csv_and_json(folder: Path, random_checkpoint: Path, capsys) -> None:
    code = run("--pairs", "pairs", "--model", "gtcrn-asr", random_checkpoint, "--csv", "s.csv", "--json", "s.json")
    assert code == 0
    text = capsys.readouterr().out
    assert "pairs in pairs: 2 signals, 0.1 minutes" in text
    assert "No difference is marked as significant: 2 independent signals are too few" in text
    assert "significantly better" not in text
    assert max(map(len, text.splitlines())) <= 100
    means, differences, by_snr, published = tables(text)
    assert means[0] == ["mean ±95 %", "noisy", "gtcrn-asr", "random"]
    rows = {row[0]: row[1:] for row in means[1:]}
    assert list(rows) == [
        "SI-SNR dB",
        "PESQ-WB",
        "STOI",
        "log-mel distance",
        "clean input: PESQ-WB",
        "clean input: level change dB",
    ]
    assert published[2] == ["PESQ-WB", "1.97", "2.87", "2.67", "VoiceBank-DEMAND"]
    assert rows["clean input: PESQ-WB"][0] == "4.64 ±0.00"
    assert differences[0] == ["minus gtcrn-asr", "noisy", "random"]
    assert by_snr[:2] == [["by input SNR in dB", "below 0", "15 and more"], ["signals", "1", "1"]]
    assert [row[0] for row in by_snr[2:5]] == [f"SI-SNR dB, {name}" for name in ("noisy", "gtcrn-asr", "random")]

    content = json.loads(Path("s.json").read_text())
    (result,) = content["results"].values()
    signals = {one["name"]: one for one in result["signals"]}
    clean, noisy = (soundfile.read(f"pairs/a_{kind}.wav", dtype="float32")[0] for kind in ("clean", "noisy"))
    assert signals["a"]["values"]["noisy"]["SI-SNR dB"] == pytest.approx(si_snr(clean, noisy))
    assert content["settings"]["first"] == "gtcrn-asr"
    mean_si_snr = np.mean([one["values"]["gtcrn-asr"]["SI-SNR dB"] for one in signals.values()])
    assert float(rows["SI-SNR dB"][1].partition(" ")[0]) == pytest.approx(mean_si_snr, abs=0.01)
    with Path("s.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    of_all = [row for row in written if row["snr_db"] == "all" and not row["published"]]
    assert len(of_all) == 6 * (3 + 2)
    assert [row for row in written if row["published"]]


def test_two_folders_and_one_give_the_same_and_the_second_time_is_free(folder: Path, capsys, monkeypatch) -> None:
    run("--pairs", "pairs", "--metrics", "si-snr", "stoi", "--strength", "0.5", "1", "auto")
    first = tables(capsys.readouterr().out)
    assert first[0][0][1:] == ["noisy", "gtcrn-asr 0.5", "gtcrn-asr 1", "gtcrn-asr auto"]
    assert [row[0] for row in first[0][1:]] == ["SI-SNR dB", "STOI"]
    kept = sorted(path for path in (folder / "cache" / "evaluate").rglob("*") if path.is_file())
    assert kept
    written = [path.stat().st_mtime_ns for path in kept]
    run("--clean", "clean", "--noisy", "noisy", "--metrics", "si-snr", "stoi", "--strength", "0.5", "1", "auto")
    assert tables(capsys.readouterr().out) == first
    assert [path.stat().st_mtime_ns for path in kept] == written
    assert sorted(path for path in (folder / "cache" / "evaluate").rglob("*") if path.is_file()) == kept


@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_a_file_that_cannot_be_written_is_named_before_anything_runs(folder: Path, option: str) -> None:
    with pytest.raises(ConfigError, match=r"^/proc/x: cannot be written: "):
        run("--pairs", "pairs", "--metrics", "si-snr", option, "/proc/x")
    assert not (folder / "cache").exists()


def test_a_strength_that_is_no_number_is_said_in_words(folder: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        run("--pairs", "pairs", "--strength", "abc")
    assert "argument --strength: expected a number, got 'abc'" in capsys.readouterr().err


def test_nothing_is_kept_where_nothing_shall_be(folder: Path) -> None:
    assert run("--pairs", "pairs", "--metrics", "si-snr", "--no-cache") == 0
    assert not (folder / "cache").exists()
    assert run("--pairs", "pairs", "--metrics", "si-snr", "--cache", "mine") == 0
    assert (folder / "mine").is_dir()


def test_speech_of_a_manifest_is_mixed_as_asked(folder: Path, capsys) -> None:
    arguments = ("--manifest", "speech.jsonl", "--noise", "noise", "--snr", "clean,12,3", "--metrics", "si-snr")
    run(*arguments, "--json", "1.json")
    assert "mixtures of speech.jsonl: 6 signals" in capsys.readouterr().out
    run(*arguments, "--json", "2.json", "--mixtures", "3", "--seed", "7")
    (all_of_them,), (some,) = (json.loads(Path(name).read_text())["results"].values() for name in ("1.json", "2.json"))
    ratios = [one["snr_db"] for one in all_of_them["signals"]]
    assert ratios[:2] == [None, None], "JSON knows no infinity"
    assert ratios[2:] == pytest.approx([12, 12, 3, 3], abs=0.01)
    assert [round(one["snr_db"] or 99) for one in some["signals"]] == [99, 12, 3]
    assert {row["snr_db"] for row in all_of_them["rows"]} == {"all", "0 to 4.9", "10 to 14.9", "15 and more"}


def test_dnsmos_is_in_the_table_with_its_models(folder: Path, shared: Path, capsys) -> None:
    run("--pairs", "pairs", "--dnsmos", shared / "dnsmos", "--metrics", "dnsmos")
    found = tables(capsys.readouterr().out)
    for rows in (found[0][1:], found[-1][1:]):
        assert [row[0] for row in rows] == ["DNSMOS SIG", "DNSMOS BAK", "DNSMOS OVRL", "DNSMOS P.808"]
    assert [row[-1] for row in found[-1][1:]] == ["DNS3 blind"] * 4
    assert found[-1][3] == ["DNSMOS OVRL", "2.33", "2.70", "-", "DNS3 blind"]


def test_a_signal_that_breaks_later_is_left_out_and_shows_in_the_exit_code(folder: Path, capsys) -> None:
    samples = np.full(RATE, 0.1, np.float32)
    samples[5] = np.nan
    for kind in ("clean", "noisy"):
        soundfile.write(folder / "pairs" / f"c_{kind}.wav", samples, RATE, subtype="FLOAT")
    assert run("--pairs", "pairs", "--metrics", "si-snr") == 1
    captured = capsys.readouterr()
    assert "failed: c: AudioFormatError:" in captured.err
    assert "2 signals, 0.1 minutes, 1 failed and left out" in captured.out


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], ConfigError, "nothing to measure"),
        (["--pairs", "nowhere"], ConfigError, "expected a folder of pairs"),
        (["--pairs", "noise"], ConfigError, "found 1 other audio files"),
        (["--clean", "clean"], ConfigError, "clean, noisy: expected both folders"),
        (["--clean", "clean", "--noisy", "noise"], ConfigError, "found no counterpart of"),
        (["--pairs", "pairs", "--noise", "noise"], ConfigError, "expected a manifest of speech to mix with"),
        (["--manifest", "speech.jsonl"], ConfigError, "give a folder of noise"),
        (["--pairs", "pairs", "--metrics", "dnsmos"], ConfigError, "dnsmos: expected the folder of its models"),
        (["--pairs", "pairs", "--metrics", "pesq", "--dnsmos", "noise"], ConfigError, "expected dnsmos among"),
        (["--pairs", "pairs", "--dnsmos", "noise"], ModelError, "expected the DNSMOS model"),
        (["--pairs", "pairs", "--model", "gtcrn-nothing"], ModelError, "gtcrn-nothing"),
        (["--pairs", "pairs", "--strength", "1.5"], ConfigError, "strength"),
        (["--pairs", "pairs", "--engine", "steam"], ConfigError, "engine: expected one of auto, native"),
        (["--pairs", "pairs", "--csv", "no/such/folder.csv"], ConfigError, "in a folder that exists"),
        (["--held-out", "nothing.yaml"], ConfigError, "expected a YAML file of settings, which cannot be read"),
    ],
)
def test_wrong_use_is_said_before_anything_is_measured(
    folder: Path, arguments: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(*arguments)
    assert not (folder / "cache").exists()


def test_a_file_without_counterpart_is_listed_and_the_others_are_measured(folder: Path, capsys) -> None:
    (folder / "pairs" / "lonely_noisy.wav").write_bytes((folder / "pairs" / "a_noisy.wav").read_bytes())
    assert run("--pairs", "pairs", "--metrics", "si-snr") == 1
    captured = capsys.readouterr()
    assert "pairs in pairs: 2 signals, 0.1 minutes, 1 failed and left out" in captured.out
    assert re.search(r"failed: lonely: .*lonely_noisy\.wav: .*found no counterpart", captured.err)


def test_tables_fit_100_columns(folder: Path, random_checkpoint: Path, capsys) -> None:
    models = ["gtcrn-asr"]
    for number in range(3):
        path = folder / "an_experiment_that_ran_for_weeks" / f"part_{number}_of_three" / "best.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_checkpoint.read_bytes())
        models.append(str(path))
    run("--pairs", "pairs", "--metrics", "si-snr", "clean", "--model", *models, "--strength", "0.5", "auto")
    text = capsys.readouterr().out
    assert "part_2_of_three/best auto" in text
    assert max(map(len, text.splitlines())) <= 100


def test_names_that_are_not_utf_8(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    for kind in ("clean", "noisy"):
        (folder / "pairs" / f"a_{kind}.wav").rename(folder / "pairs" / f"{name}_{kind}.wav")
    (folder / "pairs" / os.fsdecode(b"bad\xe9_noisy.wav")).write_bytes(b"")
    outputs = [os.fsdecode(b"s\xe9.csv"), os.fsdecode(b"s\xe9.json")]
    command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "evaluate", "--pairs", "pairs", "--metrics", "si-snr"]
    done = subprocess.run([*command, "--csv", outputs[0], "--json", outputs[1]], capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 1, done.stderr
    assert b"2 signals, 0.1 minutes, 1 failed" in done.stdout
    (result,) = json.loads(Path(outputs[1]).read_text())["results"].values()
    assert sorted(signal["name"] for signal in result["signals"]) == sorted(["b", name])
    assert Path(outputs[0]).read_text(errors="surrogateescape")


def test_lengths_that_differ_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(folder / "pairs" / "a_noisy.wav", np.zeros(9), RATE)
    assert main(["evaluate", "--pairs", "pairs"]) == 1
    assert "a_clean.wav: expected as many samples as in the noisy signal, got 32000 and 9" in capsys.readouterr().err


def test_exit_codes_are_those_of_the_other_commands(folder: Path, capsys) -> None:
    assert main(["evaluate", "--pairs", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("gtcrn-frontend: nowhere: expected a folder of pairs")
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--pairs", "pairs", "--metrics", "beauty"])
    assert "beauty" in capsys.readouterr().err


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs pesq: pip install '[^']+\[evaluate\]'"):
        run("--pairs", "pairs")


def test_training_without_its_extra_is_named(folder: Path) -> None:
    # In a process of its own: modules that are imported twice here would leave other tests with the older ones.
    program = "import sys; sys.modules['scipy'] = None; from gtcrn_frontend.cli.main import main"
    program += "; sys.exit(main(['evaluate', '--held-out', 'config.yaml']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"--held-out needs .*pip install '[^']+\[train\]'", done.stderr)


def test_systems_have_names_that_tell_them_apart(random_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    copies = [tmp_path / "best.safetensors", tmp_path / "deep" / "best.safetensors", tmp_path / "noisy.safetensors"]
    for copy in copies:
        copy.write_bytes(random_checkpoint.read_bytes())
    paths = [str(copy) for copy in copies]
    names = [f"{tmp_path.name}/best", "deep/best", f"{tmp_path.name}/noisy"]
    assert list(systems_of(["gtcrn-asr", *paths, "gtcrn-asr"], [1.0], "auto")) == ["noisy", "gtcrn-asr", *names]
    assert list(systems_of(["gtcrn-asr"], [0.7], "auto")) == ["noisy", "gtcrn-asr 0.7"]
    assert list(systems_of([paths[0]], [1.0, "auto"], "auto")) == ["noisy", "best 1", "best auto"]
