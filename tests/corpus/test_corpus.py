"""Folders and what holds for every source: outputs, records, resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.corpus import Item, Outcome, enhance_corpus, local_runner
from gtcrn_frontend.errors import ConfigError, ModelError

RECORD = "enhance-corpus.json"


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def folder(recordings: Path) -> Path:
    """The recordings, and in it what is none."""
    (recordings / "deep" / "bad.wav").write_text("no audio")
    (recordings / "talk.m4a").write_text("no audio, either")
    (recordings / "notes.txt").write_text("about them")
    (recordings / ".hidden.wav").write_text("hidden")
    return recordings


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_folder_becomes_what_enhance_makes_of_it(
    folder: Path, tmp_path: Path, jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enhance", str(folder), "-o", str(tmp_path / "reference"), "-r", "--strength", "0.5"]) == 1
    capsys.readouterr()
    arguments = ["enhance-corpus", str(folder), str(tmp_path / "out"), "--local", "--jobs", jobs, "--strength", "0.5"]
    assert main(arguments) == 1
    made = files(tmp_path / "out")
    failed = [json.loads(line) for line in made.pop("failed.jsonl").splitlines()]
    assert made == files(tmp_path / "reference")
    assert [entry["name"] for entry in failed] == [str(folder / "deep/bad.wav"), str(folder / "talk.m4a")]
    assert "ffmpeg -i" in failed[1]["reason"]
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("failed: ") for line in lines) == 2
    assert lines[-1].startswith(f"{tmp_path / 'out'}: 3 done, 0 kept, 2 failed; 0.0007 h of audio in ")


def test_a_second_run_continues_the_first(folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    first = enhance_corpus(str(folder), out, run=local_runner(1))
    before = files(Path(out))
    with pytest.raises(ConfigError, match="expected a new or empty folder, or --resume"):
        enhance_corpus(str(folder), out, run=local_runner(1))
    Path(out, "b.flac").unlink()
    Path(out, ".b.flac.999999999-0123abcd.part").write_text("left by a killed run")
    soundfile.write(folder / "deep" / "bad.wav", np.zeros(100), 16000)  # is good now
    second = enhance_corpus(str(folder), out, run=local_runner(2), resume=True)
    assert ((first.done, first.kept, first.failed), (second.done, second.kept, second.failed)) == ((3, 0, 2), (2, 2, 1))
    after = files(Path(out))
    assert after.keys() == before.keys() | {"deep/bad.wav"}
    assert all(after[name] == before[name] for name in ("a.wav", "b.flac", "deep/c.wav"))
    (folder / "talk.m4a").unlink()
    third = enhance_corpus(str(folder), out, run=local_runner(1), resume=True)
    assert (third.done, third.kept, third.failed) == (0, 4, 0)
    assert files(Path(out))["failed.jsonl"] == b"", "nothing is left out any more"


def test_a_run_with_other_settings_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    enhance_corpus(str(folder), out, EnhancerConfig(num_threads=2), run=local_runner(1))
    enhance_corpus(str(folder), out, EnhancerConfig(num_threads=1), run=local_runner(1), resume=True)
    with pytest.raises(ConfigError, match=r"made with strength 0\.8, .*, got 0\.5: use a new folder"):
        enhance_corpus(str(folder), out, EnhancerConfig(strength=0.5), run=local_runner(1), resume=True)
    with pytest.raises(ConfigError, match="made with source"):
        enhance_corpus(str(folder / "deep"), out, run=local_runner(1), resume=True)
    Path(out, RECORD).write_text("{}")
    with pytest.raises(ConfigError, match="expected the record of an earlier run"):
        enhance_corpus(str(folder), out, run=local_runner(1), resume=True)
    Path(out, RECORD).unlink()
    with pytest.raises(ConfigError, match=f"earlier run, it has no {RECORD}"):
        enhance_corpus(str(folder), out, run=local_runner(1), resume=True)


def test_the_output_inside_of_the_source_is_left_out(recordings: Path) -> None:
    out = recordings / "out"
    assert enhance_corpus(str(recordings), str(out), run=local_runner(1)).done == 3
    assert enhance_corpus(str(recordings), str(out), run=local_runner(1), resume=True).kept == 3
    assert "out/a.wav" not in files(out)


def test_wrong_sources_and_settings_are_refused_before_anything_is_written(recordings: Path, tmp_path: Path) -> None:
    out, run = tmp_path / "out", local_runner(1)
    (tmp_path / "empty").mkdir()
    for source, expected in {
        tmp_path / "absent": "found nothing there",
        recordings / "a.wav": "found a file",
        tmp_path / "empty": "expected audio files or tar shards, found none",
    }.items():
        with pytest.raises(ConfigError, match=expected):
            enhance_corpus(str(source), str(out), run=run)
    for settings in ({"output_sample_rate": 8000}, {"downmix": True}):
        with pytest.raises(ConfigError, match="expected settings that keep rate and channels"):
            enhance_corpus(str(recordings), str(out), EnhancerConfig(**settings), run=run)
    with pytest.raises(ModelError, match="no-such-model"):
        enhance_corpus(str(recordings), str(out), EnhancerConfig("no-such-model"), run=run)
    assert not out.exists()


def test_any_runner_will_do_and_is_told_each_item_once(recordings: Path, tmp_path: Path) -> None:
    seen: list[Item] = []

    def run(items, config):  # type: ignore[no-untyped-def]
        assert config.engine != "auto", "workers use the same engine"
        for item in items:
            seen.append(item)
            yield Outcome(item.source, audio_s=3600.0)

    report = enhance_corpus(str(recordings), str(tmp_path / "out"), run=run)
    assert [Path(item.output).name for item in seen] == ["a.wav", "b.flac", "c.wav"]
    assert (report.done, report.audio_s) == (3, 3 * 3600)


def test_an_interrupted_run_stops_its_threads_and_leaves_no_incomplete_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(8):
        soundfile.write(tmp_path / "in" / f"{number}.wav", np.zeros(16000 * 60, np.int16), 16000)

    class Interrupted:
        def begin(self, count: int, problems: object) -> None:
            assert count == 8

        def update(self, outcome: Outcome) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enhance_corpus(str(tmp_path / "in"), str(tmp_path / "out"), run=local_runner(2), progress=Interrupted())
    names = files(tmp_path / "out").keys()
    assert 1 <= len(names) < 8
    assert not [name for name in names if name.endswith(".part")]
