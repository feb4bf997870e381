"""The package in Node: whole signals, and the stream that the AudioWorklet runs."""

import gzip

import numpy as np
import pytest

from gtcrn_frontend import Enhancer
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.pack import pack_model

from .conftest import to_floats, to_text

RATES = (8_000, 16_000, 22_050, 44_100, 48_000, 96_000)

LIVE = """
  const model = await web.loadModel();
  const live = (options = { maxLoad: 1e9 }) => // however busy the machine is
    new LiveStream(new Stream(model.engine, rate, { strength: 1, block: 128 }), options);
  function through(stream, input, each = () => {}) {
    const output = new Float32Array(input.length);
    for (let i = 0; i + 128 <= input.length; i += 128) {
      each(i);
      stream.process(input.subarray(i, i + 128), output.subarray(i, i + 128));
    }
    return output;
  }
"""


def test_the_file_is_small(dist) -> None:
    assert len(gzip.compress((dist / "gtcrn.js").read_bytes(), 9)) < 150_000


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("strength", [0.5, "auto"])
def test_enhance_gives_the_samples_of_the_enhancer(node, noisy, rate, strength) -> None:
    expected = Enhancer("gtcrn-asr", "native", sample_rate=rate, strength=strength).enhance(noisy)
    body = "return toText(await web.enhance(toFloats(samples), { sampleRate: rate, strength }));"
    found = to_floats(node(body, samples=to_text(noisy), rate=rate, strength=strength))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("network", ["gtcrn", "ulunas"])
def test_own_weights(node, noisy, network) -> None:
    spec, parameters = load_model(model_path(f"random:{network}")).weights_for("native")
    weights = pack_model(spec.name, parameters)
    expected = Enhancer(f"random:{network}", "native").enhance(noisy)
    body = """
      const model = await web.loadModel({ weights: toFloats(weights).buffer });
      return toText(await web.enhance(toFloats(samples), { model }));
    """
    found = to_floats(node(body, samples=to_text(noisy), weights=to_text(np.frombuffer(weights, "<f4"))))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("web.enhance([0, 1])", "expected samples as a Float32Array"),
        ("web.enhance(new Float32Array([1, NaN]))", "expected finite samples"),
        ("web.enhance(new Float32Array([9]))", "within +-8"),
        ("web.enhance(new Float32Array(9), { sampleRate: 7999 })", "expected sample rates from 8000"),
        ("web.enhance(new Float32Array(9), { sampleRate: 16000.5 })", "expected a sample rate in whole Hz"),
        ("web.enhance(new Float32Array(9), { strength: 2 })", 'expected a strength from 0 to 1, or "auto", got 2'),
        ("web.loadModel({ weights: new Uint8Array(9) })", "the weight blob is not as long as expected"),
    ],
)
def test_what_is_wrong_is_refused_with_a_message(node, call, message) -> None:
    found = node(f"try {{ await {call}; }} catch (error) {{ return [error.name, error.message]; }}")
    assert found[0] == "GtcrnError"
    assert message in found[1]


def test_without_simd_it_says_so(node) -> None:
    """V8 has no WebAssembly SIMD on a processor without SSE 4.1."""
    body = "return [web.whyUnsupported(), await web.loadModel().then(() => null, (error) => error.message)];"
    assert node(body) == ["", None]
    (reason, message) = node(body, "--no-enable-sse4-1")
    assert reason == message
    assert "WebAssembly SIMD" in reason


@pytest.mark.parametrize("rate", RATES)
def test_a_live_stream_is_the_same_signal_with_constant_latency(node, noisy, rate) -> None:
    body = LIVE + "const s = live(); return [s.stream.latency, toText(through(s, toFloats(samples)))];"
    latency, text = node(body, samples=to_text(noisy), rate=rate)
    found, expected = to_floats(text), Enhancer("gtcrn-asr", "native", sample_rate=rate, strength=1.0)
    assert latency == expected.latency_samples
    np.testing.assert_array_equal(found[:latency], 0)
    np.testing.assert_allclose(found[latency:], expected.enhance(noisy)[: len(noisy) - latency], atol=1e-4)


