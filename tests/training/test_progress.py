"""What takes long beside the steps shows how far it is, on a terminal."""

import io
import sys

import numpy as np
import pytest
import torch

from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.validation_set import ValidationSet, enhance_all


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Unchanged(torch.nn.Module):
    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        return spectrum


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_validation_shows_its_progress(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]) -> None:
    rng = np.random.default_rng(0)
    target = np.cumsum(rng.normal(0, 0.01, (2, 16000)), axis=1).astype(np.float32) % 0.5
    noisy = target + rng.normal(0, 0.01, target.shape).astype(np.float32)
    monkeypatch.setattr(sys, "stderr", shown := stream())
    estimates = enhance_all(Unchanged(), noisy, Transform(GTCRN_SPEC))
    ValidationSet(noisy, target, 16000).scores(estimates)
    for what in ("enhancing", "scoring"):
        assert (f"{what}:   0%" in shown.getvalue()) == (stream is Terminal)
        assert ("| 0/2" in shown.getvalue()) == (stream is Terminal)
