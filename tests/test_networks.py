"""Other networks behind `Enhancer`: the same promises as for GTCRN, whatever runs them."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import Enhancer, EnhancerConfig, ModelError, StreamPool, StreamState, enhance_file
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import LITE_RTSE_SPEC
from gtcrn_frontend.weights.checkpoint import read_architecture, read_checkpoint

RATE, HOP = LITE_RTSE_SPEC.sample_rate, LITE_RTSE_SPEC.hop_length


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture(scope="module")
def exported(lite_rtse_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "lite.onnx"
    export_model(lite_rtse_checkpoint, path, "onnx")
    return path


@pytest.fixture(scope="module", params=["onnx", "torch", "exported"])
def enhancer(request, lite_rtse_checkpoint):
    """Lite-RTSE in each of the ways that it runs."""
    if request.param == "exported":
        return Enhancer(request.getfixturevalue("exported"))
    return Enhancer(lite_rtse_checkpoint, request.param)


def in_chunks(enhancer, samples, cuts):
    pieces = [enhancer.process_chunk(chunk) for chunk in np.split(samples, cuts)]
    return np.concatenate([*pieces, enhancer.flush()])


def test_all_ways_give_the_same_samples(enhancer, lite_rtse_checkpoint):
    samples = noise(RATE // 2)
    expected = Enhancer(lite_rtse_checkpoint, "torch").enhance(samples)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(enhancer.enhance(samples), expected, atol=1e-5)


def test_its_facts_are_those_of_the_network(enhancer):
    assert enhancer.spec is LITE_RTSE_SPEC
    assert enhancer.latency_samples == LITE_RTSE_SPEC.win_length


@given(cuts=st.lists(st.integers(0, 6000), max_size=6))
@settings(deadline=None, max_examples=5)
def test_any_chunks_are_the_whole(enhancer, cuts):
    samples = noise(6000)
    np.testing.assert_allclose(in_chunks(enhancer, samples, sorted(cuts)), enhancer.enhance(samples), atol=1e-5)


def test_a_stream_goes_on_from_saved_bytes_in_the_other_engine(lite_rtse_checkpoint):
    samples = noise(6000)
    expected = Enhancer(lite_rtse_checkpoint, "torch").enhance(samples)
    first, second = (Enhancer(lite_rtse_checkpoint, engine) for engine in ("onnx", "torch"))
    start = first.process_chunk(samples[:2500])
    second.set_state(StreamState.from_bytes(first.get_state().to_bytes()))
    rest = [second.process_chunk(samples[2500:]), second.flush()]
    np.testing.assert_allclose(np.concatenate([start, *rest]), expected, atol=1e-5)


def test_streams_of_a_pool_are_those_of_enhancers(lite_rtse_checkpoint):
    pool = StreamPool(lite_rtse_checkpoint)
    ids = [pool.open() for _ in range(3)]
    signals = {stream: noise(2000, seed) for seed, stream in enumerate(ids)}
    results = pool.process(signals)
    for stream in ids:
        whole = np.concatenate([results[stream], pool.flush(stream)])
        np.testing.assert_allclose(whole, Enhancer(lite_rtse_checkpoint).enhance(signals[stream]), atol=1e-5)


def test_the_guard_works_for_it(lite_rtse_checkpoint):
    enhancer, samples = Enhancer(lite_rtse_checkpoint, strength="auto"), noise(6000)
    with_auto_strength = in_chunks(enhancer, samples, [1000])
    assert np.isfinite(with_auto_strength).all()
    assert len(with_auto_strength) == len(samples)


def test_a_file_in_one_call(lite_rtse_checkpoint, audio_folder, tmp_path):
    source = audio_folder / "speech_a.flac"
    config = EnhancerConfig(model=lite_rtse_checkpoint)
    samples = enhance_file(source, tmp_path / "out.wav", config)
    np.testing.assert_array_equal(enhance_file(tmp_path / "out.wav", config=EnhancerConfig(strength=0.0)), samples)


def test_auto_falls_to_what_can_run_it(lite_rtse_checkpoint):
    assert load(lite_rtse_checkpoint).engine.name == "onnx"
    with pytest.raises(ModelError, match="lite_rtse runs with engine='onnx' or engine='torch' only, got engine='nati"):
        load(lite_rtse_checkpoint, "native")


# Exports


@pytest.mark.parametrize("strength", [0.0, 0.6])
def test_an_exported_graph_carries_a_strength(lite_rtse_checkpoint, strength, tmp_path):
    export_model(lite_rtse_checkpoint, tmp_path / "milder.onnx", "onnx", strength=strength)
    onnx.checker.check_model(onnx.load(tmp_path / "milder.onnx"), full_check=True)
    samples = noise(6000)
    expected = Enhancer(lite_rtse_checkpoint, strength=strength).enhance(samples)
    np.testing.assert_allclose(Enhancer(tmp_path / "milder.onnx", strength=1).enhance(samples), expected, atol=1e-5)


def test_an_exported_checkpoint_is_the_checkpoint_and_names_its_network(lite_rtse_checkpoint, tmp_path):
    export_model(lite_rtse_checkpoint, tmp_path / "same.safetensors", "safetensors")
    before, after = read_checkpoint(lite_rtse_checkpoint), read_checkpoint(tmp_path / "same.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert read_architecture(tmp_path / "same.safetensors") == "lite_rtse"


def test_a_layout_that_a_network_does_not_have(lite_rtse_checkpoint, tmp_path):
    with pytest.raises(
        ModelError, match="expected gtcrn or ulunas for the layout sherpa-onnx, got a checkpoint of lite_rtse"
    ):
        export_model(lite_rtse_checkpoint, tmp_path / "no.onnx", "sherpa-onnx")
    assert not list(tmp_path.iterdir())


def test_onnx_runtime_needs_no_torch(lite_rtse_checkpoint, exported):
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from gtcrn_frontend import Enhancer
samples = np.random.default_rng(0).normal(0, 0.1, 6000).astype(np.float32)
first, second = (Enhancer(path).enhance(samples) for path in sys.argv[1:])
np.testing.assert_allclose(first, second, atol=1e-6)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, lite_rtse_checkpoint, exported], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
