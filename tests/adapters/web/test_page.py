"""The page "In the browser" of the documentation, as a visitor uses it."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer

from .conftest import ROOT, to_floats

pytest.importorskip("mkdocs", reason="needs the extra docs, to build the page")
pytest.importorskip("ziglang", reason="needs the package ziglang to compile C for WebAssembly")


@pytest.fixture(scope="module")
def site(tmp_path_factory, serve) -> str:
    """The address of the documentation."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return serve(folder)


class Visit:
    """One visit of the page; what went wrong behind it, and whom it asked for something."""

    def __init__(self, browser, site: str, path: str, **settings) -> None:
        self.page = browser.new_context(**settings).new_page()
        self.errors: list[str] = []
        self.others: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda entry: entry.type == "error" and self.errors.append(entry.text))
        own = (site, "blob:", "data:")
        self.page.on("request", lambda request: request.url.startswith(own) or self.others.append(request.url))
        self.page.goto(site + path)

    def wait_for(self, text: str) -> str:
        test = "([id, text]) => document.querySelector(id).textContent.includes(text)"
        self.page.wait_for_function(test, arg=["#demo-message", text])
        return self.page.inner_text("#demo-message")

    def wait_for_columns(self, count: int) -> None:
        """Waits until so many columns of the spectrograms are drawn."""
        self.page.wait_for_function(
            """(count) => {
              const canvas = document.querySelector("#demo-canvas-before");
              const pixel = (x, y) => canvas.getContext("2d").getImageData(x, y, 1, 1).data.join();
              return pixel(canvas.width - count, canvas.height - 1) !== pixel(0, 0);
            }""",
            arg=count,
        )

    def levels(self) -> list[float]:
        """Mean brightness of the drawn part of both spectrograms."""
        return self.page.evaluate("""() => ["before", "after"].map((side) => {
          const canvas = document.querySelector(`#demo-canvas-${side}`);
          const x = canvas.width - 60;
          const { data } = canvas.getContext("2d").getImageData(x, 0, 60, canvas.height);
          return data.filter((_, i) => i % 4 < 3).reduce((sum, value) => sum + value, 0) / data.length;
        })""")

    def download(self) -> tuple[np.ndarray, int]:
        with self.page.expect_download() as download:
            self.page.click("#demo-download")
        return soundfile.read(io.BytesIO(Path(download.value.path()).read_bytes()), dtype="float32")


@pytest.fixture
def visit(launch, browser_thread, site):
    made: list[Visit] = []

    def start(*arguments: str, ask: bool = False, path: str = "browser/", **settings) -> Visit:
        made.append(Visit(launch(*arguments, ask=ask), site, path, **settings))
        return made[-1]

    yield start
    for one in made:
        browser_thread.submit(one.page.context.close).result()


def test_the_example_plays_and_shows_less_noise(visit) -> None:
    one = visit(color_scheme="dark")
    one.wait_for("Choose what to hear")
    one.page.click("#demo-example")
    assert "8.1 s" in one.wait_for("Playing the example")
    one.wait_for_columns(70)
    before, after = one.levels()
    assert before > 40, "the dark scheme draws what is loud brightly"
    assert after < 0.9 * before
    assert "% of a core" in one.page.inner_text("#demo-load")
    assert one.page.inner_text("#demo-latency").endswith(" ms")
    one.page.check("#demo-auto")
    one.page.wait_for_function("document.querySelector('#demo-level').textContent.match(/[0-9]+ %/)")
    assert one.page.is_disabled("#demo-strength")
    one.page.click("#demo-play")
    one.wait_for("Paused")
    assert one.errors == []
    assert one.others == [], "requests to other hosts"


def test_a_file_is_enhanced_and_downloaded(visit, noisy, tmp_path) -> None:
    one = visit()
    path = tmp_path / "speech.wav"
    both = np.stack([noisy, 0.5 * noisy], axis=1)
    device_rate = one.page.evaluate("new AudioContext().sampleRate")  # at this one, the file is not resampled
    soundfile.write(path, both, device_rate, subtype="FLOAT")
    one.page.set_input_files("#demo-file", path)
    one.wait_for("Playing speech")
    one.page.locator("#demo-strength").fill("50")
    found, rate = one.download()
    assert one.wait_for("Saved as") == "Saved as speech-enhanced.wav."
    assert rate == device_rate
    expected = Enhancer("gtcrn-asr", sample_rate=rate, strength=0.5).enhance(0.75 * noisy)
    np.testing.assert_allclose(found, expected, atol=1e-4 + 1 / 32767)
    assert one.errors == []


