"""The ONNX Runtime engine: any weights in the package's graph, providers, threads, files that are no graphs."""

import numpy as np
import onnxruntime
import pytest

from gtcrn_frontend.engines.onnx.loading import load_onnx
from gtcrn_frontend.engines.torch import TorchEngine
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.weights.checkpoint import write_safetensors
from gtcrn_frontend.weights.model import load_model

HOP = GTCRN_SPEC.hop_length


def noise(hops, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (hops, HOP)).astype(np.float32)


def enhanced(engine, hops):
    return engine.process(hops, engine.new_state())


def model_with(random_parameters, changes, folder):
    path = folder / "changed.safetensors"
    write_safetensors(path, random_parameters | changes, {})
    return load_model(path)


def slopes_of(random_parameters, value):
    return {n: np.full_like(a, value) for n, a in random_parameters.items() if n.endswith("act.weight")}


def assert_like_torch(model):
    hops = noise(60)
    expected = enhanced(TorchEngine(model), hops)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(enhanced(load_onnx(model), hops), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("slope", [-1.5, -0.1, 0, 0.25, 1, 1.0001, 3])
def test_any_slope(random_parameters, slope, tmp_path):
    assert_like_torch(model_with(random_parameters, slopes_of(random_parameters, slope), tmp_path))


def test_any_filters(random_parameters, tmp_path):
    """They are parameters of the checkpoint, not constants of the engine."""
    rng = np.random.default_rng(0)
    names = ("erb.erb_fc.weight", "erb.ierb_fc.weight")
    changes = {n: rng.normal(0, 0.05, random_parameters[n].shape).astype(np.float32) for n in names}
    assert_like_torch(model_with(random_parameters, changes, tmp_path))


def test_more_threads_give_the_same_samples(random_checkpoint):
    model, hops = load_model(random_checkpoint), noise(40)
    one, two = (load_onnx(model, num_threads=n) for n in (1, 2))
    np.testing.assert_allclose(enhanced(two, hops), enhanced(one, hops), atol=1e-6)
    streams = [(noise(4, seed), two.new_state()) for seed in range(3)]
    for (samples, _), result in zip(streams, two.process_many(streams), strict=True):
        np.testing.assert_allclose(result, enhanced(one, samples), atol=1e-6)


def test_engines_with_different_weights_do_not_share_them(random_parameters, random_checkpoint, tmp_path):
    hops = noise(20)
    first = load_onnx(load_model(random_checkpoint))
    before = enhanced(first, hops)
    changes = {"decoder.de_convs.4.conv.bias": np.array([0.5, -0.5], np.float32)}
    second = load_onnx(model_with(random_parameters, changes, tmp_path))
    assert np.abs(enhanced(second, hops) - before).max() > 1e-3
    np.testing.assert_array_equal(enhanced(first, hops), before)


# Providers


def test_the_cpu_is_the_default_and_can_be_asked_for(random_checkpoint):
    model = load_model(random_checkpoint)
    for providers in ((), ("CPUExecutionProvider",)):
        engine = load_onnx(model, providers=providers)
        assert engine.description == f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider"


@pytest.mark.parametrize("providers", [("CUDA",), ("CPUExecutionProvider", "NoSuchProvider"), ("",)])
def test_a_provider_that_is_not_there(random_checkpoint, providers):
    with pytest.raises(ModelError, match=r"expected providers out of \[.*'CPUExecutionProvider'.*onnxruntime build"):
        load_onnx(load_model(random_checkpoint), providers=providers)


# Files


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(1000)], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_graph(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        load_onnx(load_model(path))


def test_a_truncated_graph(shared, tmp_path):
    path = tmp_path / "model.onnx"
    data = (shared / "reference/gtcrn/gtcrn_simple.onnx").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        load_onnx(load_model(path))
