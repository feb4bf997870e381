import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gtcrn_frontend.atomic_write import check_replaceable, remove_leftovers, replaced_at_end, write_bytes, write_text

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


def test_file_and_folder_are_synced_before_and_after_the_renaming(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []
    fsync = os.fsync

    def recorded(descriptor):
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    write_text(path, "new")
    (file, existed), (folder, exists) = synced
    assert file.endswith(".part")
    assert (existed, folder, exists) == (False, str(tmp_path), True)


def test_texts_may_hold_names_that_are_not_utf_8(tmp_path):
    write_text(tmp_path / "a.json", json.dumps({"name": os.fsdecode(b"caf\xe9")}, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text()) == {"name": os.fsdecode(b"caf\xe9")}
    write_bytes(tmp_path / "a.json", b"bytes")
    assert (tmp_path / "a.json").read_bytes() == b"bytes"


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
big = np.zeros(1 << 16)
path = Path(sys.argv[2])
def settings():
    from gtcrn_frontend import EnhancerConfig
    EnhancerConfig(model="x" * 60_000).to_yaml(path)
def safetensors():
    from gtcrn_frontend.weights.checkpoint import write_safetensors
    write_safetensors(path, {"w": big}, {})
def split():
    from gtcrn_frontend.training.config import HeldOutConfig
    from gtcrn_frontend.training.data.corpus import Recording
    from gtcrn_frontend.training.data.split import load_or_draw_split
    path.unlink()
    speech = [Recording(Path(f"{i}.wav"), "speech", "s", "g" * 60_000 + str(i)) for i in range(4)]
    load_or_draw_split(speech, HeldOutConfig(file=path), 0)
def training():
    from gtcrn_frontend.training.checkpoint import save_checkpoint
    import torch
    save_checkpoint(path, {"w": torch.from_numpy(big)})
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))  # writing fails as on a full disk
try:
    globals()[sys.argv[1]]()
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("what", ["settings", "safetensors", "training", "split"])
def test_a_full_disk_keeps_the_old_file_and_is_named_with_it(tmp_path, what):
    pytest.importorskip("resource", reason="no limits for files on this platform")
    path = tmp_path / "old"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, what, path], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert str(path) in done.stdout
    assert "File too large" in done.stdout
    assert names(tmp_path) == ([] if what == "split" else ["old"])
    assert what == "split" or path.read_text() == "old"
