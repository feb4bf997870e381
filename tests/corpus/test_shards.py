import io
import json
import tarfile
from pathlib import Path

import pytest
import soundfile

from gtcrn_frontend.corpus import enhance_corpus, local_runner
from gtcrn_frontend.corpus.shards import expand
from gtcrn_frontend.file_enhancement import enhance_file


def write_shard(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(content), 1_000_000, "somebody"
            tar.addfile(info, io.BytesIO(content))


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


@pytest.fixture
def members(recordings: Path) -> dict[str, bytes]:
    """Three samples, of which the second one is damaged; the third has two channels and FLAC."""
    return {
        "x/000.wav": (recordings / "a.wav").read_bytes(),
        "x/000.json": json.dumps({"text": "one"}).encode(),
        "001.json": b"{}",
        "001.wav": b"no audio",
        "001.txt": b"gone",
        "002.flac": (recordings / "b.flac").read_bytes(),
        "002.txt": b"two",
        "__index__": b"kept",
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_audio_is_enhanced_and_the_rest_copied(
    members: dict[str, bytes], recordings: Path, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / f"shard-000{suffix}"
    write_shard(source, members, "w:gz" if suffix == ".tar.gz" else "w")
    report = enhance_corpus(str(source), str(tmp_path / "out"), run=local_runner(1))
    assert (report.done, report.failed) == (1, 1)
    assert report.audio_s == pytest.approx(2)
    (problem,) = report.problems
    assert problem.name == f"{source}: 001"
    assert problem.reason.startswith("001.wav: expected an audio file")
    output = tmp_path / "out" / source.name
    made = members_of(output)
    assert list(made) == ["x/000.wav", "x/000.json", "002.flac", "002.txt", "__index__"]
    for name in ("x/000.json", "002.txt", "__index__"):
        assert made[name] == members[name]
    for name, original in {"x/000.wav": "a.wav", "002.flac": "b.flac"}.items():
        enhanced, rate = soundfile.read(io.BytesIO(made[name]), dtype="int16")
        assert (enhanced == enhance_file(recordings / original)).all()
        assert rate == soundfile.info(recordings / original).samplerate
    with tarfile.open(output) as tar:
        assert {(info.mtime, info.uname) for info in tar} == {(1_000_000, "somebody")}
    enhance_corpus(str(source), str(tmp_path / "again"), run=local_runner(1))
    assert (tmp_path / "again" / source.name).read_bytes() == output.read_bytes(), "the bytes depend on nothing else"


def test_many_shards_by_range_pattern_and_folder(members: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    del members["001.wav"]
    for number in range(3):
        write_shard(tmp_path / "shards" / f"s-{number:02}.tar", {f"{number}/{k}": v for k, v in members.items()})
    (tmp_path / "shards/bad.tar").write_text("no tar")
    ranged, pattern = f"{tmp_path}/shards/s-{{00..02}}.tar", f"{tmp_path}/shards/s-*.tar"
    made = {}
    for name, source, failed in (("r", ranged, 0), ("p", pattern, 0), ("f", f"{tmp_path}/shards", 1)):
        report = enhance_corpus(source, str(tmp_path / name), run=local_runner(2))
        assert (report.done, report.failed) == (3, failed)
        made[name] = {path.name: path.read_bytes() for path in (tmp_path / name).glob("s-*.tar")}
        assert list(members_of(tmp_path / name / "s-01.tar")) == [f"1/{key}" for key in members]
    assert len(made["r"]) == 3
    assert made["r"] == made["p"] == made["f"]


def test_a_shard_that_ends_too_early_is_no_output(members: dict[str, bytes], tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", members)
    whole = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(whole[: len(members["x/000.wav"]) + 700])
    report = enhance_corpus(str(tmp_path / "s.tar"), str(tmp_path / "out"), run=local_runner(1))
    assert (report.done, report.failed) == (0, 1)
    assert "damaged" in report.problems[0].reason
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"failed.jsonl", "enhance-corpus.json"}


def test_a_length_in_an_extended_header_does_not_outlive_the_audio(recordings: Path, tmp_path: Path) -> None:
    content = (recordings / "b.flac").read_bytes()
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("1.flac")
        info.size, info.pax_headers = len(content), {"size": str(len(content)), "comment": "kept"}
        tar.addfile(info, io.BytesIO(content))
        tar.addfile(tarfile.TarInfo("1.txt"))
    enhance_corpus(str(tmp_path / "s.tar"), str(tmp_path / "out"), run=local_runner(1))
    made = members_of(tmp_path / "out/s.tar")
    assert list(made) == ["1.flac", "1.txt"]
    assert len(made["1.flac"]) != len(content)
    enhanced, _ = soundfile.read(io.BytesIO(made["1.flac"]), dtype="int16")
    assert (enhanced == enhance_file(recordings / "b.flac")).all()
    with tarfile.open(tmp_path / "out/s.tar") as tar:
        assert tar.getmembers()[0].pax_headers["comment"] == "kept"


def test_ranges() -> None:
    assert expand("s.tar") == ["s.tar"]
    assert expand("s-{08..10}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert expand("{0..1}/{1..2}.tar") == ["0/1.tar", "0/2.tar", "1/1.tar", "1/2.tar"]
