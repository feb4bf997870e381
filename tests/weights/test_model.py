"""Models as they are read from disk; their names and downloads are the registry's."""

import hashlib

import numpy as np
import pytest
import torch

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.weights.checkpoint import write_safetensors
from gtcrn_frontend.weights.model import installed_model_file, load_model, model_path


def test_a_checkpoint_gives_checked_parameters(random_checkpoint, random_parameters):
    model = load_model(random_checkpoint)
    assert model.spec is GTCRN_SPEC
    assert model.source == random_checkpoint
    assert model.graph is None
    for name, array in model.parameters.items():
        np.testing.assert_array_equal(array, random_parameters[name])


def test_the_digest_names_the_weights_whatever_the_file(random_checkpoint, random_parameters, tmp_path):
    digest = load_model(random_checkpoint).digest
    torch.save({"model": {n: torch.from_numpy(a) for n, a in random_parameters.items()}}, tmp_path / "same.tar")
    assert load_model(tmp_path / "same.tar").digest == digest

    backwards = dict(reversed(random_parameters.items()))
    write_safetensors(tmp_path / "backwards.safetensors", backwards, {"comment": "another header"})
    assert load_model(tmp_path / "backwards.safetensors").digest == digest

    name = "decoder.de_convs.4.conv.bias"
    nudged = random_parameters | {name: np.nextafter(random_parameters[name], np.float32(9))}
    write_safetensors(tmp_path / "nudged.safetensors", nudged, {})
    assert load_model(tmp_path / "nudged.safetensors").digest != digest


def test_a_graph_is_kept_as_it_is(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"engines look inside")
    model = load_model(path)
    assert model.graph == b"engines look inside"
    assert model.parameters is None
    assert model.digest == hashlib.sha256(model.graph).hexdigest()
    assert len(repr(model)) < 1000, "neither weights nor graphs are shown"


def test_a_link_is_of_the_kind_that_its_own_name_tells(tmp_path, monkeypatch):
    """As in caches of downloads, where the names of the files are hashes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0f3a").write_bytes(b"engines look inside")
    (tmp_path / "model.onnx").symlink_to("0f3a")
    assert load_model(model_path("model.onnx")).graph == b"engines look inside"


@pytest.mark.parametrize("suffix", [".onnx", ".tar", ".safetensors"])
def test_a_file_that_is_gone_is_named_once(suffix, tmp_path):
    path = tmp_path / f"gone{suffix}"
    with pytest.raises(ModelError, match="cannot read") as caught:
        load_model(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_checkpoint_of_another_network_is_named_once(tmp_path):
    path = tmp_path / "other.safetensors"
    write_safetensors(path, {"weight": np.zeros(3, np.float32)}, {})
    with pytest.raises(ModelError, match=r"other\.safetensors: expected the tensors of gtcrn") as caught:
        load_model(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_model_that_should_be_installed_but_is_not():
    with pytest.raises(ModelError, match="install the package again"):
        installed_model_file("absent.onnx")