def test_a_file_that_is_no_audio(visit, tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no audio")
    one = visit()
    one.page.set_input_files("#demo-file", path)
    assert "such as WAV, FLAC" in one.wait_for("cannot decode notes.txt")
    one.page.click("#demo-example")
    one.wait_for("Playing the example")


def test_a_microphone_is_recorded_and_heard_again(visit) -> None:
    one = visit(permissions=["microphone"])
    one.page.click("#demo-microphone")
    one.wait_for("The microphone is on")
    assert one.page.is_visible("#demo-monitor")
    one.page.wait_for_timeout(2_500)
    one.page.click("#demo-microphone")
    one.wait_for("Playing recording")
    found, rate = one.download()
    assert 0.5 * rate < len(found) < 60 * rate
    assert np.abs(found).max() > 0.02
    assert one.errors == []
    assert one.others == []


def test_without_permission_it_says_so_and_the_example_works(visit) -> None:
    one = visit(ask=True)
    one.page.click("#demo-microphone")
    one.wait_for("The microphone was not allowed")
    one.page.click("#demo-example")
    one.wait_for("Playing the example")


def test_the_keyboard_reaches_everything(visit) -> None:
    one = visit()
    one.wait_for("Choose what to hear")
    one.page.focus("#demo-example")
    one.page.keyboard.press("Enter")
    one.wait_for("Playing the example")
    reached = []
    for _ in range(7):
        one.page.keyboard.press("Tab")
        reached.append(one.page.evaluate("document.activeElement.id"))
    names = ("file", "microphone", "play", "after", "strength", "auto", "download")
    assert reached == [f"demo-{name}" for name in names]
    one.page.focus("#demo-after")
    one.page.keyboard.press("ArrowLeft")
    assert one.page.is_checked("#demo-before")
    one.page.focus("#demo-strength")
    one.page.keyboard.press("Home")
    assert one.page.inner_text("#demo-level") == "0 %"


@pytest.mark.parametrize("width", [320, 375, 768])
def test_it_fits_a_phone(visit, width) -> None:
    one = visit(viewport={"width": width, "height": 700})
    one.wait_for("Choose what to hear")
    inside = "(e) => [...e.querySelectorAll('*')].every((x) => x.getBoundingClientRect().right <= innerWidth)"
    assert one.page.locator("#demo").evaluate(inside)
    assert one.page.evaluate("document.documentElement.scrollWidth") == width


def test_without_simd_it_says_so(visit) -> None:
    one = visit("--js-flags=--no-enable-sse4-1")
    one.wait_for("expected WebAssembly SIMD")
    assert one.page.is_disabled("#demo-example")


def test_without_the_engine_it_says_so(browser, site) -> None:
    page = browser.new_page()
    page.route("**/gtcrn.js", lambda route: route.fulfill(status=404))
    page.goto(site + "browser/")
    page.wait_for_function("document.querySelector('#demo-message').textContent.includes('install ziglang')")
    page.close()


def test_no_page_asks_other_hosts(visit) -> None:
    one = visit(path="")
    one.page.wait_for_load_state("networkidle")
    assert one.others == []


def test_the_policy_keeps_recordings_here(visit) -> None:
    one = visit()
    refused = one.page.evaluate("fetch('https://example.org/', { method: 'POST' }).catch((error) => error.name)")
    assert refused == "TypeError"
    assert any("Content Security Policy" in error for error in one.errors)


SWITCH = """async () => {
  const { Player } = await import("./player.js");
  const player = new Player();
  await player.open(0); // at strength 0 both signals are equal, so that nothing may be heard of the switch
  const { context } = player;
  const tap = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  player.before.output.connect(tap);
  player.after.output.connect(tap);
  const blocks = [];
  tap.port.onmessage = ({ data }) => blocks.push(data);
  const tone = Float32Array.from({ length: 48000 }, (_, n) => 0.5 * Math.sin((n * Math.PI) / 60));
  await player.play(tone);
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 97));
    player.setAfter(i % 2 === 1);
  }
  player.stop();
  await context.close();
  const samples = Float32Array.from(blocks.flatMap((block) => [...block]));
  return btoa(Array.from(new Uint8Array(samples.buffer), (x) => String.fromCharCode(x)).join(""));
}"""


def test_the_switch_makes_no_jump(visit) -> None:
    one = visit()
    samples = to_floats(one.page.evaluate(SWITCH))
    (heard,) = np.nonzero(np.abs(samples) > 1e-3)
    tone = samples[heard[0] + 5_000 : heard[-1] - 500]
    assert len(tone) > 20_000
    phase = np.arange(len(tone)) * np.pi / 60
    waves = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    (amplitudes, *_) = np.linalg.lstsq(waves, tone, rcond=None)
    assert np.hypot(*amplitudes) == pytest.approx(0.5, abs=1e-3)
    assert np.abs(tone - waves @ amplitudes).max() < 1e-3, "one sample of shift would be 0.02"
