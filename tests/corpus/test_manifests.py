import gzip
import json
from pathlib import Path

import pytest
import soundfile

from gtcrn_frontend.corpus import CorpusReport, enhance_corpus, local_runner
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.file_enhancement import enhance_file


def enhanced(source: Path, dest: Path) -> CorpusReport:
    return enhance_corpus(str(source), str(dest), run=local_runner(2))


def write_lines(path: Path, *entries: object) -> Path:
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def is_enhanced(output: Path, source: Path) -> bool:
    expected = enhance_file(source)  # int16, or, for 24 bits, float32
    samples, rate = soundfile.read(output, dtype=str(expected.dtype))
    rounding = 0 if samples.dtype == "int16" else 2**-23
    return rate == soundfile.info(source).samplerate and bool((abs(samples - expected) <= rounding).all())


def test_nemo(recordings: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "d.wav"
    outside.parent.mkdir()
    outside.write_bytes((recordings / "a.wav").read_bytes())
    (recordings / "bad.wav").write_text("no audio")
    manifest = write_lines(
        recordings / "train.json",
        {"audio_filepath": "a.wav", "offset": 0.0, "duration": 0.5, "text": "süß"},
        {"audio_filepath": "a.wav", "offset": 0.5, "duration": 0.5, "text": "two"},
        {"audio_filepath": "bad.wav", "duration": 1.0, "text": "gone"},
        {"audio_filepath": str(outside), "duration": 1.0, "text": "three", "lang": ["de", {"x": None}]},
        {"audio_filepath": "absent.wav", "duration": 1.0, "text": "gone, too"},
        {"text": "no audio"},
        {"audio_filepath": "deep/c.wav", "duration": 0.5, "text": "four"},
    )
    out = tmp_path / "out"
    report = enhanced(manifest, out)
    assert (report.done, report.failed) == (3, 3), "each file once"
    moved = str(out / "audio" / outside.relative_to(outside.anchor))
    assert read_lines(out / "train.json") == [
        {"audio_filepath": "a.wav", "offset": 0.0, "duration": 0.5, "text": "süß"},
        {"audio_filepath": "a.wav", "offset": 0.5, "duration": 0.5, "text": "two"},
        {"audio_filepath": moved, "duration": 1.0, "text": "three", "lang": ["de", {"x": None}]},
        {"audio_filepath": "deep/c.wav", "duration": 0.5, "text": "four"},
    ]
    assert is_enhanced(out / "a.wav", recordings / "a.wav")
    assert is_enhanced(Path(moved), outside)
    assert is_enhanced(out / "deep/c.wav", recordings / "deep/c.wav")
    names = [problem.name for problem in report.problems]
    assert names == sorted(["absent.wav", "train.json, line 6", str(recordings / "bad.wav")])


def test_a_list_stays_a_list(recordings: Path, tmp_path: Path) -> None:
    (recordings / "list.json").write_text(json.dumps([{"audio": "a.wav", "text": "one"}]))
    assert enhanced(recordings / "list.json", tmp_path / "out").done == 1
    assert json.loads((tmp_path / "out/list.json").read_text()) == [{"audio": "a.wav", "text": "one"}]


def lhotse_recording(path: Path | str, **other: object) -> dict:
    source = {"type": "file", "channels": [0], "source": str(path)}
    return {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0} | other


def test_lhotse_cuts_of_all_kinds(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where Lhotse's relative paths begin
    whole = {"id": "c1", "start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut", "supervisions": [{"text": "a"}]}
    mono = whole | {"recording": lhotse_recording("in/a.wav", transforms=[{"name": "Speed"}]), "features": {"x": 1}}
    stereo = whole | {"id": "c2", "recording": lhotse_recording(recordings / "b.flac")}
    mixed = {"id": "c3", "type": "MixedCut", "tracks": [{"cut": mono | {"id": "t1"}}, {"cut": stereo, "offset": 1}]}
    padding = {"cut": {"id": "p", "type": "PaddingCut", "duration": 1}}
    command = lhotse_recording("x")
    command["sources"][0]["type"] = "command"
    lines = [
        mono,
        stereo,
        mixed | {"tracks": [*mixed["tracks"], padding]},
        whole | {"id": "c4", "recording": command},
        whole | {"id": "c5", "recording": lhotse_recording("absent.wav")},
    ]
    with gzip.open(tmp_path / "cuts.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
    report = enhance_corpus("cuts.jsonl.gz", "out", run=local_runner(1))
    assert (report.done, report.failed) == (2, 2)
    assert {problem.name for problem in report.problems} == {"cuts.jsonl, line 4", "absent.wav"}
    with gzip.open(tmp_path / "out/cuts.jsonl.gz", "rt") as file:
        made = [json.loads(line) for line in file]
    assert [entry["id"] for entry in made] == ["c1", "c2", "c3"]
    first = made[0]["recording"].pop("sources")[0]["source"]
    assert first == "out/in/a.wav"
    expected = {name: value for name, value in mono.items() if name != "features"}
    del expected["recording"]["sources"]
    assert made[0] == expected
    assert is_enhanced(Path(first), recordings / "a.wav")
    second = made[1]["recording"]["sources"][0]["source"]
    assert Path(second).is_absolute(), "as the one that it replaces"
    assert is_enhanced(Path(second), recordings / "b.flac")
    tracks = [track["cut"] for track in made[2]["tracks"]]
    assert [cut["recording"]["sources"][0]["source"] for cut in tracks[:2]] == [first, second]
    assert "features" not in tracks[0]


def test_damaged_and_empty_manifests(recordings: Path, tmp_path: Path) -> None:
    broken = recordings / "broken.jsonl"
    broken.write_text('{"audio": "a.wav"}\n{"audio": \n["a.wav"]\n')
    report = enhanced(broken, tmp_path / "out")
    assert report.done == 1
    assert [problem.name for problem in report.problems] == ["broken.jsonl, line 2", "broken.jsonl, line 3"]
    (recordings / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="found no entries in it"):
        enhanced(recordings / "empty.jsonl", tmp_path / "out2")
    with pytest.raises(ConfigError, match="found nothing there"):
        enhanced(recordings / "absent.jsonl", tmp_path / "out2")
    clash = write_lines(recordings / "clash.jsonl", {"audio": "audio/x.wav"}, {"audio": "/x.wav"})
    (recordings / "audio").mkdir()
    (recordings / "audio/x.wav").write_bytes((recordings / "a.wav").read_bytes())
    with pytest.raises(ConfigError, match="have the same output"):
        enhanced(clash, tmp_path / "out3")


def test_kaldi(recordings: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (recordings / "bad.wav").write_text("no audio")
    lines = {
        "wav.scp": f"a {recordings}/a.wav\nb {recordings}/b.flac\nbad {recordings}/bad.wav\nz sph2pipe z.sph |\n",
        "segments": "a-1 a 0.0 0.5\na-2 a 0.5 1.0\nb-1 b 0 1\nbad-1 bad 0 1\nz-1 z 0 1\n",
        "text": "a-1 one\na-2 two words\nb-1\nbad-1 gone\nz-1 gone\n",
        "utt2spk": "a-1 s1\na-2 s2\nb-1 s1\nbad-1 s2\nz-1 s3\n",
        "spk2utt": "s1 a-1 b-1\ns2 a-2 bad-1\ns3 z-1\n",
        "spk2gender": "s1 f\n",
        "feats.scp": "a-1 feats.ark:1\n",
    }
    for name, content in lines.items():
        (data / name).write_text(content)
    out = tmp_path / "out"
    report = enhanced(data, out)
    assert (report.done, report.failed) == (2, 2)
    assert [problem.name for problem in report.problems] == [str(recordings / "bad.wav"), "z"]
    made = dict(line.split() for line in (out / "wav.scp").read_text().splitlines())
    assert made.keys() == {"a", "b"}
    assert is_enhanced(Path(made["a"]), recordings / "a.wav")
    assert is_enhanced(Path(made["b"]), recordings / "b.flac")
    assert (out / "segments").read_text() == "a-1 a 0.0 0.5\na-2 a 0.5 1.0\nb-1 b 0 1\n"
    assert (out / "text").read_text() == "a-1 one\na-2 two words\nb-1\n"
    assert (out / "utt2spk").read_text() == "a-1 s1\na-2 s2\nb-1 s1\n"
    assert (out / "spk2utt").read_text() == "s1 a-1 b-1\ns2 a-2\n"
    assert (out / "spk2gender").read_text() == "s1 f\n"
    assert not (out / "feats.scp").exists()


def test_kaldi_without_segments(recordings: Path, tmp_path: Path) -> None:
    (recordings / "wav.scp").write_text("u1 a.wav\nu2 deep/c.wav\n")
    (recordings / "text").write_text("u1 one\nu2 two\n")
    assert enhanced(recordings, tmp_path / "out").done == 2
    assert (tmp_path / "out/wav.scp").read_text() == f"u1 {tmp_path}/out/a.wav\nu2 {tmp_path}/out/deep/c.wav\n"
    assert (tmp_path / "out/text").read_text() == "u1 one\nu2 two\n"
