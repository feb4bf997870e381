"""Every engine against the released outputs, and engines against each other in mid-stream."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.engines.stft import analyse
from gtcrn_frontend.model_spec import GTCRN_SPEC

HOP, OVERLAP = GTCRN_SPEC.hop_length, GTCRN_SPEC.overlap
TOLERANCE = 1e-4  # of full scale
CASES = [(name, engine) for name in ("dns3", "dns3_stream", "vctk") for engine in ("onnx", "torch")]
CASES.append(("dns3_stream", "ready graph"))


def loaded(shared, name, engine):
    if engine == "ready graph":
        return load(shared / "reference/gtcrn/gtcrn_simple.onnx", "onnx").engine
    return load(shared / f"reference/gtcrn/model_trained_on_{name}.tar", engine).engine


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "reference/gtcrn_official.npz")


@pytest.fixture(scope="module")
def hops(golden):
    """The noisy example, filled up to whole hops with the zeros that the released code pads with."""
    samples = golden["wav"]
    return np.pad(samples, (0, -len(samples) % HOP)).reshape(-1, HOP)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(case))
def case(request, shared):
    """Name of the weights, and an engine that has them."""
    return request.param[0], loaded(shared, *request.param)


def complex_spectra(planes):
    """`(1, 257, T, 2)` as engines have it: `(1, T, 257)` complex."""
    return np.ascontiguousarray((planes[..., 0] + 1j * planes[..., 1]).transpose(0, 2, 1))


def in_blocks(engine, hops, sizes):
    state, pieces, start = engine.new_state(), [], 0
    for size in [*sizes, len(hops)]:
        pieces.append(engine.process(hops[start : start + size], state))
        start += size
    return np.concatenate(pieces)


def assert_released(golden, name, enhanced):
    # The engine's first hop lies before the first sample.
    np.testing.assert_allclose(enhanced.reshape(-1)[OVERLAP:], golden[f"{name}_wav"], atol=TOLERANCE)


def test_the_transform_is_the_released_one(golden, hops):
    spectra, _ = analyse(GTCRN_SPEC, hops[None], np.zeros((1, OVERLAP), np.float32))
    expected = complex_spectra(golden["spec"])
    np.testing.assert_allclose(spectra, expected, atol=TOLERANCE)


def test_released_spectra(golden, case):
    name, engine = case
    enhanced, _ = engine._run(complex_spectra(golden["spec"]), engine.new_state().caches)
    np.testing.assert_allclose(enhanced, complex_spectra(golden[f"{name}_spec"]), atol=TOLERANCE)


def test_released_samples_in_one_call(golden, hops, case):
    name, engine = case
    assert_released(golden, name, engine.process(hops, engine.new_state()))


def test_released_samples_hop_by_hop(golden, hops, case):
    name, engine = case
    assert_released(golden, name, in_blocks(engine, hops, [1] * len(hops)))


@settings(deadline=None, max_examples=5)
@given(sizes=st.lists(st.integers(0, 60), max_size=12))
def test_released_samples_in_blocks_of_any_size(golden, hops, case, sizes):
    name, engine = case
    assert_released(golden, name, in_blocks(engine, hops, sizes))


def test_released_samples_as_one_of_many_streams(golden, hops, case):
    name, engine = case
    others = np.random.default_rng(0).normal(0, 0.2, hops.shape).astype(np.float32)
    streams = [(samples, engine.new_state()) for samples in (others, hops, -others)]
    assert_released(golden, name, engine.process_many(streams)[1])


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.permutations(["onnx", "torch", "ready graph"], 2)), ids=str
)
def test_a_released_stream_moves_between_engines(golden, hops, shared, before, after):
    first, second = loaded(shared, "dns3_stream", before), loaded(shared, "dns3_stream", after)
    for cut in (1, 60):
        state = first.new_state()
        start = first.process(hops[:cut], state)
        moved = second.import_state(first.export_state(state))
        assert_released(golden, "dns3_stream", np.concatenate([start, second.process(hops[cut:], moved)]))


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(["onnx", "torch"], 2)))
def test_a_stream_with_random_weights_moves_between_engines(random_checkpoint, before, after):
    first, second = load(random_checkpoint, before).engine, load(random_checkpoint, after).engine
    hops = np.random.default_rng(3).normal(0, 0.1, (60, HOP)).astype(np.float32)
    whole = first.process(hops, first.new_state())
    state = first.new_state()
    start = first.process(hops[:23], state)
    rest = second.process(hops[23:], second.import_state(first.export_state(state)))
    np.testing.assert_allclose(np.concatenate([start, rest]), whole, atol=TOLERANCE)


def test_engines_agree_on_random_weights_to_single_precision(random_checkpoint):
    hops = np.random.default_rng(4).normal(0, 0.1, (150, HOP)).astype(np.float32)
    engines = [load(random_checkpoint, name).engine for name in ("onnx", "torch")]
    states = [engine.new_state() for engine in engines]
    onnx, torch = (engine.process(hops, state) for engine, state in zip(engines, states, strict=True))
    assert np.abs(torch).max() > 0.05
    np.testing.assert_allclose(onnx, torch, atol=1e-5 * np.abs(torch).max())
    exported = [engine.export_state(state) for engine, state in zip(engines, states, strict=True)]
    for name, array in exported[1].items():
        np.testing.assert_allclose(exported[0][name], array, atol=1e-5 * max(1, np.abs(array).max()), err_msg=name)
