"""The real sherpa-onnx, on exported and released models."""

import sys

import numpy as np
import onnx
import pytest
import soundfile

from gtcrn_frontend import Enhancer, ModelError
from gtcrn_frontend.adapters.sherpa.denoiser import check_installed, online_denoiser, with_metadata
from gtcrn_frontend.export import export_model


@pytest.fixture(scope="module")
def exported(random_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_model(random_checkpoint, path, "sherpa-onnx")
    return path


def bare(path, target):
    """A copy without metadata."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, target)
    return target


def test_a_model_that_has_all_metadata_is_taken_as_it_is(exported, tmp_path):
    assert with_metadata(exported, tmp_path / "copy.onnx") == exported
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_added_and_what_is_there_stays(exported, tmp_path):
    proto = onnx.load(bare(exported, tmp_path / "bare.onnx"))
    proto.metadata_props.add(key="maintainer", value="somebody")
    onnx.save(proto, tmp_path / "bare.onnx")
    copy = onnx.load(with_metadata(tmp_path / "bare.onnx", tmp_path / "copy.onnx"))
    metadata = {entry.key: entry.value for entry in copy.metadata_props}
    assert set(metadata) == {entry.key for entry in onnx.load(exported).metadata_props}
    assert metadata["maintainer"] == "somebody"
    assert metadata["conv_cache_shape"] == "2,1,16,16,33"
    assert copy.graph == proto.graph


def test_sherpa_onnx_runs_it_and_agrees_with_our_engine(exported, tmp_path, audio_folder):
    samples, rate = soundfile.read(audio_folder / "speech_a.flac", dtype="float32", frames=16000)
    path = with_metadata(bare(exported, tmp_path / "bare.onnx"), tmp_path / "copy.onnx")
    denoiser = online_denoiser(path)
    got = np.concatenate([denoiser.run(samples, rate).samples, denoiser.flush().samples])
    expected = Enhancer(exported, strength=1).enhance(samples)
    # its transform is its own: 46 dB is known from other models
    assert 10 * np.log10(np.sum(expected**2) / np.sum((expected - got[: len(expected)]) ** 2)) > 40


def test_the_released_model_gets_its_metadata(shared, tmp_path):
    path = with_metadata(shared / "reference/gtcrn/gtcrn_simple.onnx", tmp_path / "copy.onnx")
    assert path == tmp_path / "copy.onnx"
    assert online_denoiser(path).frame_shift_in_samples == 256


def test_what_would_end_the_process_is_an_error(tmp_path):
    """sherpa-onnx exits where metadata or shapes are not as it expects."""
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"no graph at all")
    other = tmp_path / "other.onnx"
    mix = onnx.helper.make_tensor_value_info("mix", onnx.TensorProto.FLOAT, [1, 257, 1, 2])
    node = onnx.helper.make_node("Identity", ["mix"], ["enh"])
    enh = onnx.helper.make_tensor_value_info("enh", onnx.TensorProto.FLOAT, [1, 257, 1, 2])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "other", [mix], [enh])), other)
    for path, said in ((wrong, "not an ONNX file"), (other, "inputs"), (tmp_path / "missing.onnx", "cannot read")):
        with pytest.raises(ModelError, match=said):
            with_metadata(path, tmp_path / "copy.onnx")
    assert not (tmp_path / "copy.onnx").exists()


@pytest.mark.parametrize("package", ["sherpa_onnx", "onnx"])
def test_the_extras_are_named(monkeypatch, package):
    check_installed()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install '[^']+\[sherpa,export\]'"):
        check_installed()
