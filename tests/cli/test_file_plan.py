from pathlib import Path

import pytest

from gtcrn_frontend import ConfigError
from gtcrn_frontend.cli._file_plan import Task, plan


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A folder of files, with the working directory beside it: what is planned depends on names alone."""
    monkeypatch.chdir(tmp_path)
    names = [
        "b.wav",
        "a.flac",
        "notes.txt",
        "x.raw",
        ".hidden.wav",
        ".a.flac.1-01234567.part",
        "day/c.mp3",
        ".git/d.wav",
    ]
    for name in [*names, "day/night/e.OGG", "other/b.wav"]:
        path = Path("corpus", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("single.wav").touch()
    Path("folder").mkdir()
    return Path("corpus")


def pairs(tasks):
    return [(str(task.source), str(task.output)) for task in tasks]


@pytest.mark.parametrize("output", ["out", "out/", "folder"])
def test_a_folders_files_keep_their_names(corpus, output):
    folder = output.rstrip("/")
    assert pairs(plan(["corpus"], output, recursive=False)) == [
        ("corpus/a.flac", f"{folder}/a.flac"),
        ("corpus/b.wav", f"{folder}/b.wav"),
    ]


def test_folders_of_folders_keep_their_paths(corpus):
    planned = pairs(plan(["corpus/"], "out", recursive=True))
    names = ["a.flac", "b.wav", "day/c.mp3", "day/night/e.OGG", "other/b.wav"]
    assert planned == [(f"corpus/{name}", f"out/{name}") for name in names]


@pytest.mark.parametrize("output", ["corpus/day", "./corpus/../corpus/day"])
def test_an_output_folder_within_is_not_read(corpus, output):
    sources = [str(task.source) for task in plan(["corpus"], output, recursive=True)]
    assert sources == ["corpus/a.flac", "corpus/b.wav", "corpus/other/b.wav"]


def test_one_file_to_a_file(corpus):
    assert plan(["single.wav"], "out.wav", recursive=False) == [Task(Path("single.wav"), Path("out.wav"))]


@pytest.mark.parametrize("output", ["folder", "new/"])
def test_one_file_to_a_folder(corpus, output):
    assert pairs(plan(["single.wav"], output, recursive=False)) == [("single.wav", f"{output.rstrip('/')}/single.wav")]


def test_several_files_of_any_suffix_and_folders_go_to_one_folder(corpus):
    planned = pairs(plan(["single.wav", "corpus/notes.txt", "corpus/day"], "out", recursive=False))
    assert planned == [
        ("single.wav", "out/single.wav"),
        ("corpus/notes.txt", "out/notes.txt"),
        ("corpus/day/c.mp3", "out/c.mp3"),
    ]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["corpus"], "single.wav", "single.wav"),
        (["corpus/a.flac", "corpus/b.wav"], "single.wav", "-o FOLDER"),
        (["folder"], "out", "folder: .*-r"),
        (["corpus/b.wav", "corpus/other/b.wav"], "out", "corpus/b.wav and corpus/other/b.wav"),
        (["corpus", "corpus/other"], "out", "corpus/b.wav and corpus/other/b.wav"),
        (["single.wav", "single.wav"], "out", "single.wav and single.wav"),
    ],
)
def test_what_cannot_work_is_found_before_it_begins(corpus, inputs, output, message):
    with pytest.raises(ConfigError, match=message):
        plan(inputs, output, recursive=False)
