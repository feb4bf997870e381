"""The browser package, built once, and the hosts that run it: Node and Chromium."""

import base64
import functools
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[3]
WEB = ROOT / "adapters/web"


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the one command writes."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs the package ziglang to compile C for WebAssembly")
    folder = tmp_path_factory.mktemp("web") / "dist"
    subprocess.run([sys.executable, str(WEB / "build.py"), "--output", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def node(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs the body of an async function, to which the package is `web`; returns what it returns, through JSON."""
    program = shutil.which("node") or _node_of_playwright()
    if program is None:
        pytest.skip("needs Node: the program node, or the package playwright, which brings one")

    def run(body: str, *options: str, **values: object) -> Any:
        script = tmp_path_factory.mktemp("node") / "run.mjs"
        names = ", ".join(values)
        script.write_text(
            f'import * as web from "{(dist / "gtcrn.js").as_uri()}";\n'
            f'import {{ Stream }} from "{(WEB / "src/engine.js").as_uri()}";\n'
            f'import {{ LiveStream }} from "{(WEB / "src/live_stream.js").as_uri()}";\n'
            'import fs from "node:fs";\n'
            f"{FLOATS}\n"
            f"async function run({{ {names} }}) {{ {body} }}\n"
            'const values = JSON.parse(fs.readFileSync(0, "utf8"));\n'
            "console.log(JSON.stringify((await run(values)) ?? null));\n"
        )
        command = [program, *options, str(script)]
        done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def _node_of_playwright() -> str | None:
    found = importlib.util.find_spec("playwright")
    if found is None or not found.submodule_search_locations:
        return None
    program = Path(found.submodule_search_locations[0]) / "driver/node"
    return str(program) if program.exists() else None


# Samples travel between Python and JavaScript as base64 of float32.
FLOATS = """
const toFloats = (text) => new Float32Array(Uint8Array.from(atob(text), (x) => x.charCodeAt(0)).buffer);
function toText(floats) {
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}
"""


def to_text(samples: np.ndarray) -> str:
    return base64.b64encode(samples.astype("<f4").tobytes()).decode()


def to_floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.fixture(scope="session")
def noisy() -> np.ndarray:
    """Two seconds of noisy speech, 16 kHz."""
    return soundfile.read(ROOT / "examples/noisy.flac", dtype="float32")[0][16_000:48_000]


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's microphone plays, over and over."""
    path = tmp_path_factory.mktemp("microphone") / "noisy.wav"
    soundfile.write(path, *soundfile.read(ROOT / "examples/noisy.flac"), subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def browser_thread() -> Iterator[ThreadPoolExecutor]:
    """The thread of all tests with Chromium: Playwright keeps an event loop running, which would disturb others."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test with Chromium on its thread."""
    thread = pyfuncitem.funcargs.get("browser_thread")
    if thread is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    thread.submit(pyfuncitem.obj, **arguments).result()
    return True


@pytest.fixture(scope="session")
def launch(microphone: Path, browser_thread: ThreadPoolExecutor) -> Iterator[Callable[..., Any]]:
    """Starts Chromium; to be called on its thread."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs a browser: Debian's package chromium, or its path in the variable CHROMIUM")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("needs the package playwright to steer Chromium")
    from playwright.sync_api import sync_playwright

    arguments = (
        "--no-sandbox",  # Chromium refuses to run as root with it
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
    )
    playwright = browser_thread.submit(sync_playwright().start).result()

    @functools.cache
    def start(*more: str, ask: bool = False) -> Any:
        own = () if ask else ("--use-fake-ui-for-media-stream",)  # grants the microphone
        return playwright.chromium.launch(executable_path=program, args=[*arguments, *own, *more])

    yield start
    browser_thread.submit(playwright.stop).result()


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Any], browser_thread: ThreadPoolExecutor) -> Any:
    return browser_thread.submit(launch).result()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder on localhost, which browsers count as secure; returns its address."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://localhost:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
