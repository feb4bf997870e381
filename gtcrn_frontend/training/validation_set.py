"""Fixed mixtures of held-out speakers, noises and rooms, and the scores of a network on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.quality.metrics import log_mel_distance, pesq_wb, si_snr, stoi
from gtcrn_frontend.training.config import MixingConfig, ValidationConfig
from gtcrn_frontend.training.data.audio_cache import AudioCache
from gtcrn_frontend.training.data.held_out import held_out_mixture
from gtcrn_frontend.training.data.mixing import Pools
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.losses.recognizer_distance import RecognizerDistance
from gtcrn_frontend.training.progress import shown

Scores = dict[str, float]


@dataclass(frozen=True)
class ValidationSet:
    """Mixtures and their targets, `(count, n) float32` each."""

    noisy: F32
    target: F32
    sample_rate: int

    def scores(self, estimates: F32) -> Scores:
        """Returns the mean SI-SNR (dB), PESQ-WB, STOI and log-mel distance of estimates `(count, n)`."""
        rows = [
            (
                si_snr(target, estimate),
                pesq_wb(target, estimate, self.sample_rate),
                stoi(target, estimate, self.sample_rate),
                log_mel_distance(target, estimate, self.sample_rate),
            )
            for target, estimate in shown(zip(self.target, estimates, strict=True), len(estimates), "scoring")
        ]
        means = np.nanmean(rows, axis=0).round(4).tolist()
        return dict(zip(("si_snr_db", "pesq", "stoi", "log_mel"), means, strict=True))

    @torch.no_grad()
    def recognizer_distance(self, estimates: F32, recognizers: RecognizerDistance) -> float:
        """Returns the mean distance of estimates `(count, n)` in the features of recognisers; 0 is best."""
        distances = [
            float(recognizers(*(torch.from_numpy(row)[None].to(recognizers.device) for row in rows)))
            for rows in shown(zip(estimates, self.target, strict=True), len(estimates), "recognising")
        ]
        return round(float(np.mean(distances)), 4)


def make_validation_set(
    audio_cache: AudioCache, pools: Pools, mixing: MixingConfig, config: ValidationConfig, sample_rate: int, seed: int
) -> ValidationSet:
    """Returns the mixtures, see `held_out.held_out_mixture`."""
    numbers = shown(range(config.mixtures), config.mixtures, "mixing for validation")
    made = [held_out_mixture(audio_cache, pools, mixing, config, sample_rate, seed, i) for i in numbers]
    noisy, target = (np.stack(parts) for parts in zip(*made, strict=True))
    return ValidationSet(noisy, target, sample_rate)


@torch.no_grad()
def enhance_all(network: nn.Module, noisy: F32, transform: Transform) -> F32:
    """Returns the enhanced signals `(count, n)`, one at a time, in evaluation mode."""
    training = network.training
    network.eval()
    device = transform.window.device
    rows = []
    for row in shown(noisy, len(noisy), "enhancing"):
        samples = torch.from_numpy(row)[None].to(device)
        rows.append(transform.inverse(transform.enhanced(network, samples), length=len(row))[0].cpu().numpy())
    network.train(training)
    return np.stack(rows)
