"""Object storage: fsspec's own store in memory stands for S3 and the like."""

import io
import json
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import soundfile

from gtcrn_frontend.corpus import enhance_corpus, local_runner, storage
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.file_enhancement import enhance_file
from gtcrn_frontend.install_hint import install_hint


@pytest.fixture
def bucket(recordings: Path):
    """A store with the recordings, a manifest of them and a file that is no audio."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    for path in recordings.rglob("*.*"):
        store.pipe(f"/bucket/in/{path.relative_to(recordings).as_posix()}", path.read_bytes())
    lines = [{"audio_filepath": "a.wav"}, {"audio_filepath": "memory://bucket/in/deep/c.wav"}]
    store.pipe("/bucket/in/train.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    store.pipe("/bucket/in/bad.wav", b"no audio")
    return store


def names(store, folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in store.find(folder)}


def test_a_folder_in_a_store(bucket, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for atomic in (True, False):
        dest = f"memory://bucket/out-{atomic}"
        if not atomic:
            monkeypatch.setattr(storage, "_ATOMIC", set())
        report = enhance_corpus("memory://bucket/in", dest, run=local_runner(1))
        assert (report.done, report.failed) == (3, 1)
        assert report.problems[0][0] == "memory://bucket/in/bad.wav"
        expected = {"/a.wav", "/b.flac", "/deep/c.wav", "/failed.jsonl", "/enhance-corpus.json"}
        assert names(bucket, f"/bucket/out-{atomic}") == expected
        samples = soundfile.read(io.BytesIO(bucket.cat(f"/bucket/out-{atomic}/b.flac")), dtype="int16")[0]
        assert (samples == enhance_file(recordings / "b.flac")).all()
        assert enhance_corpus("memory://bucket/in", dest, run=local_runner(1), resume=True).kept == 3


def test_a_manifest_in_a_store_to_a_folder_here_and_back(bucket, recordings: Path, tmp_path: Path) -> None:
    report = enhance_corpus("memory://bucket/in/train.jsonl", str(tmp_path / "out"), run=local_runner(1))
    assert (report.done, report.failed) == (2, 0)
    made = [json.loads(line)["audio_filepath"] for line in (tmp_path / "out/train.jsonl").read_text().splitlines()]
    assert made == ["a.wav", str(tmp_path / "out/deep/c.wav")]
    assert (soundfile.read(tmp_path / "out/a.wav", dtype="int16")[0] == enhance_file(recordings / "a.wav")).all()
    report = enhance_corpus(f"file://{tmp_path}/out/train.jsonl", "memory://bucket/back", run=local_runner(1))
    assert report.done == 2
    lines = bucket.cat("/bucket/back/train.jsonl").decode().splitlines()
    assert all(json.loads(line)["audio_filepath"].startswith("memory://bucket/back/") for line in lines)


def test_shards_by_pattern_in_a_store(bucket) -> None:
    bucket.pipe("/bucket/in/s-0.tar", b"no tar")
    report = enhance_corpus("memory://bucket/in/s-*.tar", "memory://bucket/tar", run=local_runner(1))
    assert [problem.name for problem in report.problems] == ["memory://bucket/in/s-0.tar"]


def test_a_store_that_fails_is_a_problem_of_the_item(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    get_file, put_file = type(bucket).get_file, type(bucket).put_file

    def get(self: object, remote: str, local: str) -> None:
        if remote.endswith("a.wav"):
            raise RuntimeError("access denied")
        get_file(self, remote, local)

    def put(self: object, local: str, remote: str) -> None:
        if remote.endswith("b.flac"):
            raise RuntimeError("quota exceeded")
        put_file(self, local, remote)

    monkeypatch.setattr(type(bucket), "get_file", get)
    monkeypatch.setattr(type(bucket), "put_file", put)
    report = enhance_corpus("memory://bucket/in", "memory://bucket/out", run=local_runner(1))
    assert (report.done, report.failed) == (1, 3)
    reasons = {problem.name.rpartition("/")[2]: problem.reason for problem in report.problems}
    assert reasons["a.wav"] == "cannot be fetched: access denied"
    assert reasons["b.flac"] == "memory://bucket/out/b.flac: cannot be written: quota exceeded"
    assert names(bucket, "/bucket/out") == {"/deep/c.wav", "/failed.jsonl", "/enhance-corpus.json"}


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nosuch://x: fsspec cannot open it: Protocol not known"):
        enhance_corpus("nosuch://x", str(tmp_path / "out"), run=local_runner(1))
    code = """if True:
        import sys
        sys.modules["fsspec"] = None
        from gtcrn_frontend.corpus import enhance_corpus, local_runner
        enhance_corpus("s3://x", "out", run=local_runner(1))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert install_hint("ray") in done.stderr.splitlines()[-1]


def test_paths_and_urls() -> None:
    assert storage.normal("file:///data/x") == "/data/x"
    assert storage.join("s3://b/f/", "x/y") == "s3://b/f/x/y"
    assert storage.parent("s3://b/f/x") == "s3://b/f"
    assert storage.below("s3://b/f/x") == "b/f/x"
    assert storage.below("/data/x.wav") == "data/x.wav"
    assert storage.below("data/./x.wav") == "data/x.wav"
