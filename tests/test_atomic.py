import threading

import pytest

from gtcrn_frontend.atomic import remove_leftovers, replaced_at_end


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
    temporary.write_text("left by a killed run")
    remove_leftovers([tmp_path / name])
    assert names(tmp_path) == [name]


def test_only_leftovers_of_the_named_files_are_removed(tmp_path):
    kept = [
        ".a.wav",
        ".a.wav.part",
        ".b.wav.01234567.part",
        ".a.wav.flac.01234567.part",
        "a.wav.01234567.part",
        "a.wav",
    ]
    for name in (*kept, ".a.wav.01234567.part", ".a.wav.89abcdef.part"):
        (tmp_path / name).touch()
    remove_leftovers([tmp_path / "a.wav", tmp_path / "nowhere" / "a.wav"])
    assert names(tmp_path) == sorted(kept)
