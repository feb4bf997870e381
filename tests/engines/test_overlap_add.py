"""Segments: whatever the chunks, the same samples; seams fade; the network sees what it should and no more."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.engines.overlap_add import SegmentEngine, in_segments
from gtcrn_frontend.errors import ModelError, StateError
from gtcrn_frontend.model_spec import (
    FRCRN_CAUSAL_SPEC,
    FRCRN_SPEC,
    MAX_SEGMENT_LATENCY_MS,
    MIN_SEGMENT_LATENCY_MS,
    STREAM_SEGMENTS,
    WAVECRN_SPEC,
    WHOLE_SEGMENTS,
    Segments,
    stream_segments,
)

HOP = 4
SMALL = Segments(context=24, cross_fade=6, advance=16, margin=10)
SPEC = in_segments(dataclasses.replace(WAVECRN_SPEC, win_length=HOP, hop_length=HOP), SMALL)


def engine(network, segments=SMALL):
    return SegmentEngine("test", "test", in_segments(SPEC, segments), network, long=None)


def levelled(samples):
    """A network that needs the whole signal: it divides by the mean magnitude."""
    return samples / np.abs(samples).mean()


def noise(n_hops, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (n_hops, HOP)).astype(np.float32)


def cut(hops, sizes):
    position = 0
    for size in sizes:
        yield hops[position : position + size]
        position += size
    yield hops[position:]


def run(network, hops, sizes=(), segments=SMALL):
    made = engine(network, segments)
    state = made.new_state()
    return np.concatenate([made.process(piece, state) for piece in cut(hops, sizes)]).reshape(-1)


@given(st.integers(1, 60), st.lists(st.integers(0, 13), max_size=12))
def test_any_chunks_give_the_same_samples(n_hops, sizes):
    hops = noise(n_hops)
    np.testing.assert_array_equal(run(levelled, hops, sizes), run(levelled, hops))


@settings(max_examples=40)
@given(
    st.builds(
        Segments, st.integers(0, 30), st.integers(1, 9), st.integers(1, 6).map(lambda n: n * HOP), st.integers(0, 9)
    ),
    st.integers(1, 50),
)
def test_a_network_that_does_nothing_delays_by_what_is_declared(segments, n_hops):
    hops = noise(n_hops)
    out, delay = run(np.copy, hops, segments=segments), in_segments(SPEC, segments).delay
    expected = np.concatenate([np.zeros(delay, np.float32), hops.reshape(-1)])[: hops.size]
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_a_signal_within_one_segment_comes_out_as_the_network_makes_it():
    """Up to `advance - cross_fade - margin`, of which there is none in the small segments, but in those for files."""
    segments = dataclasses.replace(SMALL, advance=40)
    signal = noise(6)
    out = run(levelled, np.concatenate([signal, np.zeros((20, HOP), np.float32)]), segments=segments)
    delay = in_segments(SPEC, segments).delay
    np.testing.assert_array_equal(out[delay : delay + signal.size], levelled(signal.reshape(-1)))


def test_the_network_never_sees_more_than_a_segment_nor_silence_around_it():
    seen = []

    def network(samples):
        seen.append(samples.copy())
        return samples

    silence = np.zeros((30, HOP), np.float32)
    run(network, np.concatenate([silence, noise(40), silence]))
    assert max(map(len, seen)) == SMALL.length
    assert min(map(len, seen)) < SMALL.length
    assert all(samples[0] and samples[-1] for samples in seen)
    seen.clear()
    run(network, silence)
    assert not seen


def test_runs_begin_on_the_grid_of_the_stream():
    """The network tells the time in its frames of 8 samples: the same for all runs, wherever the signal begins."""
    segments = dataclasses.replace(SMALL, grid=8)
    assert segments.length % 8 == segments.advance % 8 == 0
    out = run(lambda samples: (np.arange(len(samples)) % 8).astype(np.float32), np.ones((60, HOP)), segments=segments)
    delay = SPEC.delay
    np.testing.assert_allclose(out[delay:], np.arange(240 - delay) % 8, atol=1e-6)
    late = np.ones((60, HOP), np.float32)
    late[:3] = 0
    moved = run(lambda samples: (np.arange(len(samples)) % 8).astype(np.float32), late, segments=segments)
    np.testing.assert_array_equal(moved[delay + 16 :], out[delay + 16 :])


def test_the_context_and_the_margin_are_cut_off():
    """A network that spoils all but what a run is kept for."""

    def network(samples):
        out = np.full_like(samples, 1e6)
        kept = slice(SMALL.context, SMALL.length - SMALL.margin)
        out[kept] = samples[kept]
        return out

    hops = noise(60)
    settled = SMALL.length + SMALL.latency
    out = run(network, hops)[settled:]
    np.testing.assert_allclose(out, hops.reshape(-1)[settled - SPEC.delay : -SPEC.delay], atol=1e-6)


def test_seams_fade():
    """Every run has a gain of its own; between two of them the output moves in steps, none larger than a fade's."""
    gains = iter(np.tile([1.0, 3.0], 100))
    out = run(lambda samples: np.full_like(samples, next(gains)), np.ones((60, HOP), np.float32))[SMALL.length :]
    assert {out.min(), out.max()} == {1.0, 3.0}
    assert np.abs(np.diff(out)).max() < 2 * 0.5 * np.pi / SMALL.cross_fade
    assert np.abs(np.diff(out)).max() > 0.1


