"""The package in Firefox, the browser with another engine: an offline graph gives the samples of `Enhancer`."""

import functools
import http.server
import json
import queue
import shutil
import subprocess
import threading

import numpy as np
import pytest

from gtcrn_frontend import Enhancer

from .conftest import FLOATS, to_floats, to_text

RATE = 48_000

PAGE = """<!doctype html><title>test</title><script>FLOATS</script><script type="module">
const send = (value) => fetch("/", { method: "POST", body: JSON.stringify(value) });
try {
  const web = await import("./gtcrn.js");
  const input = toFloats(await (await fetch("samples.txt")).text());
  const whole = await web.enhance(input, { sampleRate: 48000, strength: 1 });
  const context = new OfflineAudioContext(1, input.length, 48000);
  const { node } = await web.createDenoiserNode(context, { strength: 1, maxLoad: 1e9 });
  const buffer = new AudioBuffer({ length: input.length, sampleRate: 48000 });
  buffer.copyToChannel(input, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  await send([toText(whole), toText(rendered.getChannelData(0))]);
} catch (error) {
  await send(String(error));
}
</script>"""


@pytest.fixture
def firefox() -> str:
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("needs Firefox: Debian's package firefox-esr")
    return program


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the folder, and takes what the page sends."""

    received: queue.Queue[object] = queue.Queue()

    def do_POST(self) -> None:
        self.received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_an_offline_graph_gives_the_samples_of_the_enhancer(firefox, dist, noisy, tmp_path) -> None:
    shutil.copy(dist / "gtcrn.js", tmp_path)
    (tmp_path / "index.html").write_text(PAGE.replace("FLOATS", FLOATS))
    (tmp_path / "samples.txt").write_text(to_text(noisy))
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        profile = tmp_path / "profile"
        profile.mkdir()
        address = f"http://localhost:{server.server_address[1]}/"
        command = [firefox, "--headless", "--no-remote", "--profile", str(profile), address]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            received = Handler.received.get(timeout=120)
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    assert isinstance(received, list), received
    whole, rendered = map(to_floats, received)
    enhancer = Enhancer("gtcrn-asr", "native", sample_rate=RATE, strength=1.0)
    latency, expected = enhancer.latency_samples, enhancer.enhance(noisy)
    np.testing.assert_allclose(whole, expected, atol=1e-4)
    np.testing.assert_allclose(rendered[latency:], expected[: len(noisy) - latency], atol=1e-4)
