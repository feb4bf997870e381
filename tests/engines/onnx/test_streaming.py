"""Published streaming graphs: run as they are, hop by hop, with their caches; or refused with what was expected."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from gtcrn_frontend import Enhancer, StreamState
from gtcrn_frontend.engines.onnx.loading import load_onnx
from gtcrn_frontend.engines.stft import window
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC, ULUNAS_SPEC
from gtcrn_frontend.weights.model import load_model

HOP = GTCRN_SPEC.hop_length
GTCRN_CACHES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}
ULUNAS_CACHES = {"conv_cache": (1, 5358), "tfa_cache": (1, 402), "inter_cache": (1, 1056)}


def noise(hops, seed=0, hop=HOP):
    return np.random.default_rng(seed).normal(0, 0.1, (hops, hop)).astype(np.float32)


def graph(path, mix=(1, 257, 1, 2), caches=GTCRN_CACHES, outputs=None, kind=TensorProto.FLOAT, metadata=None):
    """A streaming graph that hands its spectra and its caches through."""
    shapes = {"mix": mix, **caches}
    names = outputs or {"mix": "enh", **{name: f"{name}_out" for name in caches}}
    nodes = [helper.make_node("Identity", [source], [target]) for source, target in names.items()]
    made = helper.make_graph(
        nodes,
        "identity",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(target, kind, shapes[source]) for source, target in names.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return load_onnx(load_model(path))


def counting_graph(path, frames=1):
    """A graph whose output is its input times the number of runs since the stream began."""
    nodes = [
        helper.make_node("Add", ["count", "one"], ["count_out"]),
        helper.make_node("Mul", ["mix", "count_out"], ["enh"]),
    ]
    values = {"mix": (1, 257, frames, 2), "count": (1,), "enh": (1, 257, frames, 2), "count_out": (1,)}
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()}
    one = helper.make_tensor("one", TensorProto.FLOAT, (1,), [1.0])
    made = helper.make_graph(
        nodes, "counting", [infos["mix"], infos["count"]], [infos["enh"], infos["count_out"]], [one]
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return load_onnx(load_model(path))


def test_one_frame_per_run_with_the_caches_handed_on(tmp_path):
    """Frame t comes out t + 1 times as strong, so each hop is a known mixture of its two frames."""
    engine, hops = counting_graph(tmp_path / "counting.onnx"), np.ones((5, HOP), np.float32)
    rise, fall = np.split(window(engine.spec) ** 2, 2)
    result = engine.process(hops, engine.new_state())
    for t in range(1, 5):
        np.testing.assert_allclose(result[t], t * fall + (t + 1) * rise, atol=1e-5)


def test_any_number_of_frames_per_run_where_time_is_dynamic(tmp_path):
    engine, hops = counting_graph(tmp_path / "counting.onnx", frames="T"), noise(9)
    np.testing.assert_allclose(engine.process(hops, engine.new_state())[1:], hops[:-1], atol=1e-6)


@pytest.mark.parametrize(
    "caches",
    [
        GTCRN_CACHES,
        {
            "inter_cache": (2, 1, 33, 16),
            "conv.1_cache": (1, 16, 16, 33),
            "conv.0_cache": (1, 16, 16, 33),
            "tra_cache": (2, 3, 1, 1, 16),
        },
    ],
    ids=["whole", "in parts"],
)
def test_caches_of_gtcrn_are_the_canonical_ones(caches, tmp_path):
    engine = graph(tmp_path / "identity.onnx", caches=caches)
    assert engine.spec is GTCRN_SPEC
    rng = np.random.default_rng(1)
    arrays = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in GTCRN_SPEC.cache_shapes.items()}
    state = engine.import_state(arrays)
    engine.process_many([(noise(9), engine.new_state()), (noise(9), state)])
    exported = engine.export_state(state)
    for name in ("conv", "tra", "inter"):
        np.testing.assert_array_equal(exported[name], arrays[name])


def test_an_unknown_network_is_described_by_its_file(tmp_path):
    facts = {"n_fft": "640", "hop_length": "320", "window_length": "640", "sample_rate": "48000"}
    spec = graph(tmp_path / "dpcrn.onnx", (1, 321, 1, 2), {"h_cache": (2, 4), "past": (1, 3)}, metadata=facts).spec
    assert (spec.name, spec.sample_rate, spec.n_fft, spec.win_length, spec.hop_length) == (
        "dpcrn",
        48000,
        640,
        640,
        320,
    )
    assert dict(spec.cache_shapes) == {"analysis": (320,), "synthesis": (320,), "h": (2, 4), "past": (1, 3)}
    assert spec.parameters is None


def test_without_metadata_the_bins_tell_the_transform(tmp_path):
    spec = graph(tmp_path / "small.onnx", (1, 161, 1, 2), {}).spec
    assert (spec.sample_rate, spec.n_fft, spec.win_length, spec.hop_length) == (16000, 320, 320, 160)


@pytest.mark.parametrize(
    "deviation",
    [
        pytest.param({"mix": (2, 257, 1, 2)}, id="more streams"),
        pytest.param({"mix": (1, 257, 3, 2)}, id="several frames"),
        pytest.param({"mix": (1, 257, 2)}, id="an axis less"),
        pytest.param({"mix": (1, 1, 257, 2)}, id="bins and time exchanged"),
        pytest.param({"mix": (1, 1, 1, 2)}, id="one bin"),
        pytest.param({"caches": {"cache": ("n", 3)}}, id="a cache of any size"),
        pytest.param({"outputs": {"mix": "enh", "conv_cache": "conv_cache_out"}}, id="fewer outputs"),
        pytest.param({"outputs": {"mix": "out", **{n: f"{n}_out" for n in GTCRN_CACHES}}}, id="another output"),
        pytest.param({"kind": TensorProto.DOUBLE}, id="double precision"),
    ],
)
def test_a_graph_in_another_layout(deviation, tmp_path):
    with pytest.raises(ModelError, match=r"other\.onnx: expected (a streaming graph with the inputs mix|1 bins)"):
        graph(tmp_path / "other.onnx", **deviation)


@pytest.mark.parametrize(
    ("caches", "facts", "expected"),
    [
        (GTCRN_CACHES, {}, "hann_sqrt"),
        (GTCRN_CACHES, {"window_type": "hann"}, "hann"),
        (ULUNAS_CACHES, {}, "hann"),
        (ULUNAS_CACHES, {"window_type": "hann_sqrt"}, "hann_sqrt"),
        ({"h_cache": (2, 4)}, {}, "hann_sqrt"),
        ({"h_cache": (2, 4)}, {"window_type": "hann"}, "hann"),
    ],
)
def test_the_window_is_the_files_or_else_the_networks(caches, facts, expected, tmp_path):
    engine, hops = graph(tmp_path / "any.onnx", caches=caches, metadata=facts), noise(9)
    assert engine.spec.window == expected
    np.testing.assert_allclose(engine.process(hops, engine.new_state())[1:], hops[:-1], atol=1e-6)


@pytest.mark.parametrize(
    "caches",
    [
        {"analysis": (1,)},
        {"synthesis_cache": (1,)},
        {"h": (1,), "h_cache": (1,)},
        {"h": (1,), "h.0": (1,)},
        {"h.1": (1,), "h.1_cache": (1,)},
    ],
)
def test_names_of_caches_that_are_taken(caches, tmp_path):
    with pytest.raises(ModelError, match=r"other\.onnx: expected caches of different names"):
        graph(tmp_path / "other.onnx", caches=caches)


def test_outputs_of_other_shapes_than_inputs(tmp_path):
    nodes = [
        helper.make_node("Identity", ["mix"], ["enh"]),
        helper.make_node("Concat", ["h", "h"], ["h_out"], axis=0),
    ]
    shapes = {"mix": (1, 257, 1, 2), "h": (2,), "enh": (1, 257, 1, 2), "h_out": None}
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    made = helper.make_graph(nodes, "growing", [infos["mix"], infos["h"]], [infos["enh"], infos["h_out"]])
    path = tmp_path / "growing.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    with pytest.raises(ModelError, match=r"growing\.onnx: expected a streaming graph with the outputs .*got .*\(4,\)"):
        load_onnx(load_model(path))


@pytest.mark.parametrize(
    "facts",
    [{"hop_length": "128"}, {"n_fft": "640"}, {"window_type": "hamming"}, {"hop_length": "half"}, {"sample_rate": "0"}],
)
def test_a_transform_that_is_not_ours(facts, tmp_path):
    with pytest.raises(ModelError, match=r"other\.onnx: expected (257 bins|whole numbers)"):
        graph(tmp_path / "other.onnx", metadata=facts)


# UL-UNAS, as published


@pytest.fixture(scope="module")
def ulunas(shared):
    return shared / "reference/ulunas/ulunas_stream_simple.onnx"


def plain(path, samples):
    """What ONNX Runtime alone makes of samples, hop by hop."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    caches = {n.name: np.zeros(n.shape, np.float32) for n in session.get_inputs() if n.name != "mix"}
    padded = np.concatenate([np.zeros(HOP, np.float32), samples, np.zeros(2 * HOP, np.float32)])
    shape = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2 * HOP) / (2 * HOP))).astype(np.float32)
    overlapping = shape**2 + np.roll(shape, HOP) ** 2
    result = np.zeros_like(padded)
    for start in range(0, len(padded) - HOP, HOP):
        spectrum = np.fft.rfft(padded[start : start + 2 * HOP] * shape).astype(np.complex64)
        mix = spectrum.view(np.float32).reshape(1, 257, 1, 2)
        enhanced, *new = session.run(["enh", *(f"{n}_out" for n in caches)], {"mix": mix, **caches})
        caches = dict(zip(caches, new, strict=True))
        frame = np.fft.irfft(enhanced[0, :, 0].view(np.complex64)[:, 0]).astype(np.float32) * shape / overlapping
        result[start : start + 2 * HOP] += frame
    return result[HOP : HOP + len(samples)]


def test_ulunas_is_what_plain_onnx_runtime_makes_of_it(ulunas):
    enhancer, samples = Enhancer(ulunas, strength=1), noise(40).reshape(-1)
    assert enhancer.spec is ULUNAS_SPEC
    assert enhancer.engine == "onnx"
    np.testing.assert_allclose(enhancer.enhance(samples), plain(ulunas, samples), atol=1e-6)


def test_a_stream_of_ulunas_in_any_chunks_goes_on_from_saved_bytes(ulunas):
    enhancer, samples = Enhancer(ulunas), noise(20).reshape(-1)
    expected = enhancer.enhance(samples)
    pieces = []
    for chunk in np.split(samples, [1, 300, 1700, 3000]):
        pieces.append(enhancer.process_chunk(chunk))
        state = StreamState.from_bytes(enhancer.get_state().to_bytes())
        enhancer = Enhancer(ulunas)
        enhancer.set_state(state)
    np.testing.assert_allclose(np.concatenate([*pieces, enhancer.flush()]), expected, atol=1e-6)
