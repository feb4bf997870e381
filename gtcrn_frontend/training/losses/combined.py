"""What is minimised: the hybrid loss and weighted additions for recognition."""

from __future__ import annotations

import torch
from torch import Tensor

from gtcrn_frontend.training.config import LossConfig
from gtcrn_frontend.training.losses.dnsmos import DnsmosLoss
from gtcrn_frontend.training.losses.hybrid import (
    Compressed,
    Transform,
    compress,
    hybrid_loss_of_parts,
    over_suppression,
    spectral_error,
)
from gtcrn_frontend.training.losses.log_mel import LogMelDistance
from gtcrn_frontend.training.losses.pesq_like import PesqLikeLoss
from gtcrn_frontend.training.losses.recognizer_distance import RecognizerDistance

# One of so many examples is rated, at least one, and its end alone: the network that rates costs more than ours.
EXAMPLES_PER_RATING = 4
RATED_S = 4.0
ERROR_FLOOR = 1e-6  # below any error that training could lower


class CombinedLoss:
    """The loss of a network's output. Terms of weight 0 are not computed."""

    def __init__(self, config: LossConfig, transform: Transform) -> None:
        self.config = config
        self.transform = transform
        rate, device = transform.spec.sample_rate, transform.window.device
        self._log_mel = LogMelDistance(rate, device)
        self._pesq_like = PesqLikeLoss(rate, device)
        self._rated_samples = round(RATED_S * rate)
        self.recognizers = RecognizerDistance(config.recognizers, rate, device) if config.recognizers else None
        self._dnsmos = (
            DnsmosLoss(config.dnsmos_folder, rate, device) if config.dnsmos_ovrl and config.dnsmos_folder else None
        )

    def __call__(self, estimate: Tensor, noisy: Tensor, target: Tensor, teacher_output: Tensor | None = None) -> Tensor:
        """Returns the mean loss (scalar): hybrid loss + weighted terms of `LossConfig`.

        Args:
            estimate: spectra `(B, bins, T, 2)`.
            noisy, target: spectra of the input and of what it should become.
            teacher_output: spectra of what the teachers made of the input; None leaves distillation out.
        """
        config = self.config
        ours, wanted = compress(estimate), compress(target)
        e, s = self.transform.inverse(estimate), self.transform.inverse(target)
        loss = e.new_zeros(())
        if config.hybrid:
            loss = hybrid_loss_of_parts(ours, wanted, e, s, 1 + config.si_snr) * config.hybrid
        if self.recognizers is not None:
            loss = loss + self.recognizers(e, s).mean()
        if config.log_mel:
            loss = loss + config.log_mel * self._log_mel(e, s)
        if config.over_suppression:
            loss = loss + config.over_suppression * over_suppression(ours, wanted)
        if config.pesq_like:
            loss = loss + config.pesq_like * self._pesq_like(e, s).mean()
        if self._dnsmos is not None:
            rated = slice(0, max(1, len(e) // EXAMPLES_PER_RATING)), slice(-self._rated_samples, None)
            loss = loss + config.dnsmos_ovrl * self._dnsmos(e[rated], s[rated]).mean()
        if config.distillation and teacher_output is not None:
            example = compress(teacher_output)
            trust = teacher_trust(example, compress(noisy), wanted)
            loss = loss + config.distillation * (trust * spectral_error(ours, example)).mean()
        return loss


@torch.no_grad()
def teacher_trust(teacher_output: Compressed, noisy: Compressed, target: Compressed) -> Tensor:
    """Returns how much to learn from the teacher, for each item `(B,)`: from 0 (nothing) to 1.

    1 - d(teacher, target) / d(input, target), not below 0, with d the spectral error: 1 where the teacher's output is
    the target, 0 where it is no closer to it than the input, as often for clean, band-limited or reverberant speech.
    """
    gain = 1 - spectral_error(teacher_output, target) / spectral_error(noisy, target).clamp_min(ERROR_FLOOR)
    return gain.clamp_min(0)
