"""`EnhanceFrontend` with other networks than GTCRN: frozen whatever `Enhancer` takes, trained whatever torch knows."""

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import Tensor

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import (
    EnhanceFrontend,
    EnhancingAudioNormalizer,
    enhanced_audio_pipeline,
)
from gtcrn_frontend.adapters.speechbrain.differentiable import enhanced
from gtcrn_frontend.adapters.speechbrain.streaming import Lanes
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import FRCRN_SPEC, WAVECRN_SPEC, WHOLE_SEGMENTS
from gtcrn_frontend.weights.checkpoint import read_architecture
from gtcrn_frontend.weights.networks import NETWORKS

TRAINABLE = sorted(network.spec.name for network in NETWORKS.values() if network.module)
QUICK = ["lite_rtse", "wavecrn"]  # by frames, and in segments; FRCRN takes seconds for each call
SAMPLES = 1500
COUNTS = (1500, 1100, 350)


@pytest.fixture(scope="module")
def wavs() -> Tensor:
    """Noise `(3, 1500)`; one row begins and ends with silence, and there is noise in the padding, too."""
    wavs = torch.randn(3, SAMPLES, generator=torch.Generator().manual_seed(1)) / 10
    wavs[1, :1000] = 0  # beyond the first step of the grid on which segments begin
    wavs[1, 1050:1100] = 0
    return wavs


LENGTHS = torch.tensor(COUNTS) / SAMPLES


