"""`openai:URL` against a server on this machine. It is a stand-in: it speaks the interface and recognises nothing.

With the marker `whisper` there is a real one beside it.
Requests are parsed by what the standard library has for such forms, not by the code that writes them.
"""

import argparse
import contextlib
import email.parser
import email.policy
import io
import json
import pickle
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters import openai_api
from gtcrn_frontend.adapters.openai_api import OpenAIRecognizer, OpenAISettings, source
from gtcrn_frontend.cli import calibrate
from gtcrn_frontend.errors import ConfigError, ModelError

KEY = "sk-not-to-be-seen-1234567890"
RATE = 16000
SAMPLES = (0.5 * np.sin(np.arange(1600) / 7)).astype(np.float32)


@dataclass
class Server:
    """A stand-in for a server of POST /v1/audio/transcriptions.

    Attributes:
        url: up to the port.
        answers: status, headers and body of the next answers; then all is well, and the text is the duration.
        requests: path, headers, fields and audio of what came.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, str], tuple[np.ndarray, int]]] = field(default_factory=list)


def parsed_form(content_type: str, body: bytes) -> tuple[dict[str, str], tuple[np.ndarray, int]]:
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    assert message.is_multipart()
    fields, audio = {}, None
    for part in message.iter_parts():
        disposition = part["Content-Disposition"]
        assert disposition.content_disposition == "form-data"
        content = part.get_payload(decode=True)
        if disposition.params["name"] == "file":
            assert disposition.params["filename"].endswith(".wav")
            audio = soundfile.read(io.BytesIO(content), dtype="float32")
        else:
            fields[disposition.params["name"]] = content.decode()
    assert audio is not None
    return fields, audio


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(openai_api, "FIRST_WAIT_S", 0.01)
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fields, audio = parsed_form(self.headers["Content-Type"], body)
            found.requests.append((self.path, dict(self.headers), fields, audio))
            text = json.dumps({"text": f" {len(audio[0])} samples\n at {audio[1]} Hz "}).encode()
            status, headers, content = found.answers.pop(0) if found.answers else (200, {}, text)
            if status == 0:  # the connection breaks
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield found
    http.shutdown()
    http.server_close()


def test_samples_arrive_as_a_wave_file_with_the_fields_of_the_interface(server: Server) -> None:
    settings = OpenAISettings(model="large", language="en", temperature=0.0, prompt='two words, "quoted" — and ünïcode')
    recognizer = pickle.loads(pickle.dumps(source(f"{server.url},model=large").make))("")
    assert recognizer(SAMPLES, RATE).text == "1600 samples at 16000 Hz"
    assert OpenAIRecognizer(server.url, settings)(SAMPLES, 8000).text == "1600 samples at 8000 Hz"
    (_, _, fewest, _), (path, headers, fields, (audio, _)) = server.requests
    assert path == "/v1/audio/transcriptions"
    assert fewest == {"model": "large", "response_format": "json"}
    assert fields == {
        "model": "large",
        "response_format": "json",
        "language": "en",
        "temperature": "0.0",
        "prompt": 'two words, "quoted" — and ünïcode',
    }
    assert "Authorization" not in headers
    np.testing.assert_allclose(audio, SAMPLES, atol=1 / 32768)


def test_a_key_is_sent_and_written_nowhere(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    named = source(server.url)
    recognizer = named.make("")
    server.answers = [(401, {}, f"wrong key {KEY}, {KEY}".encode()), (200, {}, f"{{{KEY}".encode())]
    for expected in (r"answered 401 .*wrong key \*\*\*, \*\*\*", r"expected JSON with a text, got '\{\*\*\*'"):
        with pytest.raises(ModelError, match=expected) as error:
            recognizer(SAMPLES, RATE)
        assert KEY not in str(error.getrepr(chain=True))
    assert [headers["Authorization"] for _, headers, _, _ in server.requests] == [f"Bearer {KEY}"] * 2
    assert KEY not in f"{named} {pickle.dumps(named)!r} {caplog.text} {recognizer.__dict__}"


def test_a_key_that_cannot_be_sent_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\nX-More: 1")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY: expected printable ASCII") as error:
        OpenAIRecognizer(server.url)(SAMPLES, RATE)
    assert KEY not in str(error.value)
    assert not server.requests


@pytest.mark.parametrize("failure", [(429, {}, b"slow down"), (503, {"Retry-After": "0"}, b""), (0, {}, b"")])
def test_a_failure_that_may_pass_is_tried_again(server: Server, failure: tuple[int, dict[str, str], bytes]) -> None:
    server.answers = [failure] * 2
    assert OpenAIRecognizer(server.url)(SAMPLES, RATE).text == "1600 samples at 16000 Hz"
    assert len(server.requests) == 3


def test_attempts_end(server: Server) -> None:
    server.answers = [(500, {}, b"broken")] * 9
    with pytest.raises(ModelError, match=r"answered 500 .*: broken \(3 attempts\)"):
        OpenAIRecognizer(server.url, OpenAISettings(retries=2))(SAMPLES, RATE)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_refusal_is_not_tried_again(server: Server, status: int) -> None:
    server.answers = [(status, {}, b'{"error": {"message": "no such model"}}')]
    hint = "; set OPENAI_API_KEY" if status == 401 else ""
    with pytest.raises(ModelError, match=f"answered {status} .*no such model.*{hint}$"):
        OpenAIRecognizer(server.url)(SAMPLES, RATE)
    assert len(server.requests) == 1


def test_a_server_may_ask_to_wait_but_not_for_long(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(openai_api.time, "sleep", waits.append)
    server.answers = [(429, {"Retry-After": seconds}, b"") for seconds in ("3", "86400", "soon")]
    OpenAIRecognizer(server.url)(SAMPLES, RATE)
    assert waits == [3, openai_api.LONGEST_WAIT_S, openai_api.FIRST_WAIT_S * 4]


def test_a_redirection_is_not_followed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.answers = [(code, {"Location": f"{server.url}/elsewhere"}, b"") for code in (302, 307)]
    for code in (302, 307):
        with pytest.raises(ModelError, match=f"answered {code}"):
            OpenAIRecognizer(server.url)(SAMPLES, RATE)
    assert [path for path, *_ in server.requests] == ["/v1/audio/transcriptions"] * 2


@pytest.mark.parametrize("body", [b"one two", b'["one"]', b'{"text": 7}', b'{"texts": "one"}', b"\xff"])
def test_another_answer_than_the_interface_has_is_shown(server: Server, body: bytes) -> None:
    server.answers = [(200, {}, body)]
    with pytest.raises(ModelError, match="expected JSON with a text, got"):
        OpenAIRecognizer(server.url)(SAMPLES, RATE)


def test_a_server_that_is_not_there_and_one_that_says_nothing(server: Server) -> None:
    settings = OpenAISettings(retries=1, timeout=0.2)
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/v1/audio/transcriptions cannot be reached: .*refused"):
        OpenAIRecognizer("http://127.0.0.1:9", settings)(SAMPLES, RATE)

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(1)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.raises(ModelError, match=r"cannot be reached: timed out \(2 attempts\)"):
        OpenAIRecognizer(f"http://127.0.0.1:{http.server_address[1]}", settings)(SAMPLES, RATE)
    http.shutdown()
    http.server_close()


def test_calibrate_asks_the_server_and_writes_its_settings_but_no_key(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    lines = []
    for n in (4000, 5000):
        soundfile.write(f"{n}.wav", np.random.default_rng(n).normal(0, 0.1, n), RATE)
        lines.append(json.dumps({"audio": f"{n}.wav", "text": f"{n} samples at {RATE} Hz"}))
    Path("m.jsonl").write_text("\n".join(lines))
    parser = argparse.ArgumentParser()
    calibrate.add_parser(parser.add_subparsers())
    arguments = ["--manifest", "m.jsonl", "--strengths", "1", "--jobs", "1", "--cache", "cache"]
    outputs = ["--report", "report.html", "--write", "frontend.yaml"]
    what = f"openai:{server.url},model=large"
    args = parser.parse_args(["calibrate", "--recognizer", what, *arguments, *outputs])
    assert args.run(args) == 0
    captured = capsys.readouterr()
    assert "| no front-end | as recorded: WER" not in captured.out
    assert "| no front-end | 0.0" in captured.out
    assert len(server.requests) == 4
    for text in (captured.out, Path("report.html").read_text(), Path("frontend.yaml").read_text()):
        assert f"url {server.url}/v1/audio/transcriptions, model large, language none" in text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 6
    assert not any(KEY.encode() in path.read_bytes() for path in written)
    assert KEY not in captured.out + captured.err
    args.run(args)
    assert len(server.requests) == 4  # the cache has it all


@pytest.mark.whisper
def test_a_real_server_hears_what_faster_whisper_does(
    whisper_model: Path, sentences: list[tuple[Path, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gtcrn_frontend.adapters.faster_whisper import FasterWhisperRecognizer

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "faster_whisper_server", str(whisper_model), "--host", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
            assert running.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        recognizer = OpenAIRecognizer(f"http://127.0.0.1:{port}", OpenAISettings(language="en", temperature=0.0))
        samples = soundfile.read(sentences[1][0], dtype="float32")[0]
        here = FasterWhisperRecognizer(whisper_model, language="en", temperature=0.0)
        assert recognizer(samples, RATE).text == here(samples, RATE).text != ""
    finally:
        running.terminate()
        running.wait()
