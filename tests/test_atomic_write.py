import os
import threading
from pathlib import Path

import pytest

from gtcrn_frontend.atomic_write import check_replaceable, remove_leftovers, replaced_at_end

DEAD = 999_999_999  # no system has so many processes


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_appears_when_complete_and_replaces(tmp_path):
    path = tmp_path / "a.wav"
    path.write_text("old")
    with replaced_at_end(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("begin", [check_replaceable, lambda path: replaced_at_end(path).__enter__()])
def test_a_file_that_cannot_be_is_named_as_the_user_did(tmp_path, monkeypatch, begin):
    monkeypatch.chdir(tmp_path)
    for path in ("nowhere/a.wav", "file/a.wav", "/proc/a.wav", "folder"):
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(OSError) as error:
            begin(Path(path))
        assert error.value.filename == path
        assert ".part" not in str(error.value)
    assert names(tmp_path) == ["file", "folder"]


def test_errors_on_the_way_name_the_file_too(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(IsADirectoryError) as error, replaced_at_end(path) as temporary:
        temporary.unlink()
        temporary.mkdir()
        try:
            temporary.write_text("x")
        finally:
            temporary.rmdir()
    assert error.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as error, replaced_at_end(path):
        (tmp_path / "another").read_text()
    assert str(error.value.filename) == str(tmp_path / "another")


def test_whether_a_file_can_be_replaced_changes_nothing(tmp_path):
    path = tmp_path / "a.wav"
    check_replaceable(path)
    assert names(tmp_path) == []
    path.write_text("old")
    check_replaceable(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_vanishes_when_interrupted(tmp_path, error):
    with pytest.raises(error), replaced_at_end(tmp_path / "a.wav") as temporary:
        temporary.write_text("half")
        raise error
    assert names(tmp_path) == []


def test_many_threads_get_the_usual_permissions(tmp_path):
    def write(number):
        with replaced_at_end(tmp_path / f"{number}.wav"):
            pass

    (tmp_path / "plain").touch()
    threads = [threading.Thread(target=write, args=[number]) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("name", ["x" * 250, "録音" * 40 + ".wav"])
def test_long_names_fit(tmp_path, name):
    with replaced_at_end(tmp_path / name) as temporary:
        temporary.write_text("whole")
    left_by_a_killed_run = temporary.name.replace(f".{os.getpid()}-", f".{DEAD}-")
    (tmp_path / left_by_a_killed_run).write_text("half")
    remove_leftovers([tmp_path / name])
    assert names(tmp_path) == [name]


def test_only_leftovers_of_the_named_files_are_removed(tmp_path):
    kept = [
        ".a.wav",
        ".a.wav.part",
        f".b.wav.{DEAD}-01234567.part",
        f".a.wav.{os.getpid()}-01234567.part",  # of a process that runs
        f".a.wav.flac.{DEAD}-01234567.part",
        f"a.wav.{DEAD}-01234567.part",
        "a.wav",
    ]
    for name in (*kept, f".a.wav.{DEAD}-01234567.part", f".a.wav.{DEAD}-89abcdef.part"):
        (tmp_path / name).touch()
    remove_leftovers([tmp_path / "a.wav", tmp_path / "nowhere" / "a.wav"])
    assert names(tmp_path) == sorted(kept)