@pytest.fixture(scope="module")
def graph(lite_rtse_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A streaming ONNX file in the form in which they are published."""
    path = tmp_path_factory.mktemp("graphs") / "lite.onnx"
    export_model(lite_rtse_checkpoint, path, "onnx")
    return path


def by_hand(model: str | Path, wavs: Tensor, counts: Sequence[int] = COUNTS) -> Tensor:
    expected = torch.zeros_like(wavs)
    enhancer = Enhancer(model)
    for row, wav, count in zip(expected, wavs, counts, strict=True):
        row[:count] = torch.from_numpy(enhancer.enhance(wav[:count].numpy()))
    return expected


@pytest.mark.parametrize("network", TRAINABLE)
def test_frozen_it_is_the_engine_and_trained_it_is_the_same(network: str, wavs: Tensor) -> None:
    """Also at the ends, where silence is not shown to networks that need the future; gradients reach what is in use."""
    path = f"random:{network}"
    frontend = EnhanceFrontend(path).eval()
    rows = slice(1, 2) if network.startswith("frcrn") else slice(0, 3)  # that one takes half a second for each
    wavs, lengths = wavs[rows], LENGTHS[rows]
    expected = by_hand(path, wavs, COUNTS[rows])
    assert torch.equal(frontend(wavs, lengths), expected)
    assert not any(parameter.requires_grad for parameter in frontend.parameters())
    frontend.trainable = True
    trained = frontend(wavs, lengths)
    torch.testing.assert_close(trained, expected, atol=1e-4, rtol=0)

    trained.square().mean().backward()
    reached = {name for name, p in frontend.net.named_parameters() if p.grad is not None and p.grad.any()}
    fixed = {name for name in dict(frontend.net.named_parameters()) if name.split(".")[0] in ("erb", "stft", "istft")}
    assert not reached & fixed
    left = set(dict(frontend.net.named_parameters())) - reached - fixed
    # What released checkpoints of FRCRN hold and the network does not use.
    unused = ("fsmn_enc.0.", "fsmn_dec.6.", "se_layers_enc.6.", "se_layers_dec.5.")
    assert all(name.partition(".")[2].startswith(unused) for name in left)
    assert not left or network.startswith("frcrn")


@pytest.mark.parametrize("network", QUICK)
@torch.no_grad()
def test_an_item_of_a_padded_batch_equals_the_item_alone(network: str, wavs: Tensor) -> None:
    for trainable in (False, True):
        frontend = EnhanceFrontend(f"random:{network}", trainable=trainable).eval()
        found = frontend(wavs, LENGTHS)
        for row, wav, count in zip(found, wavs, COUNTS, strict=True):
            torch.testing.assert_close(row[:count], frontend(wav[None, :count])[0], atol=1e-5, rtol=0)
            assert not row[count:].any()
        twice = frontend(torch.stack([wavs, wavs], dim=2), LENGTHS)
        torch.testing.assert_close(twice, torch.stack([found, found], dim=2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [1, WHOLE_SEGMENTS.advance, 2 * WHOLE_SEGMENTS.advance + 4321])
def test_long_signals_go_through_the_segments_of_the_engine(samples: int, wavs: Tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    signals = torch.randn(2, samples, generator=generator) / 10
    signals[1, samples // 3 :] = 0
    frontend = EnhanceFrontend("random:wavecrn").eval()
    expected = frontend(signals)
    frontend.trainable = True
    with torch.no_grad():
        torch.testing.assert_close(frontend(signals), expected, atol=1e-5, rtol=0)


def test_segments_of_what_changes_nothing_are_the_signal_and_have_its_gradient() -> None:
    """The weights of overlapping segments add up to one, wherever they overlap."""

    class Nothing(torch.nn.Module):
        def enhance(self, samples: Tensor) -> Tensor:
            return samples

    signals = torch.randn(2, 150000, generator=torch.Generator().manual_seed(3)).requires_grad_()
    for spec in (FRCRN_SPEC, WAVECRN_SPEC):
        found = enhanced(Nothing(), spec, signals)
        torch.testing.assert_close(found, signals)
        (gradient,) = torch.autograd.grad(found.sum(), signals)
        torch.testing.assert_close(gradient, torch.ones_like(gradient))


@pytest.mark.parametrize("network", QUICK)
def test_it_learns_is_saved_and_resumed_and_streams(network: str, wavs: Tensor, tmp_path: Path) -> None:
    path = f"random:{network}"
    frontend = EnhanceFrontend(path, trainable=True)
    optimizer = torch.optim.SGD(frontend.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (frontend(wavs, LENGTHS) - wavs).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
    with torch.no_grad():
        expected = frontend.eval()(wavs, LENGTHS)

    checkpoint = Checkpointer(tmp_path / "save", {"frontend": frontend}).save_checkpoint()
    resumed = EnhanceFrontend(path)
    Checkpointer(tmp_path / "save", {"frontend": resumed}).recover_if_possible()
    pretrained = EnhanceFrontend(path)
    pretrainer = Pretrainer(tmp_path / "collected", {"frontend": pretrained})
    pretrainer.collect_files(default_source=str(checkpoint.path))
    pretrainer.load_collected()
    written = tmp_path / "tuned.safetensors"
    frontend.save_safetensors(written)
    for twin in (
        resumed,
        pretrained,
        EnhanceFrontend(checkpoint.paramfiles["frontend"]),
        EnhanceFrontend(written),
        pickle.loads(pickle.dumps(resumed)),
        copy.deepcopy(frontend),
    ):
        with torch.no_grad():
            torch.testing.assert_close(twin.eval()(wavs, LENGTHS), expected, atol=1e-4, rtol=0)
    for model in (written, Path(checkpoint.paramfiles["frontend"])):
        torch.testing.assert_close(by_hand(model, wavs), expected, atol=1e-4, rtol=0)


def test_the_causal_variant_stays_one(tmp_path: Path) -> None:
    """The weights are those of FRCRN: what a file says of its network counts."""
    frontend = EnhanceFrontend("random:frcrn_causal")
    frontend.load_weights("random:frcrn")
    frontend.save_safetensors(tmp_path / "causal.safetensors")
    assert read_architecture(tmp_path / "causal.safetensors") == "frcrn_causal"


def test_a_published_graph_runs_frozen(graph: Path, lite_rtse_checkpoint: Path, wavs: Tensor, tmp_path: Path) -> None:
    frontend = EnhanceFrontend(graph)
    expected = by_hand(graph, wavs)
    torch.testing.assert_close(expected, by_hand(lite_rtse_checkpoint, wavs), atol=1e-5, rtol=0)
    assert torch.equal(frontend(wavs, LENGTHS), expected)
    assert torch.equal(frontend.enhance_batch(wavs, LENGTHS), expected)
    np.testing.assert_array_equal(EnhancingAudioNormalizer(model=graph)(wavs[0], 16000), expected[0])
    lanes = Lanes(frontend, 1)
    lanes.push(wavs[:1])
    torch.testing.assert_close(torch.cat([block for block, _ in lanes.rest(500)], 1), expected[:1], atol=1e-6, rtol=0)

    Checkpointer(tmp_path, {"frontend": frontend}).save_checkpoint()
    resumed = EnhanceFrontend(graph)
    resumed.net.get_buffer("graph").zero_()
    Checkpointer(tmp_path, {"frontend": resumed}).recover_if_possible()
    for twin in (resumed, pickle.loads(pickle.dumps(frontend)), copy.deepcopy(frontend)):
        assert torch.equal(twin(wavs, LENGTHS), expected)


def test_the_pretrainer_loads_a_graph(graph: Path, wavs: Tensor, tmp_path: Path) -> None:
    frontend = EnhanceFrontend(graph)
    expected = frontend(wavs, LENGTHS)
    frontend.net.get_buffer("graph").zero_()
    pretrainer = Pretrainer(tmp_path / "collected", {"frontend": frontend}, {"frontend": str(graph)})
    pretrainer.collect_files()
    pretrainer.load_collected()
    assert torch.equal(frontend(wavs, LENGTHS), expected)


def test_a_graph_cannot_be_trained(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a checkpoint with weights .* got an ONNX graph: .*trainable=False"):
        EnhanceFrontend(graph, trainable=True)
    frontend = EnhanceFrontend(graph)
    with pytest.raises(ModelError, match="cannot be trained"):
        frontend.trainable = True
    assert not frontend.trainable
    with pytest.raises(ModelError, match="with an ONNX graph"):
        frontend.save_safetensors(tmp_path / "none.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelError, match=r"lite\.onnx: .*engine='onnx' only"):
        EnhanceFrontend(graph, engine="native")


def test_weights_of_another_network_are_refused(lite_rtse_checkpoint: Path, graph: Path) -> None:
    gtcrn, ready = EnhanceFrontend(), EnhanceFrontend(graph)
    before = {name: tensor.clone() for name, tensor in gtcrn.state_dict().items()}
    with pytest.raises(ModelError, match=r"lite_rtse\.safetensors: expected the tensors of gtcrn"):
        gtcrn.load_weights(lite_rtse_checkpoint)
    with pytest.raises(ModelError, match=r"lite\.onnx: expected a checkpoint with weights"):
        gtcrn.load_weights(graph)
    with pytest.raises(ModelError, match=r"random:lite_rtse: expected weights of this front-end's network"):
        gtcrn.load_weights("random:lite_rtse")
    with pytest.raises(ModelError, match=r"lite_rtse\.safetensors: expected an ONNX graph"):
        ready.load_weights(lite_rtse_checkpoint)
    assert all(torch.equal(tensor, before[name]) for name, tensor in gtcrn.state_dict().items())
    with pytest.raises(ModelError, match="weights for wavecrn"):
        EnhanceFrontend("wavecrn")


def test_ulunas_as_it_is_published(shared: Path, wavs: Tensor) -> None:
    path = shared / "reference/ulunas/ulunas_stream_simple.onnx"
    assert torch.equal(EnhanceFrontend(path, num_threads=2)(wavs, LENGTHS), by_hand(path, wavs))


def test_streams_of_networks_that_need_the_future_wait_as_configured(noisy: np.ndarray) -> None:
    frontend = EnhanceFrontend("random:wavecrn", segment_latency_ms=400)
    lanes = Lanes(frontend, 1)
    enhancer = Enhancer("random:wavecrn", segment_latency_ms=400)
    found, expected = [], []
    for chunk in np.split(noisy, 8):
        lanes.push(torch.from_numpy(chunk)[None])
        found.append(torch.cat([block for block, _ in lanes.take(1)] or [torch.empty(1, 0)], 1)[0].numpy())
        expected.append(enhancer.process_chunk(chunk))
        np.testing.assert_array_equal(found[-1], expected[-1])
    with pytest.raises(ConfigError, match="segment_latency_ms"):
        EnhanceFrontend(segment_latency_ms=400)


def test_in_the_data_pipeline(lite_rtse_checkpoint: Path, noisy_file: Path, noisy: np.ndarray) -> None:
    found = enhanced_audio_pipeline(model=lite_rtse_checkpoint)(noisy_file)
    np.testing.assert_array_equal(found, Enhancer(lite_rtse_checkpoint).enhance(noisy))
