"""The command `models`, with a registry whose downloads come from a real HTTP server on loopback."""

import functools
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from gtcrn_frontend.cli import models as command
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.weights.checkpoint import read_checkpoint
from gtcrn_frontend.weights.model import installed_model_file, installed_registry, load_model
from gtcrn_frontend.weights.registry import CACHE_VARIABLE, Registry

BODIES = {"first": b"1" * 70_000, "second": b"2" * 150_000}


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the URL at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def registry(served: tuple[Path, str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """One embedded model, `inside`, and two to download, `first` and `second`."""
    folder, url = served
    text = '[inside]\nfile = "inside.safetensors"\nnetwork = "gtcrn"\nlicence = "MIT"\ndescription = "embedded"\n'
    for name, body in BODIES.items():
        (folder / name).write_bytes(body)
        text += f'[{name}]\nfile = "{name}.tar"\nnetwork = "gtcrn"\nlicence = "CC0-1.0"\ndescription = "the {name}"\n'
        text += f'[{name}.download]\nurl = "{url}/{name}"\nsize_bytes = {len(body)}\n'
        text += f'sha256 = "{hashlib.sha256(body).hexdigest()}"\n'
    (tmp_path / "registry.toml").write_text(text)
    shutil.copy(installed_model_file("gtcrn-asr.safetensors"), tmp_path / "inside.safetensors")
    registry = Registry.from_toml(tmp_path / "registry.toml")
    monkeypatch.setattr(command, "installed_registry", lambda: registry)
    return registry


# list


def test_list_shows_every_registered_model_and_where_it_is(
    registry: Registry, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir()
    (cache / "first.tar").write_bytes(BODIES["first"])
    assert main(["models", "list"]) == 0
    table, _, footnote = capsys.readouterr().out.partition("\n\n")
    assert footnote.startswith("silero_vad.onnx")
    header, *lines = (line.split() for line in table.splitlines())
    assert header == ["name", "network", "size", "latency", "licence", "where", "description"]
    size = (cache.parent / "inside.safetensors").stat().st_size
    assert lines == [
        ["inside", "gtcrn", f"{size / 1000:.0f}", "kB", "32", "ms", "MIT", "embedded", "embedded"],
        ["first", "gtcrn", "70", "kB", "32", "ms", "CC0-1.0", "cached", "the", "first"],
        ["second", "gtcrn", "150", "kB", "32", "ms", "CC0-1.0", "not", "downloaded", "the", "second"],
    ]


def test_list_as_json(registry: Registry, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir()
    (cache / "second.tar").write_bytes(b"another file")
    (cache.parent / "inside.safetensors").unlink()
    assert main(["models", "list", "--json"]) == 0
    inside, first, second = json.loads(capsys.readouterr().out)
    assert (inside["where"], inside["size_bytes"], inside["url"], inside["sha256"]) == ("missing", None, None, None)
    assert (first["where"], second["where"]) == ("not downloaded", "damaged")
    assert first["sha256"] == hashlib.sha256(BODIES["first"]).hexdigest()
    assert first["path"] == str(cache / "first.tar")


def test_list_with_measured_speed_of_those_that_are_here_or_to_be_supplied(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {name: installed_registry().models[name] for name in ("gtcrn-asr", "gtcrn-dns3", "lite-rtse")}
    registry = replace(installed_registry(), models=models)
    monkeypatch.setattr(command, "installed_registry", lambda: registry)
    assert main(["models", "list", "--bench", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert 0 < rows["gtcrn-asr"]["rtf"] < rows["lite-rtse"]["rtf"] < 100
    assert rows["gtcrn-dns3"]["rtf"] is None
    monkeypatch.setattr(command, "absent_engines", lambda: {"onnx": "not installed", "torch": "not installed"})
    assert main(["models", "list", "--bench", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["lite-rtse"]["rtf"] is None


def test_list_of_the_installed_registry(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(installed_registry().models)
    assert [row["where"] for row in rows] == ["embedded"] * 3 + ["not downloaded"] * 4 + ["to be supplied"] * 3


# download


def test_download_prints_where_the_files_are(
    registry: Registry, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", "second", "inside"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(cache / "second.tar"), str(cache.parent / "inside.safetensors")]
    assert printed.err == ""
    assert (cache / "second.tar").read_bytes() == BODIES["second"]
    assert main(["models", "download", "--all"]) == 0
    assert (cache / "first.tar").read_bytes() == BODIES["first"]


def test_one_failed_download_does_not_stop_the_others(
    registry: Registry, served: tuple[Path, str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, url = served
    (folder / "first").unlink()
    assert main(["models", "download", "--all"]) == 1
    printed = capsys.readouterr()
    assert str(cache / "second.tar") in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith("first: ")
    assert "404" in line
    assert f"{url}/first" in line


def test_a_wrong_name_stops_before_any_download(
    registry: Registry, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", "first", "secnod"]) == 1
    assert "did you mean 'second'?" in capsys.readouterr().err
    assert not cache.exists()


@pytest.mark.parametrize("arguments", [[], ["download"], ["download", "first", "--all"], ["upload"]])
def test_wrong_usage_exits_with_2(arguments: list[str], registry: Registry, cache: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["models", *arguments])
    assert not cache.exists()


# verify


def test_verify_finds_the_damaged_one(registry: Registry, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", "first"]) == 0
    capsys.readouterr()
    assert main(["models", "verify"]) == 0
    inside, first = capsys.readouterr().out.splitlines()
    assert inside.startswith("inside: ok, all parameters of gtcrn, digest ")
    assert first.startswith("first: ok, sha256 as registered")

    (cache / "first.tar").write_bytes(BODIES["first"][:-1] + b"2")
    assert main(["models", "verify"]) == 1
    inside, first = capsys.readouterr().out.splitlines()
    assert inside.startswith("inside: ok")
    assert first.startswith("first: BAD")
    assert main(["models", "verify", "inside"]) == 0


def test_verify_wants_named_models_to_be_there(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "second"]) == 1
    assert "second: BAD, not downloaded" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["missing", "cut", "NaN"])
def test_verify_checks_the_parameters_of_an_embedded_model(
    damage: str, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "inside.safetensors"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-4])
    else:
        file.write_bytes(file.read_bytes()[:-4] + np.float32(np.nan).tobytes())
    assert main(["models", "verify"]) == 1
    assert capsys.readouterr().out.startswith("inside: BAD, ")


def test_verify_accepts_what_is_installed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.startswith("gtcrn-asr: ok")


# convert


@pytest.fixture
def network() -> GTCRN:
    torch.manual_seed(3)
    return GTCRN()


@pytest.fixture
def checkpoint(network: GTCRN, tmp_path: Path) -> Path:
    """A checkpoint of random weights as GTCRN's author saves them."""
    path = tmp_path / "model.tar"
    torch.save({"epoch": 7, "model": network.state_dict()}, path)
    return path


def metadata_of(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


def test_convert_keeps_every_tensor_under_its_name(network: GTCRN, checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    assert main(["models", "convert", str(checkpoint), str(output)]) == 0
    digest = load_model(checkpoint).digest
    assert load_model(output).digest == digest
    assert metadata_of(output) == {"architecture": "gtcrn", "source": "model.tar", "digest": digest}
    converted = {name: torch.from_numpy(array) for name, array in read_checkpoint(output).items()}
    again = GTCRN()
    again.load_state_dict(converted, strict=True)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "model.tar"]


def test_convert_names_the_origin_of_a_registered_model(tmp_path: Path) -> None:
    output = tmp_path / "asr.safetensors"
    assert main(["models", "convert", "gtcrn-asr", str(output)]) == 0
    digest = load_model(installed_model_file("gtcrn-asr.safetensors")).digest
    origin = {"source": "gtcrn-asr", "licence": "MIT", "digest": digest}
    assert metadata_of(output) == {"architecture": "gtcrn", **origin}


def test_convert_replaces_only_when_told_to(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.safetensors"
    output.write_bytes(b"precious")
    assert main(["models", "convert", str(checkpoint), str(output)]) == 1
    assert "--force" in capsys.readouterr().err
    assert output.read_bytes() == b"precious"
    assert main(["models", "convert", str(checkpoint), str(output), "--force"]) == 0
    assert load_model(output).digest == load_model(checkpoint).digest


def test_a_failing_conversion_leaves_what_was_there(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def disk_full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gtcrn_frontend.atomic_write._sync", disk_full)
    output = tmp_path / "model.safetensors"
    output.write_bytes(b"precious")
    assert main(["models", "convert", str(checkpoint), str(output), "--force"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert output.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "model.tar"]


@pytest.mark.parametrize(
    ("source", "output", "complaint"),
    [
        ("graph.onnx", "out.safetensors", "expected a checkpoint"),
        ("text.tar", "out.safetensors", "expected a safetensors file"),
        ("none.tar", "out.safetensors", "no such file"),
        ("gtcrn-asr", "out.tar", "ends in .safetensors"),
        ("gtcrn-asr", "nowhere/out.safetensors", "there is no folder"),
    ],
)
def test_what_cannot_be_converted(
    source: str,
    output: str,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("graph.onnx").write_bytes(installed_model_file("gtcrn.onnx").read_bytes())
    Path("text.tar").write_text("no checkpoint")
    assert main(["models", "convert", source, output]) == 1
    assert complaint in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.onnx", "text.tar"]


def test_convert_takes_the_released_checkpoints(shared: Path, tmp_path: Path) -> None:
    for path in sorted((shared / "reference" / "gtcrn").glob("*.tar")):
        output = tmp_path / f"{path.stem}.safetensors"
        assert main(["models", "convert", str(path), str(output)]) == 0
        assert load_model(output).digest == load_model(path).digest
        assert set(read_checkpoint(output)) == set(read_checkpoint(path))
