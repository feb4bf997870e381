"""FRCRN and WaveCRN train by name, in small sizes: the loss falls, and a run goes on to the bit where it was."""

import os
import signal

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from gtcrn_frontend.nets.frcrn import FRCRN
from gtcrn_frontend.nets.frcrn_causal import CausalFRCRN
from gtcrn_frontend.nets.wavecrn import WaveCRN
from gtcrn_frontend.training.checkpoint import load_checkpoint
from gtcrn_frontend.training.config import LossConfig, OptimConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.train_loop import train
from gtcrn_frontend.training.trainer import Trainer, new_trainer
from gtcrn_frontend.weights.networks import NETWORKS

SMALL = {
    "frcrn": lambda: FRCRN(channels=8),
    "frcrn_causal": lambda: CausalFRCRN(channels=8),
    "wavecrn": lambda: WaveCRN(channels=16, layers=2),
}


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch):
    monkeypatch.setattr("gtcrn_frontend.training.trainer.new_net", lambda name: SMALL[name]())


@pytest.mark.parametrize("network", SMALL)
def test_a_few_steps_lower_the_loss_on_a_fixed_batch(network):
    trainer = new_trainer(OptimConfig(peak_lr=2e-3, warmup_steps=0), network)
    objective = CombinedLoss(LossConfig(), Transform(NETWORKS[network].spec))
    target = 0.1 * torch.sin(torch.arange(6400) * torch.tensor([[0.1], [0.23]]))
    noisy = target + 0.05 * torch.randn(2, 6400, generator=torch.Generator().manual_seed(0))
    losses = [trainer.learn(objective, noisy, target) for _ in range(6)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("network", "degradation"), [("frcrn", "noise"), ("wavecrn", "noise"), ("wavecrn", "compression")]
)
def test_a_resumed_run_equals_an_uninterrupted_one(network, degradation, settings, write_config, tmp_path, monkeypatch):
    settings = settings | {
        "network": network,
        "mixing": {"segment_s": 0.3, "degradation": degradation},
        "optim": settings["optim"] | {"steps": 3, "norm_batches": 1},
        "validation": {"every_steps": 3, "mixtures": 1, "seconds": 1.0},
    }
    scores = train(load_config(write_config(settings))).scores
    assert all(map(np.isfinite, scores.values()))

    sliced = load_config(write_config(settings | {"output": "sliced"}))
    learn, calls = Trainer.learn, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(self, *arguments)

    monkeypatch.setattr(Trainer, "learn", interrupted)
    train(sliced)
    assert load_checkpoint(tmp_path / "sliced/checkpoint.pt")["step"] == 2
    train(sliced, resume=True)
    assert load_checkpoint(tmp_path / "sliced/checkpoint.pt")["step"] == 3
    weights = [safetensors.numpy.load_file(tmp_path / name / "last.safetensors") for name in ("run", "sliced")]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name], err_msg=name)
    with safetensors.safe_open(tmp_path / "run/last.safetensors", "numpy") as file:
        assert file.metadata()["architecture"] == network