def test_streams_do_not_leak_into_each_other():
    made = engine(levelled)
    inputs = [noise(30, seed) for seed in range(3)]
    states = [made.new_state() for _ in inputs]
    together = made.process_many(list(zip(inputs, states, strict=True)))
    for hops, out in zip(inputs, together, strict=True):
        np.testing.assert_array_equal(out.reshape(-1), run(levelled, hops))


@pytest.mark.parametrize("moment", [0, 3, 4, 17])
def test_a_state_goes_on_elsewhere(moment):
    hops, made = noise(40), engine(levelled)
    state = made.new_state()
    head = made.process(hops[:moment], state)
    exported = made.export_state(state)
    made.process(noise(9, seed=9), state)  # what was exported is a copy
    other = engine(levelled)
    tail = other.process(hops[moment:], other.import_state(exported))
    np.testing.assert_array_equal(np.concatenate([head, tail]).reshape(-1), run(levelled, hops))


@pytest.mark.parametrize("position", [-1.0, 0.5, 4.0, 1e5])
def test_a_position_that_cannot_be_is_refused(position):
    made = engine(levelled)
    arrays = made.export_state(made.new_state()) | {"position": np.array([position], np.float32)}
    with pytest.raises(StateError, match="position: expected a whole number from 0 to 3"):
        made.import_state(arrays)


def test_a_network_that_fails_leaves_the_stream_where_it_was():
    def network(samples):
        if samples[-1] > 50:
            raise ModelError("too loud")
        return samples

    made, hops = engine(network), noise(40)
    state = made.new_state()
    head = made.process(hops[:10], state)
    with pytest.raises(ModelError):
        made.process(np.full((20, HOP), 99, np.float32), state)
    tail = made.process(hops[10:], state)
    np.testing.assert_array_equal(np.concatenate([head, tail]).reshape(-1), run(network, hops))


def test_whole_signals_get_longer_segments_of_the_same_network():
    made = SegmentEngine("test", "test", SPEC, levelled, long=dataclasses.replace(SMALL, advance=40))
    long = made.for_whole_signals()
    assert long.spec.segments.advance == 40
    assert long.spec.delay == made.spec.delay + 24
    assert long.for_whole_signals() is long


@given(st.integers(MIN_SEGMENT_LATENCY_MS, MAX_SEGMENT_LATENCY_MS))
def test_any_latency_is_kept_to_the_sample_and_divided_on_the_grid(latency_ms):
    latency = latency_ms * 16
    segments = stream_segments(latency)
    assert segments.latency == latency
    assert segments.advance % segments.grid == segments.length % segments.grid == 0
    assert segments.advance >= segments.grid
    assert segments.cross_fade == min(latency * 8 // 100, 1280)
    assert 0 <= segments.margin - min(latency * 32 // 100, 5120) < segments.grid
    assert 15680 <= segments.context < 15680 + segments.grid


def test_the_longer_the_latency_the_less_computing():
    costs = [segments.length / segments.advance for segments in map(stream_segments, (8000, 16000, 32000, 64000))]
    assert [round(cost, 1) for cost in costs] == [5.0, 3.3, 1.9, 1.4]


@pytest.mark.parametrize("latency_ms", [200, 333, 1500])
def test_no_output_depends_on_input_beyond_the_latency_and_some_depend_on_all_of_it(latency_ms):
    made = engine(levelled).with_segment_latency(latency_ms)
    latency = 16 * latency_ms
    assert made.spec.latency_ms == latency_ms
    hops = np.random.default_rng(1).normal(0, 1, (20_000, HOP)).astype(np.float32)
    moment = 6000 * HOP
    farthest = 0
    for later in range(0, made.spec.segments.advance, 320):  # wherever in a run the change falls
        changed = hops.copy()
        changed.reshape(-1)[moment + later :] *= 2
        outs = [made.process(each, made.new_state()).reshape(-1)[made.spec.delay :] for each in (hops, changed)]
        first = int(np.flatnonzero(outs[0] != outs[1])[0])
        farthest = max(farthest, moment + later - first)
    assert latency - 2 * 320 < farthest <= latency


@pytest.mark.parametrize("segments", [STREAM_SEGMENTS, WHOLE_SEGMENTS])
@pytest.mark.parametrize("spec", [FRCRN_SPEC, WAVECRN_SPEC])
def test_segments_fit_the_hops_of_the_networks(spec, segments):
    assert segments.advance % spec.hop_length == 0
    assert segments.advance % segments.grid == segments.length % segments.grid == 0
    assert segments.grid % spec.hop_length == segments.grid % 48 == 0
    assert in_segments(spec, segments).delay == segments.latency - spec.hop_length
    assert spec == in_segments(spec, STREAM_SEGMENTS)
    assert STREAM_SEGMENTS.latency == spec.sample_rate


def test_a_network_without_segments_is_refused():
    with pytest.raises(ModelError, match="frcrn_causal"):
        SegmentEngine("test", "test", FRCRN_CAUSAL_SPEC, levelled)
