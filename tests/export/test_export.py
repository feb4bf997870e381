"""Exports, run by ONNX Runtime, by the real sherpa-onnx, and by this package."""

import importlib.util

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import sherpa_onnx
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import gtcrn_frontend.export as export_module
from gtcrn_frontend import ConfigError, Enhancer, ModelError
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.engines.stft import analyse, synthesise
from gtcrn_frontend.export import LAYOUTS, export_model
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.weights.checkpoint import read_checkpoint
from gtcrn_frontend.weights.model import installed_registry, load_model

RATE = GTCRN_SPEC.sample_rate
HOP = GTCRN_SPEC.hop_length
STRENGTHS = (1.0, 0.5)
CACHES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}
SUFFIXES = {"onnx": ".onnx", "sherpa-onnx": ".onnx", "safetensors": ".safetensors"}


@pytest.fixture(scope="module")
def speech(audio_folder):
    return soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0][: 3 * RATE]


@pytest.fixture(scope="module")
def exported(random_checkpoint, tmp_path_factory):
    """Path of the random checkpoint in a layout with a strength; each is made once."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def make(layout, strength=1.0, model=random_checkpoint):
        key = (layout, strength, model)
        if key not in made:
            made[key] = folder / f"{len(made)}{SUFFIXES[layout]}"
            export_model(model, made[key], layout, strength=strength)
        return made[key]

    return make


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def agreement_db(expected, got):
    assert expected.shape == got.shape
    return 10 * np.log10(np.sum(expected**2) / np.sum((expected - got) ** 2))


# What every graph must be.


@pytest.mark.parametrize("layout", ["onnx", "sherpa-onnx"])
def test_a_graph_is_valid_self_contained_standard_and_float32(exported, layout):
    graph = onnx.load(exported(layout, 0.5), load_external_data=False)
    onnx.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} == {""}
    for tensor in graph.graph.initializer:
        assert tensor.data_location == onnx.TensorProto.DEFAULT
        assert tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64)


@pytest.mark.parametrize("layout", ["onnx", "sherpa-onnx"])
def test_equal_exports_are_equal_bytes(random_checkpoint, exported, tmp_path, layout):
    origin = export_model(str(random_checkpoint), tmp_path / "again.onnx", layout)
    assert (tmp_path / "again.onnx").read_bytes() == exported(layout).read_bytes()
    assert origin.digest == load_model(random_checkpoint).digest


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_what_is_exported_is_imported_in_either_layout(random_checkpoint, exported, strength):
    noise = np.random.default_rng(0).normal(0, 0.1, 20000).astype(np.float32)
    expected = Enhancer(model=random_checkpoint, strength=strength).enhance(noise)
    for layout in ("onnx", "sherpa-onnx"):
        imported = Enhancer(model=exported(layout, strength), strength=1)
        chunks = [imported.process_chunk(chunk) for chunk in np.array_split(noise, 7)]
        np.testing.assert_allclose(np.concatenate([*chunks, imported.flush()]), expected, atol=1e-5)


# Layout sherpa-onnx.


def test_sherpa_layout_has_exactly_the_interface_and_metadata_that_sherpa_asks_for(exported, random_checkpoint):
    path = exported("sherpa-onnx", 0.5)
    runs = session(path)
    spectrum = (1, 257, 1, 2)
    assert {value.name: tuple(value.shape) for value in runs.get_inputs()} == {"mix": spectrum, **CACHES}
    assert [value.name for value in runs.get_outputs()] == ["enh", *(f"{name}_out" for name in CACHES)]
    assert [tuple(value.shape) for value in runs.get_outputs()] == [spectrum, *CACHES.values()]
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata == {
        "model_type": "gtcrn",
        "version": "1",
        "sample_rate": "16000",
        "n_fft": "512",
        "hop_length": "256",
        "window_length": "512",
        "window_type": "hann_sqrt",
        "conv_cache_shape": "2,1,16,16,33",
        "tra_cache_shape": "2,3,1,1,16",
        "inter_cache_shape": "2,1,33,16",
        "model_url": "",
        "maintainer": "gtcrn_frontend",
        "comment": f"random.safetensors, digest {load_model(random_checkpoint).digest}",
        "comment2": "strength 0.5",
    }


def test_registered_models_are_named_with_url_and_licence(tmp_path):
    origin = export_model("gtcrn-asr", tmp_path / "a.onnx", "onnx")
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert (origin.name, metadata["source"], metadata["licence"]) == ("gtcrn-asr", "gtcrn-asr", "MIT")
    assert metadata["digest"] == origin.digest
    assert (metadata["sample_rate"], metadata["n_fft"], metadata["hop_length"]) == ("16000", "512", "256")


def test_registered_downloads_are_named_with_their_url(random_checkpoint):
    downloaded = installed_registry().models["gtcrn-dns3"]
    origin = export_module.Origin.of("gtcrn-dns3", load_model(random_checkpoint))
    assert origin.to_metadata()["source"] == origin.url == downloaded.download.url


def test_one_frame_on_any_caches_equals_the_released_graph(shared, exported):
    folder = shared / "reference/gtcrn"
    ours, released = (
        session(path)
        for path in (
            exported("sherpa-onnx", model=folder / "model_trained_on_dns3_stream.tar"),
            folder / "gtcrn_simple.onnx",
        )
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        feeds = {"mix": rng.normal(0, 3, (1, 257, 1, 2)).astype(np.float32)}
        feeds |= {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in CACHES.items()}
        names = ["enh", *(f"{name}_out" for name in CACHES)]
        for name, expected, got in zip(names, released.run(names, feeds), ours.run(names, feeds), strict=True):
            np.testing.assert_allclose(got, expected, atol=3e-5, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(
    strength=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=12),
    scale=st.sampled_from([1e-3, 0.1, 1.0]),
)
def test_export_then_import_is_the_same_stream(random_checkpoint, exported, speech, strength, sizes, scale):
    original = Enhancer(random_checkpoint, "onnx", strength=strength)
    imported = Enhancer(exported("sherpa-onnx", strength), strength=1)
    at = 0
    for size in sizes:
        chunk = scale * speech[at : at + size]
        at += size
        np.testing.assert_allclose(imported.process_chunk(chunk), original.process_chunk(chunk), atol=1e-5)
    np.testing.assert_allclose(imported.flush(), original.flush(), atol=1e-5)


def test_state_moves_between_checkpoint_and_export(random_checkpoint, exported, speech):
    original, imported = load(random_checkpoint, "onnx").engine, load(exported("sherpa-onnx")).engine
    hops = speech[: 60 * HOP].reshape(-1, HOP)
    state = original.new_state()
    expected = original.process(hops, state)
    here, moving, got = imported, imported.new_state(), []
    for hop in hops:
        got.append(here.process(hop[None], moving))
        there = original if here is imported else imported
        here, moving = there, there.import_state(here.export_state(moving))
    np.testing.assert_allclose(np.concatenate(got), expected, atol=1e-5)
    for name, array in here.export_state(moving).items():
        np.testing.assert_allclose(array, original.export_state(state)[name], atol=3e-5, err_msg=name)


def sherpa_online(path):
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(str(path))
    config = sherpa_onnx.OnlineSpeechDenoiserConfig(sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn, num_threads=1))
    assert config.validate()
    return sherpa_onnx.OnlineSpeechDenoiser(config)


def sherpa_offline(path):
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(str(path))
    config = sherpa_onnx.OfflineSpeechDenoiserConfig(sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn, num_threads=1))
    assert config.validate()
    return sherpa_onnx.OfflineSpeechDenoiser(config)


@pytest.fixture(params=["speech_a", "speech_b", "mix"])
def recording(request, audio_folder):
    """Audio of our own making with the embedded model, and the reference recording with released weights."""
    if request.param != "mix":
        return audio_folder / f"{request.param}.flac", "gtcrn-asr"
    folder = request.getfixturevalue("shared") / "reference/gtcrn"
    return folder / "mix.flac", folder / "model_trained_on_dns3_stream.tar"


@pytest.mark.parametrize("strength", STRENGTHS)
def test_sherpa_onnx_itself_agrees_with_our_engine(recording, exported, strength):
    source, model = recording
    samples, rate = soundfile.read(source, dtype="float32")
    assert rate == RATE
    path = exported("sherpa-onnx", strength, model)
    expected = Enhancer(model, strength=strength).enhance(samples)

    online = sherpa_online(path)
    assert (online.sample_rate, online.frame_shift_in_samples) == (RATE, HOP)
    rng = np.random.default_rng(3)
    for _ in range(2):  # the second time after its flush, which has to begin anew
        cuts = np.sort(rng.integers(0, len(samples), 25))
        got = [np.array(online.run(chunk, rate).samples) for chunk in np.split(samples, cuts) if len(chunk)]
        got.append(np.array(online.flush().samples))
        assert agreement_db(expected, np.concatenate(got)) > 90

    offline = np.array(sherpa_offline(path).run(samples, rate).samples)
    assert len(samples) - HOP < len(offline) <= len(samples)  # it leaves out the last incomplete hop
    assert agreement_db(expected[: len(offline)], offline) > 40
    # At both ends it goes on with a mirror image, we with zeros: the same with silence around.
    silence = np.zeros(4 * HOP, np.float32)
    surrounded = np.concatenate([silence, samples, silence])
    offline = np.array(sherpa_offline(path).run(surrounded, rate).samples)
    expected = Enhancer(model, strength=strength).enhance(surrounded)[: len(offline)]
    assert agreement_db(expected, offline) > 90


# Layout onnx.


def caches_of_self_contained(streams):
    shapes = {"conv": (streams, 16, 32, 33), "tra": (6, streams, 16), "inter": (2, 33 * streams, 16)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_self_contained_graph_with_several_streams_and_any_number_of_frames(
    random_checkpoint, exported, speech, strength
):
    runs = session(exported("onnx", strength))
    hops = np.stack([speech[start : start + 40 * HOP].reshape(-1, HOP) for start in (0, 3000, 9000)])
    expected = [Enhancer(random_checkpoint, "onnx", strength=strength).enhance(each.ravel()) for each in hops]

    overlap = np.zeros((len(hops), GTCRN_SPEC.overlap), np.float32)
    past, tail, caches, pieces = overlap, overlap, caches_of_self_contained(len(hops)), []
    names = ["enh", *(f"new_{name}" for name in caches)]
    for part in np.split(hops, [1, 2, 9, 30], axis=1):
        spectra, past = analyse(GTCRN_SPEC, part, past)
        planes = np.stack([spectra.real, spectra.imag], axis=-1)
        enhanced, *updated = runs.run(names, {"spec": planes, **caches})
        caches = dict(zip(caches, updated, strict=True))
        samples, tail = synthesise(GTCRN_SPEC, enhanced[..., 0] + 1j * enhanced[..., 1], tail)
        pieces.append(samples.reshape(len(hops), -1))
    got = np.concatenate(pieces, axis=1)[:, GTCRN_SPEC.overlap :]
    np.testing.assert_allclose(got, np.stack(expected)[:, : got.shape[1]], atol=1e-5)


def test_self_contained_graph_documents_its_interface(exported):
    model = onnx.load(exported("onnx"))
    for value in (*model.graph.input, *model.graph.output):
        assert f" {value.name}" in model.doc_string
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["spec"] == shapes["enh"] == ["N", "T", 257, 2]
    assert set(shapes) == {"spec", "conv", "tra", "inter", "enh", "new_conv", "new_tra", "new_inter"}


# Layout safetensors.


def test_safetensors_keep_every_tensor_and_say_where_they_come_from(shared, tmp_path):
    source = shared / "reference/gtcrn/model_trained_on_dns3.tar"
    output = tmp_path / "out.safetensors"
    origin = export_model(source, output, "safetensors")
    expected, got = read_checkpoint(source), read_checkpoint(output)
    assert sorted(got) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    with safetensors.safe_open(output, "numpy") as file:
        assert file.metadata() == {"architecture": "gtcrn", "source": source.name, "digest": origin.digest}
    assert load_model(output).digest == load_model(source).digest == origin.digest


# What must not happen.


@pytest.mark.parametrize(
    ("layout", "name", "settings", "message"),
    [
        ("safetensors", "a.safetensors", {"strength": 0.5}, "weights cannot carry a strength"),
        ("onnx", "a.onnx", {"strength": 1.5}, "from 0 to 1"),
        ("onnx", "a.onnx", {"strength": float("nan")}, "from 0 to 1"),
        ("tflite", "a.tflite", {}, "expected one of onnx, sherpa-onnx, safetensors"),
        ("onnx", "a.pt", {}, r"ends in \.onnx"),
        ("safetensors", "a.onnx", {}, r"ends in \.safetensors"),
        ("onnx", "nowhere/a.onnx", {}, "there is no folder"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    random_checkpoint, tmp_path, layout, name, settings, message
):
    with pytest.raises(ConfigError, match=message):
        export_model(random_checkpoint, tmp_path / name, layout, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_output_not_even_by_force(random_checkpoint, tmp_path):
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(ConfigError, match="got a folder"):
        export_model(random_checkpoint, tmp_path / "a.onnx", "onnx", force=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_existing_file_is_replaced_by_force_only(random_checkpoint, exported, tmp_path, layout):
    output = tmp_path / f"a{SUFFIXES[layout]}"
    output.write_text("precious")
    with pytest.raises(ConfigError, match="--force"):
        export_model(random_checkpoint, output, layout)
    assert output.read_text() == "precious"
    export_model(random_checkpoint, output, layout, force=True)
    assert output.stat().st_size == exported(layout).stat().st_size
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_failing_write_leaves_what_was_there(random_checkpoint, tmp_path, monkeypatch, layout):
    output = tmp_path / f"a{SUFFIXES[layout]}"
    output.write_text("precious")

    def disk_full(_):
        raise OSError("disk full")

    monkeypatch.setattr("gtcrn_frontend.atomic_write._sync", disk_full)
    with pytest.raises(OSError, match="disk full"):
        export_model(random_checkpoint, output, layout, force=True)
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_ready_graph_is_not_exported(exported, tmp_path, layout):
    with pytest.raises(ModelError, match=r"expected a checkpoint .* got an ONNX graph"):
        export_model(exported("sherpa-onnx"), tmp_path / f"a{SUFFIXES[layout]}", layout)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        export_model(tmp_path / "missing.tar", tmp_path / "a.onnx", "onnx")


def test_without_the_package_onnx_the_extra_is_named(random_checkpoint, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnx" else find(name, *a))
    for layout in ("onnx", "sherpa-onnx"):
        with pytest.raises(ModelError, match=r"pip install '[^']+\[export\]'"):
            export_model(random_checkpoint, tmp_path / "a.onnx", layout)
    export_model(random_checkpoint, tmp_path / "a.safetensors", "safetensors")


@pytest.mark.parametrize(
    ("layout", "name", "shape"),
    [
        ("sherpa-onnx", "mix", (1, 257, 2, 2)),
        ("sherpa-onnx", "conv_cache", (1, 16, 32, 33)),
        ("onnx", "spec", (1, 1, 256, 2)),
    ],
)
def test_a_graph_refuses_inputs_of_another_shape(exported, layout, name, shape):
    runs = session(exported(layout))
    feeds = {"mix": np.zeros((1, 257, 1, 2), np.float32), **{k: np.zeros(s, np.float32) for k, s in CACHES.items()}}
    if layout == "onnx":
        feeds = {"spec": np.zeros((1, 1, 257, 2), np.float32), **caches_of_self_contained(1)}
    runs.run(None, feeds)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match=name):
        runs.run(None, feeds | {name: np.zeros(shape, np.float32)})
