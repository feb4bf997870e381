"""The registry against a real HTTP server on loopback: what is downloaded, what is refused, and what is left behind."""

import contextlib
import gzip
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend import Enhancer, EnhancerConfig, ModelError
from gtcrn_frontend.weights import http
from gtcrn_frontend.weights.model import installed_model_file, installed_registry, load_model, model_path
from gtcrn_frontend.weights.registry import CACHE_VARIABLE, Download, Registry, cache_folder

COMMITS = (
    "/Xiaobin-Rong/gtcrn/3862c44808dca492ea5a8a145d2dc2a1028d08c8/",
    "/Xiaobin-Rong/ul-unas/00f7c700da43d38347f30a6ccebd86fcbc798e07/",
)
REFERENCE_FILES = {
    "gtcrn-dns3": "gtcrn/model_trained_on_dns3.tar",
    "gtcrn-vctk": "gtcrn/model_trained_on_vctk.tar",
    "gtcrn-dns3-stream": "gtcrn/model_trained_on_dns3_stream.tar",
    "ulunas-dns3": "ulunas/model_trained_on_dns3.tar",
}
BODY = bytes(np.random.default_rng(20261121).integers(0, 256, 300_000, dtype=np.uint8))
PATIENCE_S = 60  # nothing here takes as long; a test that would hang fails


class Server(ThreadingHTTPServer):
    """Answers request i as `answers[i]` says, the last one for ever; counts requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.answers = ["good"]
        self.requests = 0
        self.sent = 0  # bytes of an endless answer
        self.lock = threading.Lock()
        self.arrival = threading.Barrier(1)  # holds requests back until so many are there
        self.begun = threading.Event()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/checkpoints/model.tar"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            answer = server.answers[min(server.requests, len(server.answers) - 1)]
            server.requests += 1
        server.arrival.wait(PATIENCE_S)
        if answer == "404":
            self.send_error(404)
            return
        if answer.startswith("endless") or answer == "slow":
            self._drip(server) if answer == "slow" else self._flood(with_length=answer == "endless")
            return
        body = b"<html>please log in</html>" if answer == "wrong" else server.body
        self.send_response(200)
        if answer == "gzip":  # 100 MB of zeros in 0.1 MB
            body = gzip.compress(bytes(100_000_000), 1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer in ("good", "wrong"):
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        server.begun.set()
        if answer == "hang":
            server.released.wait(PATIENCE_S)

    def _flood(self, *, with_length: bool) -> None:
        self.send_response(200)
        if with_length:
            self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1 << 16))
                self.server.sent += 1 << 16

    def _drip(self, server: Server) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            while not server.released.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for downloads; not made yet."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def closed_url() -> str:
    """A URL where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/checkpoints/model.tar"


def registry_file(folder: Path, url: str, body: bytes = BODY, name: str = "some-model") -> Path:
    path = folder / "registry.toml"
    path.write_text(
        f"""
        [{name}]
        file = "{name}.tar"
        network = "gtcrn"
        licence = "MIT"
        description = "made for a test"
        [{name}.download]
        url = {json.dumps(url)}
        sha256 = "{hashlib.sha256(body).hexdigest()}"
        size_bytes = {len(body)}
        """
    )
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# The installed registry


def test_the_installed_registry_names_embedded_models_and_pinned_downloads() -> None:
    models = installed_registry().models
    downloads = {name: model.download for name, model in models.items() if model.download}
    to_supply = {name for name, model in models.items() if model.supply}
    assert set(models) == {"gtcrn-asr", "gtcrn-voice", "ulunas-asr", *REFERENCE_FILES} | to_supply
    assert set(downloads) == set(REFERENCE_FILES)
    assert all(any(commit in download.url for commit in COMMITS) for download in downloads.values())
    assert len({model.file for model in models.values() if model.file}) == len(models) - len(to_supply)
    assert {model.licence for name, model in models.items() if name not in to_supply} == {"MIT"}


def test_weights_that_users_have_to_supply_are_asked_for_with_where_they_come_from() -> None:
    assert installed_registry().location("lite-rtse") == "to be supplied"
    with pytest.raises(ModelError, match=r"weights for lite-rtse.*no checkpoint.*public.*path of the checkpoint"):
        model_path("lite-rtse")


