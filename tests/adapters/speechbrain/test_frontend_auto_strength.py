"""`strength="auto"` wherever SpeechBrain gets a front-end: the guard decides as it does for an `Enhancer`."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedData
from speechbrain.inference.interfaces import Pretrained
from torch import Tensor, nn

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import (
    EnhanceFrontend,
    EnhancingAudioNormalizer,
    FrontendMixin,
    enhanced_audio_pipeline,
    with_frontend,
)
from gtcrn_frontend.adapters.speechbrain.dataio import EnhancedAudio
from gtcrn_frontend.adapters.speechbrain.streaming import Lanes
from gtcrn_frontend.errors import ConfigError

Batch = tuple[Tensor, Tensor]
COUNTS = (20000, 12200, 6660)


@pytest.fixture(scope="module")
def with_auto_strength(batch: Batch) -> Tensor:
    """What the front-end makes of `batch`, put together by hand from what a guarded `Enhancer` makes of each signal."""
    expected = torch.zeros_like(batch[0])
    enhancer = Enhancer(strength="auto")
    for row, wav, count in zip(expected, batch[0], COUNTS, strict=True):
        row[:count] = torch.from_numpy(enhancer.enhance(wav[:count].numpy()))
    return expected


@pytest.mark.parametrize("trainable", [False, True])
@torch.no_grad()
def test_a_batch_is_what_the_guarded_engine_makes_of_each_signal(
    trainable: bool, batch: Batch, with_auto_strength: Tensor, enhanced_batch: Tensor
) -> None:
    frontend = EnhanceFrontend(strength="auto", trainable=trainable).eval()
    torch.testing.assert_close(frontend(*batch), with_auto_strength, atol=1e-6, rtol=0)
    assert (with_auto_strength - enhanced_batch).abs().max() > 1e-3, "the guard does something here"
    wavs, lengths = batch
    pair = torch.stack([wavs, wavs.flip(0)], dim=2)
    torch.testing.assert_close(frontend(pair[:1], lengths[:1])[..., 0], with_auto_strength[:1], atol=1e-6, rtol=0)
    frontend.strength = 0.8
    torch.testing.assert_close(frontend(*batch), enhanced_batch, atol=1e-5, rtol=0)
    frontend.strength = "auto"
    torch.testing.assert_close(frontend(*batch), with_auto_strength, atol=1e-6, rtol=0)


def test_the_parameters_of_the_guard_are_settings(noisy: np.ndarray) -> None:
    auto_strength = {"max_strength": 0.5, "caution": 0.0}
    expected = Enhancer(strength="auto", auto_strength=auto_strength).enhance(noisy)
    assert np.abs(expected - Enhancer(strength="auto").enhance(noisy)).max() > 1e-3
    signal = torch.from_numpy(noisy)
    np.testing.assert_array_equal(
        EnhanceFrontend(strength="auto", auto_strength=auto_strength)(signal[None])[0], expected
    )
    np.testing.assert_array_equal(
        EnhancingAudioNormalizer(strength="auto", auto_strength=auto_strength)(signal, 16000), expected
    )
    with pytest.raises(ConfigError, match="settings of auto_strength"):
        EnhanceFrontend(strength="auto", auto_strength={"strength": 0.2})


def test_frozen_in_training_the_guard_or_a_drawn_strength(batch: Batch, with_auto_strength: Tensor) -> None:
    frontend = EnhanceFrontend(strength="auto").train()
    assert torch.equal(frontend(*batch), with_auto_strength)
    frontend.train_strength = 0.5
    assert torch.equal(frontend(*batch), EnhanceFrontend(strength=0.5)(*batch))
    assert torch.equal(frontend.eval()(*batch), with_auto_strength)


def test_trained_it_needs_a_strength_that_is_a_number(batch: Batch, with_auto_strength: Tensor) -> None:
    frontend = EnhanceFrontend(strength="auto", trainable=True).train()
    with pytest.raises(ConfigError, match=r"number while the front-end is trained, got 'auto': set train_strength"):
        frontend(*batch)
    frontend.train_strength = [0.5, 1.0]
    frontend(*batch).square().mean().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in frontend.net.parameters())
    evaluated = frontend.eval()(*batch)
    assert not evaluated.requires_grad
    torch.testing.assert_close(evaluated, with_auto_strength, atol=1e-6, rtol=0)


def test_copied_and_shown(batch: Batch, with_auto_strength: Tensor) -> None:
    frontend = copy.deepcopy(EnhanceFrontend(strength="auto", trainable=True))
    assert "strength=auto" in repr(frontend)
    assert torch.equal(frontend.eval()(*batch), with_auto_strength)


class Recogniser(Pretrained):  # type: ignore[misc]  # SpeechBrain has no types
    """As little as `with_frontend` needs: the encoding is the waveform."""

    def encode_batch(self, wavs: Tensor, wav_lens: Tensor | None = None) -> Tensor:
        return wavs


def test_in_front_of_an_inference_class(batch: Batch, with_auto_strength: Tensor) -> None:
    enhancing = with_frontend(Recogniser({}, {}), strength="auto")
    torch.testing.assert_close(enhancing.encode_batch(*batch), with_auto_strength, atol=1e-6, rtol=0)


def test_a_normalizer(noisy: np.ndarray) -> None:
    found = EnhancingAudioNormalizer(strength="auto")(torch.from_numpy(noisy), 16000)
    np.testing.assert_array_equal(found.numpy(), Enhancer(strength="auto").enhance(noisy))


def test_streams_in_blocks(noisy: np.ndarray, batch: Batch) -> None:
    """As in `StreamingASR`; the strength may change between any number and the guard's."""
    frontend = EnhanceFrontend(strength="auto")
    lanes = Lanes(frontend, 1)
    blocks = []
    for chunk in torch.from_numpy(noisy)[None].split(777, dim=1):
        lanes.push(chunk)
        blocks += [samples for samples, _ in lanes.take(1000)]
    blocks += [samples for samples, _ in copy.deepcopy(lanes).rest(1000)]
    np.testing.assert_allclose(torch.cat(blocks, 1)[0], Enhancer(strength="auto").enhance(noisy), atol=1e-6)

    enhancer = Enhancer(strength="auto")
    expected = [enhancer.process_chunk(noisy[:8000])]
    enhancer.strength = 0.5
    expected += [enhancer.process_chunk(noisy[8000:]), enhancer.flush()]
    lanes = Lanes(frontend, 1)
    lanes.push(torch.from_numpy(noisy)[None, :8000])
    frontend.strength = 0.5
    lanes.push(torch.from_numpy(noisy)[None, 8000:])
    found = torch.cat([samples for samples, _ in lanes.rest(1000)], 1)[0]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)


