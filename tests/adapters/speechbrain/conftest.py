"""Noisy speech, and front-ends that the tests of this folder share: none of them may be changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.utils.importutils import LazyModule

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend

RATE = 16000

# As in tests/conftest.py, but in time for hypothesis, which looks for files as soon as the tests are collected.
LazyModule.__file__ = None


@pytest.fixture(scope="session")
def noisy(audio_folder: Path) -> np.ndarray:
    """Two seconds of speech in noise, `(32000,) float32`."""
    speech, rate = soundfile.read(audio_folder / "speech_a.flac", frames=32000, dtype="float32")
    assert rate == RATE
    return (speech + np.random.default_rng(0).normal(0, 0.03, speech.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def noisy_file(noisy: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a wave file of floats."""
    path = tmp_path_factory.mktemp("audio") / "noisy.wav"
    soundfile.write(path, noisy, RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="session")
def batch(noisy: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Three signals `(3, 20000)` with noise for padding, and their lengths; none is a multiple of a hop."""
    rng = np.random.default_rng(1)
    lengths = torch.tensor([1.0, 0.61, 0.333])
    wavs = rng.normal(0, 0.05, (3, 20000)).astype(np.float32)
    for row, start, count in zip(wavs, (0, 6000, 12000), (20000, 12200, 6660), strict=True):
        row[:count] = noisy[start : start + count]
    return torch.from_numpy(wavs), lengths


@pytest.fixture(scope="session")
def enhanced_batch(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """What the front-end makes of `batch`, put together by hand from what `Enhancer` makes of each signal."""
    wavs, lengths = batch
    expected = torch.zeros_like(wavs)
    enhancer = Enhancer()
    for row, wav, length in zip(expected, wavs, lengths, strict=True):
        count = round(length.item() * len(wav))
        row[:count] = torch.from_numpy(enhancer.enhance(wav[:count].numpy()))
    return expected


@pytest.fixture(scope="session")
def enhanced_noisy(noisy: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(Enhancer().enhance(noisy))


@pytest.fixture(scope="session")
def frozen() -> EnhanceFrontend:
    return EnhanceFrontend().eval()


@pytest.fixture(scope="session")
def learner() -> EnhanceFrontend:
    return EnhanceFrontend(trainable=True).eval()