def test_registered_hashes_and_sizes_are_those_of_the_released_files(shared: Path) -> None:
    for name, file in REFERENCE_FILES.items():
        data = (shared / "reference" / file).read_bytes()
        download = installed_registry().find(name).download
        assert download is not None
        assert (download.sha256, download.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_the_default_model_is_embedded_and_loads_without_downloading_libraries() -> None:
    assert installed_registry().location(EnhancerConfig.model) == "embedded"
    code = f"""if True:
        import sys
        import gtcrn_frontend
        from gtcrn_frontend.weights.model import load_model, model_path
        load_model(model_path({EnhancerConfig.model!r}))
        print([name for name in ("pooch", "requests", "urllib3") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# Names and paths


@pytest.mark.parametrize("name", ["gtcrn-asr", *REFERENCE_FILES])
def test_a_mistyped_name_is_answered_with_the_nearest(name: str) -> None:
    for mistyped in (name[:3] + name[4:], name.replace("-", "_"), name.upper(), f"{name}s"):
        for look_up in (model_path, installed_registry().find):
            with pytest.raises(ModelError, match=f"got '{mistyped}'.*did you mean '{name}'"):
                look_up(mistyped)


def test_a_name_is_the_registered_model_and_a_path_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gtcrn-asr").write_bytes(b"a file of that name")
    assert model_path("gtcrn-asr") == model_path(Path("gtcrn-asr")) == installed_model_file("gtcrn-asr.safetensors")
    assert model_path("./gtcrn-asr") == tmp_path / "gtcrn-asr"
    Path("other").write_bytes(b"")
    assert model_path("other") == tmp_path / "other"


@pytest.mark.parametrize("missing", ["models/none.tar", "/none/at/all", "none.safetensors"])
def test_a_path_that_does_not_exist_is_named(missing: str) -> None:
    with pytest.raises(ModelError, match=f"got '{missing}': no such file"):
        model_path(missing)


# Downloads


def test_a_download_is_verified_kept_and_made_once(server: Server, cache: Path, tmp_path: Path) -> None:
    registry = Registry.from_toml(registry_file(tmp_path, server.url))
    assert registry.location("some-model") == "not downloaded"
    path = registry.fetch("some-model")
    assert path == cache / "some-model.tar"
    assert path.read_bytes() == BODY
    assert files_in(cache) == ["some-model.tar"]
    assert registry.location("some-model") == "cached"
    assert registry.fetch("some-model") == path
    assert server.requests == 1


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits are POSIX")
def test_others_may_read_a_shared_cache(server: Server, cache: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = Registry.from_toml(registry_file(tmp_path, server.url)).fetch("some-model")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


FAILURES = {
    "wrong": "expected a file of sha256 .* got sha256 .* and discarded it",
    "cut": "150000 bytes read, 150000 more expected",
    "404": "404 .*Not Found",
    "hang": "timed out",
    "endless": "expected a file of 300000 bytes, got more from the server",
    "endless, without length": "expected a file of 300000 bytes, got more from the server",
    "gzip": "expected the file itself, got content encoded with 'gzip'",
    "slow": "not complete after 0.5 s",
}


@pytest.mark.parametrize("answer", FAILURES)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    answer: str, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT_S", 0.2 if answer == "hang" else PATIENCE_S)
    monkeypatch.setattr(http, "TOTAL_TIMEOUT_S", 0.5 if answer == "slow" else PATIENCE_S)
    server.answers = [answer, "good"]
    registry = Registry.from_toml(registry_file(tmp_path, server.url))
    with pytest.raises(ModelError, match=FAILURES[answer]) as failed:
        registry.fetch("some-model")
    assert f"By hand: save {server.url} as some-model.tar in {cache} " in str(failed.value)
    assert files_in(cache) == []
    assert registry.fetch("some-model").read_bytes() == BODY
    assert server.sent < 50 * len(BODY), "what the buffers of both sides hold, and no more"


def test_without_network_the_message_says_what_to_save_where(closed_url: str, cache: Path, tmp_path: Path) -> None:
    registry = Registry.from_toml(registry_file(tmp_path, closed_url))
    with pytest.raises(ModelError, match="refused") as failed:
        registry.fetch("some-model")
    assert f"By hand: save {closed_url} as some-model.tar in {cache} " in str(failed.value)
    assert files_in(cache) == []


def test_a_failing_name_service_is_a_model_error(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name_service(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    # instead of a name that does not exist: where no name service answers at all, asking takes many seconds
    monkeypatch.setattr(socket, "getaddrinfo", no_name_service)
    monkeypatch.setenv("NO_PROXY", "gtcrn.invalid")
    registry = Registry.from_toml(registry_file(tmp_path, "http://gtcrn.invalid/model.tar"))
    with pytest.raises(ModelError, match=r"Temporary failure in name resolution\. By hand: save http://gtcrn\.invalid"):
        registry.fetch("some-model")
    assert files_in(cache) == []


def test_a_file_put_there_by_hand_is_verified_and_used(closed_url: str, cache: Path, tmp_path: Path) -> None:
    registry = Registry.from_toml(registry_file(tmp_path, closed_url))
    cache.mkdir(parents=True)
    file = cache / "some-model.tar"
    file.write_bytes(BODY[:-1])
    assert registry.location("some-model") == "damaged"
    with pytest.raises(ModelError, match=hashlib.sha256(BODY[:-1]).hexdigest()):
        registry.fetch("some-model")
    assert file.read_bytes() == BODY[:-1], "not ours to delete"
    file.write_bytes(BODY)
    assert registry.fetch("some-model") == file


def test_a_damaged_file_is_replaced(server: Server, cache: Path, tmp_path: Path) -> None:
    registry = Registry.from_toml(registry_file(tmp_path, server.url))
    file = registry.fetch("some-model")
    file.write_bytes(BODY[:1000])
    assert registry.fetch("some-model").read_bytes() == BODY
    assert files_in(cache) == ["some-model.tar"]


# Folders that cannot be written or read


def test_a_cache_that_is_no_folder(server: Server, cache: Path, tmp_path: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"a file in the way")
    with pytest.raises(ModelError, match=f"cannot write to the cache folder {cache}.*{CACHE_VARIABLE}"):
        Registry.from_toml(registry_file(tmp_path, server.url)).fetch("some-model")


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Without root's right to read and write everything, should the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits are POSIX")
def test_a_read_only_cache_serves_what_it_has_and_refuses_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to an ordinary user
        folder = Path(name)
        folder.chmod(0o755)
        cache = folder / "cache"
        monkeypatch.setenv(CACHE_VARIABLE, str(cache))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        registry = Registry.from_toml(registry_file(folder, server.url))
        file = registry.fetch("some-model")
        cache.chmod(0o555)
        with as_ordinary_user():
            assert registry.fetch("some-model") == file
        cache.chmod(0o755)
        file.unlink()
        cache.chmod(0o555)
        with (
            as_ordinary_user(),
            pytest.raises(ModelError, match=f"cannot write to the cache folder {cache}: Permission denied"),
        ):
            registry.fetch("some-model")
        cache.chmod(0o000)
        with as_ordinary_user(), pytest.raises(ModelError, match=r"cannot read .*: Permission denied"):
            registry.fetch("some-model")
        cache.chmod(0o755)
        assert server.requests == 1


def test_the_cache_is_the_users_unless_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pooch

    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert cache_folder() == Path(pooch.os_cache("gtcrn_frontend"))
    monkeypatch.setenv(CACHE_VARIABLE, "~/models")
    assert cache_folder() == Path.home() / "models"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, "models")
    assert cache_folder() == tmp_path / "models"


# Processes


FETCH = "import sys; from gtcrn_frontend.weights.registry import Registry; "
FETCH += "print(Registry.from_toml(sys.argv[1]).fetch('some-model'), flush=True)"


def fetching(registry: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, str(registry)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_at_once_do_not_disturb_each_other(server: Server, cache: Path, tmp_path: Path) -> None:
    server.answers = ["good", "wrong", "cut", "good"]
    server.arrival = threading.Barrier(len(server.answers))
    registry = registry_file(tmp_path, server.url)
    processes = [fetching(registry) for _ in server.answers]
    outputs = [process.communicate(timeout=PATIENCE_S) for process in processes]
    assert server.requests == len(server.answers), "each began before any had an answer"
    assert sorted(process.returncode for process in processes) == [0, 0, 1, 1]
    for process, (out, err) in zip(processes, outputs, strict=True):
        if process.returncode == 0:
            assert (out.strip(), err) == (str(cache / "some-model.tar"), "")
        else:
            assert "ModelError" in err
    assert files_in(cache) == ["some-model.tar"]
    assert (cache / "some-model.tar").read_bytes() == BODY


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_download_leaves_nothing(server: Server, cache: Path, tmp_path: Path) -> None:
    server.answers = ["hang"]
    process = fetching(registry_file(tmp_path, server.url))
    assert server.begun.wait(PATIENCE_S)
    assert files_in(cache), "it is under way"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert files_in(cache) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_progress_is_shown_on_a_terminal_only(server: Server, cache: Path, tmp_path: Path) -> None:
    registry = registry_file(tmp_path, server.url)
    import termios

    terminal, its_other_end = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    command = [sys.executable, "-c", FETCH, str(registry)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=its_other_end, check=True, timeout=PATIENCE_S)
    os.close(its_other_end)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "some-model.tar: 100%" in shown
    (cache / "some-model.tar").unlink()
    _, on_pipe = fetching(registry).communicate(timeout=PATIENCE_S)
    assert on_pipe == ""


# The registry's file


def entry(**changes: object) -> str:
    values: dict[str, object] = {"file": "m.tar", "network": "gtcrn", "licence": "MIT", "description": "text"} | changes
    return "[m]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value is not None)


DOWNLOAD = f'[m.download]\nurl = "http://h/m"\nsize_bytes = 1\nsha256 = "{"0" * 64}"\n'


def test_an_entry_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(entry() + DOWNLOAD)
    assert Registry.from_toml(path).find("m").download == Download("http://h/m", "0" * 64, 1)
    path.write_text(entry())
    registry = Registry.from_toml(path)
    assert registry.location("m") == "missing"
    with pytest.raises(ModelError, match=r"expected m\.tar among the installed models.*install the package again"):
        registry.fetch("m")
    (tmp_path / "m.tar").write_bytes(b"")
    assert (registry.location("m"), registry.fetch("m")) == ("embedded", tmp_path / "m.tar")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[m", "cannot read the registry"),
        ("m = 1", "not iterable"),
        (entry(licence=None), "'licence'"),
        (entry(colour="blue"), "'colour'"),
        (entry(licence=3), "expected texts"),
        (entry(file="../m.tar"), "plain name"),
        (entry() + DOWNLOAD.replace('"0', '"'), "64 lower-case digits"),
        (entry() + DOWNLOAD.replace("size_bytes = 1\n", ""), "'size_bytes'"),
    ],
)
def test_a_wrong_entry_is_a_model_error_that_names_the_file(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=complaint) as failed:
        Registry.from_toml(path)
    assert str(path) in str(failed.value)
    with pytest.raises(ModelError, match="No such file"):
        Registry.from_toml(tmp_path / "none.toml")


# All the way


@pytest.mark.parametrize("name", REFERENCE_FILES)
def test_an_enhancer_downloads_its_model_on_first_use(
    name: str, shared: Path, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shared / "reference" / REFERENCE_FILES[name]
    server.body = file.read_bytes()
    text = installed_model_file("registry.toml").read_text()
    urls = {entry["download"]["url"] for entry in tomllib.loads(text).values() if "download" in entry}
    for url in urls:
        text = text.replace(url, server.url)
    (tmp_path / "registry.toml").write_text(text)  # the real names, hashes and sizes at our server
    registry = Registry.from_toml(tmp_path / "registry.toml")
    monkeypatch.setattr("gtcrn_frontend.weights.model.installed_registry", lambda: registry)

    expected = np.load(shared / "reference" / "gtcrn_official.npz")
    enhancer = Enhancer(model=name, engine="onnx", strength=1)
    enhanced = enhancer.enhance(expected["wav"])
    if name.startswith("gtcrn-"):
        wav = expected[f"{name.removeprefix('gtcrn-').replace('-', '_')}_wav"]
    else:  # by its path: tests/engines/onnx/test_streaming.py holds that against plain ONNX Runtime
        wav = Enhancer(file, strength=1).enhance(expected["wav"])
    np.testing.assert_allclose(enhanced[: len(wav)], wav, atol=1e-4)
    assert load_model(model_path(name)).digest == load_model(file).digest
    assert Enhancer(model=name, engine="onnx", strength=1).enhance(expected["wav"]).tobytes() == enhanced.tobytes()
    assert server.requests == 1
    assert files_in(cache) == [installed_registry().find(name).file]


def test_a_user_without_a_home_has_a_cache_among_the_temporary_files(monkeypatch, tmp_path):
    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", CACHE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    folder = cache_folder()
    assert folder.is_absolute()
    assert folder.name == f"gtcrn_frontend-{os.getuid()}"
    monkeypatch.setenv(CACHE_VARIABLE, "~/models")
    with pytest.raises(ModelError, match=CACHE_VARIABLE):
        cache_folder()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(ModelError, match=rf"got '{tmp_path}': a folder$"):
        model_path(tmp_path)
