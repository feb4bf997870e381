"""As many samples out as in: the output of the enhancer, later by a constant delay, whatever the chunks."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import AudioFormatError, ConfigError, DuplexEnhancer, Enhancer

SETTINGS = [
    {},
    {"strength": "auto"},
    {"sample_rate": 48_000},
    {"sample_rate": 44_100, "channels": 2},
    {"sample_rate": 8_000, "channels": 2, "downmix": True},
    {"engine": "onnx"},
]


def signal(duplex, seconds=0.4, dtype=np.float32):
    config = duplex.enhancer.config
    shape = (int(seconds * duplex.enhancer.sample_rate), config.channels)
    samples = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    samples = samples[:, 0] if config.channels == 1 else samples
    return np.rint(samples * 32767).astype(np.int16) if dtype == np.int16 else samples.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("given_settings", SETTINGS, ids=str)
@settings(max_examples=8)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=20))
def test_any_chunking_gives_equal_lengths_and_a_constant_delay(given_settings, dtype, sizes):
    duplex = DuplexEnhancer(Enhancer(**given_settings))
    samples = signal(duplex, dtype=dtype)
    results = []
    for chunk in np.split(samples, np.minimum(np.cumsum(sizes), len(samples))):
        result = duplex.process(chunk)
        assert (len(result), result.dtype) == (len(chunk), chunk.dtype)
        results.append(result)
    delay = duplex.delay_samples
    whole = np.concatenate([*results, duplex.flush()])
    expected = Enhancer(**given_settings).enhance(samples)
    assert len(whole) == len(samples) + delay
    assert not whole[:delay].any()
    tolerance = 1 if dtype == np.int16 else 1e-5
    np.testing.assert_allclose(whole[delay:].astype(float), expected.astype(float), atol=tolerance)


@pytest.mark.parametrize("given_settings", SETTINGS, ids=str)
def test_the_delay_is_no_longer_than_it_must_be(given_settings):
    """Within one hop: chunks of one sample use up what is ready."""
    duplex = DuplexEnhancer(Enhancer(**given_settings))
    samples, least = signal(duplex, 0.1), duplex.delay_samples
    for start in range(0, len(samples), 7):
        duplex.process(samples[start : start + 7])
        least = min(least, len(duplex._ready))
    hop = duplex.enhancer.hop_length * duplex.enhancer.sample_rate / 16_000
    assert least <= hop


def test_bytes():
    duplex, other = (DuplexEnhancer(Enhancer(sample_rate=48_000, channels=2)) for _ in range(2))
    samples = signal(duplex, dtype=np.int16)
    for chunk in np.split(samples, range(960, len(samples), 960)):
        got = duplex.process_bytes(chunk.astype("<i2").tobytes())
        assert got == other.process(chunk).astype("<i2").tobytes()
    with pytest.raises(AudioFormatError, match="expected whole frames of 4 bytes, got 6"):
        duplex.process_bytes(bytes(6))
    with pytest.raises(AudioFormatError, match="expected bytes, got list"):
        duplex.process_bytes([0])


@pytest.mark.parametrize(
    "bad", [np.full(9, np.nan, np.float32), np.zeros((9, 2), np.float32), ["a"], np.zeros(9, np.int16)]
)
def test_bad_chunks_change_nothing(bad):
    duplex, other = DuplexEnhancer(Enhancer()), DuplexEnhancer(Enhancer())
    samples = signal(duplex)
    for chunk in np.split(samples, 10):
        np.testing.assert_array_equal(duplex.process(chunk), other.process(chunk))
        with pytest.raises(AudioFormatError):
            duplex.process(bad)


def test_a_new_stream_begins_with_zeros_and_may_have_another_type():
    duplex = DuplexEnhancer(Enhancer())
    first = duplex.process(signal(duplex))
    duplex.reset()
    np.testing.assert_array_equal(duplex.process(signal(duplex)), first)
    duplex.flush()
    assert duplex.process(signal(duplex, dtype=np.int16)).dtype == np.int16


def test_a_reset_from_outside_does_not_shorten_results():
    """As after an interrupt: better some silence than an exception in a callback of a sound card."""
    duplex = DuplexEnhancer(Enhancer())
    for _ in range(3):
        duplex.process(np.zeros(100, np.float32))
    duplex.enhancer.reset()
    for _ in range(20):
        assert len(duplex.process(np.zeros(100, np.float32))) == 100


def test_it_can_be_copied_and_pickled():
    duplex = DuplexEnhancer(Enhancer())
    samples = signal(duplex)
    duplex.process(samples[:1000])
    twins = copy.deepcopy(duplex), pickle.loads(pickle.dumps(duplex))
    expected = duplex.process(samples[1000:])
    for twin in twins:
        np.testing.assert_array_equal(twin.process(samples[1000:]), expected)


def test_what_cannot_have_equal_lengths_is_refused():
    with pytest.raises(ConfigError, match="48000 Hz in and 16000 Hz out"):
        DuplexEnhancer(Enhancer(sample_rate=48_000, output_sample_rate=16_000))
    begun = Enhancer()
    begun.process_chunk(np.zeros(5, np.float32))
    with pytest.raises(ConfigError, match="got one after 5 samples"):
        DuplexEnhancer(begun)


def test_settings_may_change_in_mid_stream():
    duplex = DuplexEnhancer(Enhancer(strength=1))
    duplex.enhancer.bypass = True
    samples = signal(duplex)
    whole = np.concatenate([duplex.process(samples), duplex.flush()])
    np.testing.assert_allclose(whole[duplex.delay_samples :], samples, atol=1e-6)
    assert duplex.delay_ms == pytest.approx(1000 * duplex.delay_samples / 16_000)
