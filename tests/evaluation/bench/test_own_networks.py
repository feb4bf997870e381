"""Which model a network is measured with, and why one is not."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.bench import own_networks as module
from gtcrn_frontend.evaluation.bench.own_networks import own_networks
from gtcrn_frontend.weights import model as weights_model
from gtcrn_frontend.weights.model import installed_registry
from gtcrn_frontend.weights.networks import NETWORKS
from gtcrn_frontend.weights.registry import CACHE_VARIABLE, RegisteredModel, Registry


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for downloads, and no way to download."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))

    def refuse(*_: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("gtcrn_frontend.weights.registry._download", refuse)
    return folder


@pytest.fixture
def registry(tmp_path: Path, random_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """GTCRN's download and an embedded file of it, UL-UNAS as a download, Lite-RTSE to be supplied."""
    shutil.copy(random_checkpoint, tmp_path / "here.safetensors")
    real = installed_registry().models
    models = {
        "gtcrn-dns3": real["gtcrn-dns3"],
        "here": RegisteredModel("here", "gtcrn", "random", "here.safetensors", "MIT"),
        "ulunas-dns3": real["ulunas-dns3"],
        "lite-rtse": real["lite-rtse"],
    }
    made = Registry(models, tmp_path)
    for place in (module, weights_model):
        monkeypatch.setattr(place, "installed_registry", lambda: made)
    return made


def test_each_network_is_measured_or_left_out_for_a_reason(cache: Path) -> None:
    engines, left_out = own_networks()
    assert sorted([*(engine.name for engine in engines), *left_out]) == sorted(NETWORKS)
    gtcrn = engines[0]
    assert (gtcrn.name, gtcrn.network, gtcrn.runs) == ("gtcrn", "gtcrn", "gtcrn-asr")
    assert gtcrn.engine in NETWORKS["gtcrn"].engines
    assert {"frcrn", "frcrn_causal", "wavecrn"} <= left_out.keys()
    assert "runs in torch only" in left_out["frcrn"]
    assert "bench --model random:frcrn " in left_out["frcrn"]


def test_the_first_model_that_is_here_is_taken_and_nothing_is_downloaded(cache: Path, registry: Registry) -> None:
    engines, left_out = own_networks()
    assert {engine.name: engine.runs for engine in engines} == {"gtcrn": "here", "lite_rtse": "random weights"}
    assert left_out["ulunas"] == "ulunas-dns3 is not downloaded: gtcrn-frontend models download ulunas-dns3"


def test_a_download_that_is_here_is_taken(cache: Path, registry: Registry, shared: Path) -> None:
    shutil.copy(shared / "reference/ulunas/model_trained_on_dns3.tar", cache / "ulunas-dns3.tar")
    (cache / "gtcrn-dns3.tar").write_bytes(b"damaged")
    runs = {engine.name: engine.runs for engine in own_networks()[0]}
    assert runs == {"gtcrn": "here", "lite_rtse": "random weights", "ulunas": "ulunas-dns3"}


def test_a_damaged_file_is_named(cache: Path, registry: Registry) -> None:
    (cache / "ulunas-dns3.tar").write_bytes(b"damaged")
    said = own_networks()[1]["ulunas"]
    assert said == "ulunas-dns3 is damaged: gtcrn-frontend models download ulunas-dns3"


def test_streams_are_those_of_an_enhancer(cache: Path, registry: Registry) -> None:
    gtcrn = own_networks()[0][0]
    assert (gtcrn.sample_rate, gtcrn.hop_length, gtcrn.latency_ms) == (16_000, 256, 32)
    streams = gtcrn.make()
    streams.open()
    chunk = np.zeros(gtcrn.hop_length, np.float32)
    assert [len(streams.process(chunk)) for _ in range(3)] == [0, 256, 256]


def test_an_engine_that_cannot_be_loaded_leaves_its_network_out(
    cache: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModelError("no engine")

    monkeypatch.setattr(module, "Enhancer", fail)
    engines, left_out = own_networks()
    assert not engines
    assert [name for name, reason in left_out.items() if reason == "no engine"] == ["gtcrn", "lite_rtse"]
