"""The package in Chromium: an offline graph, a microphone, LiveKit's interface, and a browser without SIMD."""

import numpy as np
import pytest

from gtcrn_frontend import Enhancer

from .conftest import FLOATS, to_floats, to_text


@pytest.fixture(scope="module")
def address(dist, serve):
    (dist / "index.html").write_text(f"<!doctype html><title>test</title><script>{FLOATS}</script>")
    return serve(dist)


@pytest.fixture
def page(browser, browser_thread, address):
    page = browser_thread.submit(browser.new_page).result()
    browser_thread.submit(page.goto, address).result()
    yield page
    browser_thread.submit(page.close).result()


OFFLINE = """async ([samples, rate, options]) => {
  const web = await import("./gtcrn.js");
  const input = toFloats(samples);
  const context = new OfflineAudioContext(1, input.length, rate);
  const denoiser = await web.createDenoiserNode(context, options);
  const buffer = new AudioBuffer({ length: input.length, sampleRate: rate });
  buffer.copyToChannel(input, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(denoiser.node).connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  return [toText(rendered.getChannelData(0)), denoiser.stats()];
}"""


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("strength", [1.0, "auto"])
def test_an_offline_graph_gives_the_samples_of_the_enhancer(page, noisy, rate, strength) -> None:
    # A busy machine may take longer than real time, which this test is not about.
    options = {"strength": strength, "maxLoad": 1e9}
    text, stats = page.evaluate(OFFLINE, [to_text(noisy), rate, options])
    enhancer = Enhancer("gtcrn-asr", "native", sample_rate=rate, strength=strength)
    latency = enhancer.latency_samples
    found, expected = to_floats(text), enhancer.enhance(noisy)
    np.testing.assert_allclose(found[latency:], expected[: len(noisy) - latency], atol=1e-4)
    np.testing.assert_array_equal(found[:latency], 0)
    assert stats["latency"] == pytest.approx(latency / rate)
    assert stats["state"] == "enhanced"
    assert (0.3 <= stats["strength"] < 1) == (strength == "auto"), "NaN if it is not automatic"


def test_an_overloaded_worklet_passes_the_raw_signal(page, noisy) -> None:
    text, stats = page.evaluate(OFFLINE, [to_text(noisy), 16_000, {"strength": 1, "maxLoad": -1}])
    found = to_floats(text)
    assert stats["state"] == "raw"
    assert stats["overloads"] >= 1
    np.testing.assert_array_equal(found[8_000:16_000], noisy[8_000 - 512 : 16_000 - 512])


def test_an_overloaded_worklet_recovers(page) -> None:
    seen = page.evaluate("""async () => {
      const web = await import("./gtcrn.js");
      const context = new AudioContext();
      const denoiser = await web.createDenoiserNode(context, { maxLoad: -1 });
      denoiser.node.connect(context.destination);
      const reaches = async (state) => {
        while (denoiser.stats().state !== state) await new Promise((resolve) => setTimeout(resolve, 20));
      };
      await reaches("raw");
      denoiser.setMaxLoad(1e9);
      await reaches("enhanced");
      const { overloads } = denoiser.stats();
      await context.close();
      return overloads;
    }""")
    assert seen >= 1


def test_a_wrong_strength_is_refused(page) -> None:
    messages = page.evaluate("""async () => {
      const web = await import("./gtcrn.js");
      const context = new OfflineAudioContext(1, 100, 16000);
      const denoiser = await web.createDenoiserNode(context);
      const told = [];
      for (const call of [
        () => web.createDenoiserNode(context, { strength: 2 }),
        () => web.createStreamDenoiser(new MediaStream(), { strength: "much" }),
        () => denoiser.setStrength(-0.1),
      ])
        await Promise.resolve().then(call).catch((error) => told.push(error.message));
      return told;
    }""")
    assert messages == [f'expected a strength from 0 to 1, or "auto", got {value}' for value in (2, "much", -0.1)]