def test_in_the_data_pipeline(noisy_file: Path, noisy: np.ndarray, tmp_path: Path, monkeypatch: Any) -> None:
    expected = Enhancer(strength="auto").enhance(noisy)
    settings: dict[str, Any] = {"strength": "auto", "cache_folder": tmp_path}
    np.testing.assert_array_equal(enhanced_audio_pipeline(**settings)(noisy_file), expected)
    enhanced_audio_pipeline(**settings, auto_strength={"max_strength": 0.5})(noisy_file)
    assert len(list(tmp_path.rglob("*.npy"))) == 2, "the cache knows the guard"
    monkeypatch.setattr(EnhancedAudio, "_enhanced", None)
    np.testing.assert_array_equal(enhanced_audio_pipeline(**settings)(noisy_file), expected)


class Listener(FrontendMixin, sb.Brain):  # type: ignore[misc]  # SpeechBrain has no types
    """Trains on waveforms that it keeps."""

    def compute_forward(self, batch: Any, stage: sb.Stage) -> Tensor:
        self.heard = batch.sig.data
        scale: Tensor = self.modules.scale.weight
        return self.heard * scale


def test_in_a_brain_by_stage(batch: Batch, with_auto_strength: Tensor) -> None:
    """The guard in validation and test, a drawn strength in training, where gradients reach the front-end."""
    frontend = EnhanceFrontend(strength="auto", train_strength=1.0, trainable=True)
    brain = Listener({"frontend": frontend, "scale": nn.Linear(1, 1)}, run_opts={"device": "cpu"})
    items = SimpleNamespace(sig=PaddedData(*batch))
    for stage in (sb.Stage.VALID, sb.Stage.TEST):
        brain.modules.eval()
        brain.compute_forward(items, stage)
        torch.testing.assert_close(brain.heard, with_auto_strength, atol=1e-6, rtol=0)
    brain.modules.train()
    brain.compute_forward(items, sb.Stage.TRAIN).square().mean().backward()
    assert any(parameter.grad is not None for parameter in frontend.net.parameters())


def test_files_of_any_rate(noisy: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", noisy, 8000, subtype="FLOAT")
    found = enhanced_audio_pipeline(strength="auto", sample_rate=8000)(tmp_path / "slow.wav")
    np.testing.assert_array_equal(found, Enhancer(strength="auto", sample_rate=8000).enhance(noisy))
    frozen = EnhanceFrontend(strength="auto", sample_rate=8000)(torch.from_numpy(noisy)[None])[0]
    np.testing.assert_array_equal(frozen, found)
