"""An enhancer that fails in the middle of a call lets the audio pass, without a gap and no later than before."""

import logging

import numpy as np
import pytest

from gtcrn_frontend import AudioFormatError, ConfigError, Enhancer
from gtcrn_frontend.adapters.fail_open import FailOpenEnhancer

LOG = logging.getLogger("test_fail_open")
RATES = (8_000, 16_000, 24_000, 44_100, 48_000)


def noise(count, channels=1, seed=0):
    shape = (count,) if channels == 1 else (count, channels)
    return np.random.default_rng(seed).normal(0, 3_000, shape).astype(np.int16)


def run(enhancer, samples, size, breaks_at=None, break_engine=None):
    """Returns the pieces, one for each chunk and one for the end; the engine breaks before a chunk."""
    pieces = []
    for i, start in enumerate(range(0, len(samples), size)):
        if i == breaks_at:
            break_engine()
        pieces.append(enhancer.process_chunk(samples[start : start + size]))
    return [*pieces, enhancer.flush()]


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", RATES)
def test_without_an_error_it_is_the_enhancer(rate, milliseconds):
    samples, size = noise(rate), rate * milliseconds // 1000
    expected = run(Enhancer(sample_rate=rate), samples, size)
    got = run(FailOpenEnhancer(Enhancer(sample_rate=rate), LOG), samples, size)
    assert [len(piece) for piece in got] == [len(piece) for piece in expected]
    np.testing.assert_array_equal(np.concatenate(got), np.concatenate(expected))


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", RATES)
def test_after_an_error_the_input_follows_at_its_place(rate, milliseconds, break_engine, caplog):
    samples, size = noise(rate), rate * milliseconds // 1000
    enhancer = FailOpenEnhancer(Enhancer(sample_rate=rate), LOG)
    pieces = run(enhancer, samples, size, 10, break_engine)
    before, whole = sum(map(len, pieces[:10])), np.concatenate(pieces)
    assert whole.dtype == np.int16
    assert len(whole) == len(samples)
    assert not np.array_equal(whole[:before], samples[:before])
    np.testing.assert_array_equal(whole[before:], samples[before:])
    behind = np.minimum(size * np.arange(1, len(pieces)), rate) - np.cumsum([len(piece) for piece in pieces[:-1]])
    assert behind[behind >= 0].max() <= enhancer.enhancer.lag_samples
    assert behind.min() >= 0
    (record,) = caplog.records
    assert record.exc_info
    assert "the engine is broken" in str(record.exc_info[1])


@pytest.mark.parametrize("rate", RATES)
def test_strength_0_stays_bit_exact_through_an_error(rate, break_engine):
    samples = noise(rate)
    pieces = run(FailOpenEnhancer(Enhancer(sample_rate=rate, strength=0), LOG), samples, rate // 100, 50, break_engine)
    np.testing.assert_array_equal(np.concatenate(pieces), samples)


@pytest.mark.parametrize("downmix", [False, True])
def test_channels(downmix, break_engine):
    samples = noise(16_000, 2)
    config = {"channels": 2, "downmix": downmix, "strength": 0}
    expected = np.concatenate(run(Enhancer(**config), samples, 320))
    pieces = run(FailOpenEnhancer(Enhancer(**config), LOG), samples, 320, 20, break_engine)
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_the_next_stream_is_enhanced_again(monkeypatch, break_engine, caplog):
    samples = noise(8_000)
    enhancer = FailOpenEnhancer(Enhancer(), LOG)
    with monkeypatch.context():
        run(enhancer, samples, 160, 5, break_engine)
    monkeypatch.undo()
    assert not enhancer.failed
    np.testing.assert_array_equal(np.concatenate(run(enhancer, samples, 160)), Enhancer().enhance(samples))
    assert len(caplog.records) == 1


def test_an_error_at_the_end_loses_nothing(break_engine):
    samples = noise(8_000)
    enhancer = FailOpenEnhancer(Enhancer(), LOG)
    first = enhancer.process_chunk(samples)
    break_engine()
    np.testing.assert_array_equal(enhancer.flush(), samples[len(first) :])


def test_a_caller_that_reuses_its_buffer(break_engine):
    break_engine()
    enhancer, buffer, pieces = FailOpenEnhancer(Enhancer(), LOG), np.empty(160, np.int16), []
    samples = noise(3_200)
    for chunk in np.split(samples, 20):
        buffer[:] = chunk
        pieces.append(enhancer.process_chunk(buffer))
    np.testing.assert_array_equal(np.concatenate([*pieces, enhancer.flush()]), samples)


def test_invalid_samples_are_the_callers_error():
    enhancer = FailOpenEnhancer(Enhancer(), LOG)
    with pytest.raises(AudioFormatError):
        enhancer.process_chunk(np.array([np.nan], np.float32))
    assert not enhancer.failed
    samples = noise(8_000)
    np.testing.assert_array_equal(np.concatenate(run(enhancer, samples, 160)), Enhancer().enhance(samples))


def test_raise(break_engine):
    enhancer = FailOpenEnhancer(Enhancer(), LOG, on_error="raise")
    break_engine()
    with pytest.raises(RuntimeError, match="broken"):
        enhancer.process_chunk(noise(1_600))
    assert not enhancer.failed


def test_settings():
    with pytest.raises(ConfigError, match="on_error"):
        FailOpenEnhancer(Enhancer(), LOG, on_error="ignore")
    with pytest.raises(ConfigError, match="48000"):
        FailOpenEnhancer(Enhancer(output_sample_rate=48_000), LOG)


@pytest.mark.parametrize("breaks_at", [None, 0, 10, "flush"])
def test_aligned_signals_are_the_input_after_an_error(breaks_at, break_engine):
    samples, enhancer = noise(16_000), FailOpenEnhancer(Enhancer(), LOG)
    reference, pieces = Enhancer(), []
    for _ in range(2):  # the next stream begins at sample 0 again
        for i, start in enumerate(range(0, len(samples), 320)):
            if i == breaks_at:
                break_engine()
            pieces.append(enhancer.process_aligned(samples[start : start + 320]))
        if breaks_at == "flush":
            break_engine()
        pieces.append(enhancer.flush_aligned())
        starts = np.cumsum([0, *(len(piece.mixed) for piece in pieces)])
        assert [piece.start_sample for piece in pieces] == starts[:-1].tolist()
        for name in ("dry", "mixed", "enhanced"):
            whole = np.concatenate([getattr(piece, name) for piece in pieces])
            if breaks_at is None:
                expected = getattr(reference.process_aligned(samples), name), getattr(reference.flush_aligned(), name)
                np.testing.assert_array_equal(whole, np.concatenate(expected))
            else:
                assert len(whole) == len(samples)
                np.testing.assert_array_equal(whole[-300:], samples[-300:])
                assert name != "dry" or np.array_equal(whole, samples)
        pieces.clear()
    assert enhancer.failures == (0 if breaks_at is None else 2)
    assert not enhancer.failed