MICROPHONE = """async (seconds) => {
  const web = await import("./gtcrn.js");
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const audioContext = new AudioContext({ sampleRate: 16000 });
  const denoiser = await web.createStreamDenoiser(microphone, { audioContext, strength: 1, maxLoad: 1e9 });
  const recorder = `registerProcessor("recorder", class extends AudioWorkletProcessor {
    process([raw, enhanced]) {
      if (raw[0] && enhanced[0]) this.port.postMessage([raw[0].slice(), enhanced[0].slice()]);
      return true;
    }
  })`;
  await audioContext.audioWorklet.addModule(URL.createObjectURL(new Blob([recorder], { type: "text/javascript" })));
  const node = new AudioWorkletNode(audioContext, "recorder", { numberOfInputs: 2 });
  const blocks = [];
  node.port.onmessage = ({ data }) => blocks.push(data);
  audioContext.createMediaStreamSource(microphone).connect(node, 0, 0);
  audioContext.createMediaStreamSource(denoiser.outputStream).connect(node, 0, 1);
  node.connect(audioContext.destination);
  while (blocks.length * 128 < seconds * 16000) await new Promise((resolve) => setTimeout(resolve, 50));
  const stats = denoiser.stats();
  await denoiser.close();
  const joined = [0, 1].map((i) => toText(Float32Array.from(blocks.flatMap((block) => [...block[i]]))));
  const ended = denoiser.outputStream.getAudioTracks()[0].readyState;
  microphone.getTracks().forEach((track) => track.stop());
  await audioContext.close();
  return [...joined, stats, ended];
}"""


def test_a_microphone_is_enhanced_while_it_runs(page) -> None:
    raw_text, enhanced_text, stats, ended = page.evaluate(MICROPHONE, 6)
    raw, enhanced = to_floats(raw_text), to_floats(enhanced_text)
    assert np.abs(raw).max() > 0.05, "the microphone plays the file"
    assert stats["state"] == "enhanced"
    assert ended == "ended", "close() ends the track"
    expected = Enhancer("gtcrn-asr", "native", strength=1.0).enhance(raw)
    # A busy machine drops blocks of either recording, so short pieces are compared, each at the delay that fits it.
    similarities = []
    for begin in range(16_000, len(raw) - 16_000, 4_000):
        piece = expected[begin : begin + 4_000]
        window = enhanced[begin : begin + 12_000]
        scores = np.correlate(window, piece, "valid")
        energies = np.convolve(window**2, np.ones(len(piece)), "valid") * np.sum(piece**2)
        similarities.append(np.max(scores / np.sqrt(energies + 1e-12)))
    assert np.median(similarities) > 0.98
    assert np.median(np.abs(enhanced[16_000:])) < 0.5 * np.median(np.abs(raw[16_000:])), "noise is lower"


LIVEKIT = """async () => {
  const web = await import("./gtcrn.js");
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const [track] = microphone.getAudioTracks();
  const audioContext = new AudioContext();
  const processor = new web.GtcrnTrackProcessor({ strength: 0.5 });
  const seen = [processor.name, processor.processedTrack === undefined];
  await processor.init({ kind: "audio", track, audioContext });
  const first = processor.processedTrack;
  seen.push(first.kind, first.readyState, first !== track);
  processor.setStrength("auto");
  await processor.restart({ kind: "audio", track, audioContext });
  const second = processor.processedTrack;
  seen.push(first.readyState, second.readyState, second !== first, track.readyState);
  while (!(processor.stats().strength > 0)) await new Promise((resolve) => setTimeout(resolve, 50));
  await processor.destroy();
  seen.push(second.readyState, processor.processedTrack === undefined, audioContext.state);
  return seen;
}"""


def test_livekits_track_processor(page) -> None:
    assert page.evaluate(LIVEKIT) == [
        *("gtcrn", True, "audio", "live", True),
        *("ended", "live", True, "live"),
        *("ended", True, "running"),
    ]


def test_without_simd_the_audio_passes_with_a_message(launch, address) -> None:
    """V8 has no WebAssembly SIMD on a processor without SSE 4.1."""
    page = launch("--js-flags=--no-enable-sse4-1").new_page()
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))
    page.goto(address)
    same, stats = page.evaluate("""async () => {
      const web = await import("./gtcrn.js");
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      const denoiser = await web.createStreamDenoiser(microphone, { strength: 1 });
      denoiser.setStrength(0.5);
      denoiser.bypass(true);
      await denoiser.close();
      return [denoiser.outputStream === microphone, denoiser.stats()];
    }""")
    assert same
    assert stats["state"] == "failed"
    assert "expected WebAssembly SIMD" in stats["message"]
    assert any("passes as it is" in text for text in warnings)


def test_where_the_page_is_not_secure_the_message_says_so(launch, address) -> None:
    page = launch("--host-resolver-rules=MAP plain.test 127.0.0.1").new_page()
    page.goto(address.replace("localhost", "plain.test"))
    message = page.evaluate("""async () => {
      const web = await import("./gtcrn.js");
      return web.createDenoiserNode(new AudioContext()).catch((error) => error.message);
    }""")
    assert "https:// pages" in message
