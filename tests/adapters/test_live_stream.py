"""Frames of a call: each comes back in its length, a fixed delay later, at any rate, also after an error."""

import logging

import numpy as np
import pytest

from gtcrn_frontend import ConfigError, Enhancer, EnhancerConfig, ModelError
from gtcrn_frontend.adapters.live_stream import LiveStream

LOG = logging.getLogger("test_live_stream")
RATES = (8_000, 16_000, 24_000, 44_100, 48_000)
MILLISECONDS = (10, 20, 30, 50)


def noise(*shape):
    return np.random.default_rng(0).normal(0, 3_000, shape).astype(np.int16)


def live(config=None, on_error="pass", **settings):
    return LiveStream(config, settings, "test", LOG, on_error)


def run(stream, samples, rate, size):
    frames = [samples[start : start + size] for start in range(0, len(samples), size)]
    processed = [stream.process(frame, rate) for frame in frames]
    assert [frame.shape for frame in processed] == [frame.shape for frame in frames]
    return np.concatenate([*processed, stream.flush()])


@pytest.mark.parametrize("milliseconds", MILLISECONDS)
@pytest.mark.parametrize("rate", RATES)
def test_the_output_is_the_enhancers_a_fixed_delay_later(rate, milliseconds):
    samples, stream = noise(rate), live()
    out = run(stream, samples, rate, rate * milliseconds // 1000)
    enhancer = Enhancer(sample_rate=rate)
    assert stream.delay_samples == enhancer.lag_samples == len(out) - len(samples)
    assert not out[: stream.delay_samples].any()
    np.testing.assert_allclose(out[stream.delay_samples :], enhancer.enhance(samples), atol=1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("milliseconds", MILLISECONDS)
@pytest.mark.parametrize("rate", RATES)
def test_strength_0_is_the_input_to_the_bit(rate, milliseconds, channels):
    samples, stream = noise(*((rate,) if channels == 1 else (rate, channels))), live(strength=0)
    out = run(stream, samples, rate, rate * milliseconds // 1000)
    np.testing.assert_array_equal(out[stream.delay_samples :], samples)


@pytest.mark.parametrize("milliseconds", MILLISECONDS)
@pytest.mark.parametrize("rate", RATES)
def test_an_error_changes_neither_totals_nor_delay(rate, milliseconds, break_engine, caplog):
    samples, stream, size = noise(rate), live(), rate * milliseconds // 1000
    half = rate // 2 // size * size
    first = np.concatenate([stream.process(frame, rate) for frame in np.split(samples[:half], half // size)])
    break_engine()
    second = run(stream, samples[half:], rate, size)
    out = np.concatenate([first, second])[stream.delay_samples :]
    np.testing.assert_array_equal(out[half:], samples[half:])
    assert len(out) == len(samples)
    assert len(caplog.records) == 1


def test_frames_of_changing_lengths():
    samples, stream = noise(40_000), live(strength=0)
    rng, out, start = np.random.default_rng(1), [], 0
    while start < len(samples):
        frame = samples[start : start + int(rng.integers(0, 2_000))]
        out.append(stream.process(frame, 16_000))
        assert len(out[-1]) == len(frame)
        start += len(frame)
    out.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(out)[stream.delay_samples :], samples)


def test_a_change_of_the_format_starts_a_new_stream():
    stream, samples = live(strength=0), noise(4_800)
    stream.process(samples, 48_000)
    assert (stream.sample_rate, stream.delay_samples) == (48_000, Enhancer(sample_rate=48_000).lag_samples)
    out = run(stream, samples, 16_000, 160)
    np.testing.assert_array_equal(out[511:], samples)
    stereo = run(stream, noise(4_800, 2), 16_000, 160)
    np.testing.assert_array_equal(stereo[511:], noise(4_800, 2))


def test_strength_and_bypass_outlive_a_stream():
    stream, samples = live(), noise(4_800)
    stream.strength, stream.bypass = 0.5, True
    out = run(stream, samples, 48_000, 480)
    np.testing.assert_array_equal(out[stream.delay_samples :], samples)
    stream.bypass = False
    stream.reset()
    out = run(stream, samples, 16_000, 160)
    np.testing.assert_allclose(out[511:], Enhancer(strength=0.5).enhance(samples), atol=1)
    with pytest.raises(ConfigError):
        stream.strength = 2
    assert stream.strength == 0.5


def test_a_format_that_cannot_be_enhanced_passes(caplog):
    stream, samples = live(), noise(4_000)
    for frame in np.split(samples, 10):
        np.testing.assert_array_equal(stream.process(frame, 4_000), frame)
    assert stream.failed
    assert (stream.delay_samples, len(stream.flush())) == (0, 0)
    assert len(caplog.records) == 1
    stream.process(samples, 16_000)
    assert not stream.failed
    with pytest.raises(ConfigError, match="4000"):
        live(on_error="raise").process(samples, 4_000)


def test_errors_are_raised_on_request(break_engine):
    stream = live(on_error="raise")
    stream.process(noise(1_000), 16_000)
    break_engine()
    with pytest.raises(RuntimeError, match="broken"):
        stream.process(noise(1_000), 16_000)


def test_frames_keep_their_length_after_an_error_that_was_raised(break_engine, monkeypatch):
    stream = live(on_error="raise")
    stream.process(noise(1_000), 16_000)
    with monkeypatch.context():
        break_engine()
        with pytest.raises(RuntimeError, match="broken"):
            stream.process(noise(1_000), 16_000)
    monkeypatch.undo()
    assert [len(stream.process(noise(160), 16_000)) for _ in range(10)] == [160] * 10


def test_settings():
    config = EnhancerConfig(strength=0.4, sample_rate=48_000, channels=2, downmix=True)
    stream = live(config)
    assert stream.strength == 0.4
    stream.process(noise(160), 16_000)
    assert stream.sample_rate == 16_000
    assert (live().sample_rate, live().delay_samples, live().failed) == (None, 0, False)
    with pytest.raises(ConfigError, match="both"):
        live(config, strength=0.5)
    with pytest.raises(ConfigError, match="strength"):
        live(strength=3)
    with pytest.raises(TypeError, match="strength"):
        live(strenght=1)
    with pytest.raises(TypeError, match="sample_rate"):
        live(sample_rate=16_000)
    with pytest.raises(ModelError):
        live(model="nowhere.safetensors")
    with pytest.raises(ConfigError, match="on_error"):
        live(on_error="ignore")
