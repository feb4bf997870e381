"""DNSMOS as a loss: it is the judge's score, has a slope that leads up, and asks for what it needs."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.quality.dnsmos import DNSMOS, P808_FILE, P835_FILE, SEGMENT_SAMPLES
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.config import LossConfig
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.dnsmos import LEVEL, DnsmosLoss
from gtcrn_frontend.training.losses.hybrid import Transform

RATE_HZ = 16000


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "dnsmos"


@pytest.fixture(scope="module")
def dnsmos_ovrl(folder: Path) -> DnsmosLoss:
    return DnsmosLoss(folder, RATE_HZ)


@pytest.fixture(scope="module")
def pair(shared: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy and clean speech `(1, 9.01 s)`; the clean one has the level at which is judged."""
    path = sorted((shared / "audio" / "pairs").glob("*_clean.flac"))[0]
    clean, _ = soundfile.read(path, dtype="float32", frames=SEGMENT_SAMPLES)
    noisy, _ = soundfile.read(path.with_name(path.name.replace("_clean", "_noisy")), dtype="float32")
    gain = LEVEL / np.sqrt(np.square(clean).mean())
    return torch.from_numpy(gain * noisy[None, :SEGMENT_SAMPLES]), torch.from_numpy(gain * clean[None])


def test_it_is_what_the_judge_finds_missing(folder, dnsmos_ovrl, pair):
    validator = DNSMOS(folder)
    for samples in pair:
        assert float(dnsmos_ovrl(samples, pair[1])) == pytest.approx(
            5 - validator(samples[0].numpy(), RATE_HZ).ovrl, abs=0.03
        )


def test_speech_is_brought_to_one_level(dnsmos_ovrl, pair):
    noisy, clean = pair
    assert float(dnsmos_ovrl(noisy / 10, clean / 10)) == pytest.approx(float(dnsmos_ovrl(noisy, clean)), abs=0.02)


def test_its_slope_leads_to_a_better_score(dnsmos_ovrl, pair):
    noisy, clean = (each[:, :48000] for each in pair)
    estimate = noisy.clone().requires_grad_()
    before = dnsmos_ovrl(estimate, clean).sum()
    before.backward()
    assert torch.isfinite(estimate.grad).all()
    step = estimate.grad / estimate.grad.norm() * noisy.norm() * 0.02
    assert float(dnsmos_ovrl(noisy - step, clean)) < before.item() - 0.02


def test_where_nobody_speaks_there_is_no_opinion(dnsmos_ovrl):
    noise = (0.01 * torch.randn(2, 32000)).requires_grad_()
    value = dnsmos_ovrl(noise, torch.zeros(2, 32000))
    assert value.tolist() == [0, 0]
    value.sum().backward()
    assert not noise.grad.any()


def test_silence_has_a_finite_slope(dnsmos_ovrl, pair):
    silence = torch.zeros(1, 32000, requires_grad=True)
    dnsmos_ovrl(silence, pair[1][:, :32000]).sum().backward()
    assert torch.isfinite(silence.grad).all()


def test_what_is_too_short_to_be_rated_counts_nothing(dnsmos_ovrl):
    assert dnsmos_ovrl(torch.ones(2, 1599), torch.ones(2, 1599)).tolist() == [0, 0]
    assert dnsmos_ovrl(torch.ones(1, 1600), torch.ones(1, 1600)).item() > 0


def test_a_quarter_of_the_examples_is_rated(folder, pair):
    transform = Transform(GTCRN_SPEC)
    noisy, clean = (transform.forward(each[:, :80000].repeat(8, 1)) for each in pair)
    estimate = noisy.clone().requires_grad_()
    plain, rated = (
        CombinedLoss(LossConfig(dnsmos_ovrl=weight, dnsmos_folder=folder), transform) for weight in (0.0, 1.0)
    )
    (rated(estimate, noisy, clean) - plain(estimate, noisy, clean)).backward()
    touched = estimate.grad.abs().amax((1, 2, 3)) > 1e-7
    assert touched.tolist() == [True] * 2 + [False] * 6


def test_a_missing_or_wrong_network_is_named(tmp_path, folder):
    with pytest.raises(ModelError, match=P835_FILE):
        DnsmosLoss(tmp_path, RATE_HZ)
    (tmp_path / P835_FILE).write_bytes((folder / P808_FILE).read_bytes())
    with pytest.raises(ModelError, match="it has no"):
        DnsmosLoss(tmp_path, RATE_HZ)
    (tmp_path / P835_FILE).write_bytes(b"no network")
    with pytest.raises(ModelError, match=P835_FILE):
        DnsmosLoss(tmp_path, RATE_HZ)


def test_other_rates_are_refused(folder):
    with pytest.raises(ModelError, match="16000 Hz, got 8000"):
        DnsmosLoss(folder, 8000)


def test_without_a_folder_it_is_refused():
    with pytest.raises(ConfigError, match="dnsmos"):
        LossConfig(dnsmos_ovrl=1.0)