def test_bypass_is_the_input_at_the_same_latency(node, noisy) -> None:
    body = LIVE + "const s = live(); s.stream.setBypass(true); return toText(through(s, toFloats(samples)));"
    found = to_floats(node(body, samples=to_text(noisy), rate=48_000))
    latency = Enhancer(sample_rate=48_000).latency_samples
    np.testing.assert_array_equal(found[latency + 800 :], noisy[800:-latency])  # it ramps for 16 ms


def test_the_raw_signal_passes_while_the_engine_is_too_slow(node, noisy) -> None:
    """The clock says that each block takes as long as it lasts, from 1 s to 3 s."""
    body = (
        LIVE
        + """
      let time = 0, frame = 0;
      const blockMs = 128 / 16;
      const isSlow = () => frame >= rate && frame < 3 * rate;
      const s = live({ now: () => (time += isSlow() ? blockMs : 0.01) });
      const states = [];
      const output = through(s, toFloats(samples), (i) => {
        frame = i;
        if (states.at(-1)?.[0] !== s.state) states.push([s.state, i]);
      });
      return [states, s.stats().overloads, toText(output)];
    """
    )
    rate, samples = 16_000, np.tile(noisy, 3)
    states, overloads, text = node(body, samples=to_text(samples), rate=rate)
    found, latency = to_floats(text), 512
    assert [state for state, _ in states] == ["enhanced", "raw", "enhanced"]
    assert overloads == 2, "it tried once while it was still too slow"
    (_, _), (_, slow), (_, fast) = states
    assert rate < slow < 1.5 * rate
    assert 4.5 * rate < fast < 5 * rate
    raw = samples[: len(samples) - latency]
    delayed = np.concatenate([np.zeros(latency, np.float32), raw])
    np.testing.assert_array_equal(found[slow : fast - 128], delayed[slow : fast - 128])
    expected = np.concatenate([np.zeros(latency), Enhancer(strength=1.0).enhance(samples)[: len(raw)]])
    np.testing.assert_allclose(found[: slow - 128], expected[: slow - 128], atol=1e-4)
    late = slice(fast + rate // 2, len(samples))  # the network has seen less of the past than one that never stopped
    assert np.sum((found[late] - expected[late]) ** 2) < 0.02 * np.sum(expected[late] ** 2)
    for place in (slow - 128, fast - 128):  # a block of cross-fade: between both signals, without a jump
        block = slice(place, place + 128)
        assert np.abs(np.diff(found[block] - delayed[block])).max() < 0.1


def test_a_failing_engine_leaves_the_raw_signal(node, noisy) -> None:
    body = (
        LIVE
        + """
      const s = live();
      s.stream.push = () => { throw new WebAssembly.RuntimeError("unreachable"); };
      return [toText(through(s, toFloats(samples))), s.stats()];
    """
    )
    text, stats = node(body, samples=to_text(noisy), rate=16_000)
    np.testing.assert_array_equal(to_floats(text)[512:], noisy[:-512])
    assert stats["state"] == "failed"
    assert "unreachable" in stats["message"]


def test_invalid_samples_do_not_stop_a_live_stream(node, noisy) -> None:
    broken = noisy.copy()
    broken[8_000:8_010] = np.nan
    broken[9_000] = np.inf
    broken[10_000] = 100
    body = LIVE + "const s = live(); return [toText(through(s, toFloats(samples))), s.stats().state];"
    text, state = node(body, samples=to_text(broken), rate=16_000)
    cleaned = np.clip(np.where(np.isfinite(broken), broken, 0), -8, 8)
    expected = Enhancer(strength=1.0).enhance(cleaned)
    assert state == "enhanced"
    np.testing.assert_allclose(to_floats(text)[512:], expected[:-512], atol=1e-3)
