"""UL-UNAS behind `Enhancer`: every engine and every export gives the samples of the published file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import Enhancer, StreamPool, StreamState
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import ULUNAS_SPEC

HOP = ULUNAS_SPEC.hop_length
MODEL = "random:ulunas"
WAYS = ["native", "onnx", "torch", "exported", "sherpa-onnx"]


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function that returns the file of an export."""
    folder = tmp_path_factory.mktemp("exported")

    def export(layout: str, model: str | Path = MODEL, strength: float = 1.0) -> Path:
        path = folder / f"{Path(model).stem}-{layout}-{strength}.onnx"
        if not path.exists():
            export_model(model, path, layout, strength=strength)
        return path

    return export


@pytest.fixture(scope="module", params=WAYS)
def enhancer(request, exported):
    """UL-UNAS in each of the ways that it runs."""
    if request.param in ("exported", "sherpa-onnx"):
        return Enhancer(exported(request.param.replace("exported", "onnx")), strength=1)
    return Enhancer(MODEL, request.param, strength=1)


def test_all_ways_give_the_same_samples(enhancer):
    samples = noise(8000)
    expected = Enhancer(MODEL, "torch", strength=1).enhance(samples)
    assert np.abs(expected - samples).max() > 0.05
    np.testing.assert_allclose(enhancer.enhance(samples), expected, atol=1e-5)
    assert enhancer.spec is ULUNAS_SPEC


@given(cuts=st.lists(st.integers(0, 6000), max_size=6))
@settings(deadline=None, max_examples=5)
def test_any_chunks_are_the_whole(enhancer, cuts):
    samples = noise(6000)
    pieces = [enhancer.process_chunk(chunk) for chunk in np.split(samples, sorted(cuts))]
    np.testing.assert_allclose(np.concatenate([*pieces, enhancer.flush()]), enhancer.enhance(samples), atol=1e-5)


def test_a_stream_moves_between_engines_as_bytes():
    samples, engines = noise(20 * HOP), ["native", "torch", "onnx"]
    expected = Enhancer(MODEL, "torch", strength=1).enhance(samples)
    enhancer, pieces = Enhancer(MODEL, "torch", strength=1), []
    for i, chunk in enumerate(np.split(samples, 8)):
        pieces.append(enhancer.process_chunk(chunk))
        state = StreamState.from_bytes(enhancer.get_state().to_bytes())
        enhancer = Enhancer(MODEL, engines[i % len(engines)], strength=1)
        enhancer.set_state(state)
    np.testing.assert_allclose(np.concatenate([*pieces, enhancer.flush()]), expected, atol=1e-5)


def test_the_released_checkpoint_is_the_published_file(shared):
    folder, samples = shared / "reference/ulunas", noise(40 * HOP)
    expected = Enhancer(folder / "ulunas_stream_simple.onnx", strength=1).enhance(samples)
    for engine in ("native", "onnx", "torch"):
        enhancer = Enhancer(folder / "model_trained_on_dns3.tar", engine, strength=1)
        np.testing.assert_allclose(enhancer.enhance(samples), expected, atol=1e-5)


def test_streams_of_a_pool_do_not_meet():
    pool, signals = StreamPool(MODEL), [noise(3000, seed) for seed in range(3)]
    streams = [pool.open(strength=1) for _ in signals]
    found = pool.process(dict(zip(streams, signals, strict=True)))
    for stream, signal in zip(streams, signals, strict=True):
        expected = Enhancer(MODEL, strength=1).process_chunk(signal)
        np.testing.assert_allclose(found[stream], expected, atol=1e-5)


@pytest.mark.parametrize("layout", ["onnx", "sherpa-onnx"])
def test_a_strength_is_in_an_export(layout, exported):
    samples = noise(4000)
    expected = Enhancer(MODEL, "torch", strength=0.6).enhance(samples)
    file = Enhancer(exported(layout, strength=0.6), strength=1)
    np.testing.assert_allclose(file.enhance(samples), expected, atol=1e-5)


def test_sherpa_onnx_runs_an_export_offline(exported):
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    samples = noise(40 * HOP)
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(str(exported("sherpa-onnx", strength=0.5)))
    model = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn, num_threads=1)
    denoiser = sherpa_onnx.OfflineSpeechDenoiser(sherpa_onnx.OfflineSpeechDenoiserConfig(model=model))
    expected = Enhancer(MODEL, "torch", strength=0.5).enhance(samples)
    found = np.array(denoiser.run(samples, ULUNAS_SPEC.sample_rate).samples, np.float32)
    # It reflects the signal at its ends, where streams have silence.
    inside = slice(4 * HOP, len(found) - 4 * HOP)
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)
