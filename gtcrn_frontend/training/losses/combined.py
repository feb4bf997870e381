"""The training loss: a weighted sum of the terms in `LossConfig`."""

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

# DNSMOS rates one of so many examples, at least one, and only its end: its network costs more than the trained one.
EXAMPLES_PER_RATING = 4
RATED_S = 4.0
ERROR_FLOOR = 1e-6  # below any relevant error; avoids a division by zero


class CombinedLoss:
    """Weighted sum of loss terms; terms of weight 0 are not computed.

    Args:
        config: weights of the terms.
        transform: that of the network.

    Attributes:
        recognizers: distance in the features of recognisers, if there are any; validation uses it as well.
    """

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

    def __call__(
        self,
        estimate: Tensor,
        noisy: Tensor,
        target: Tensor,
        teacher_output: Tensor | None = None,
        strengths: Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss (scalar).

        Args:
            estimate: spectra `(B, bins, T, 2)` of the network's output.
            noisy, target: spectra of its input and of the target.
            teacher_output: spectra of the teachers' output; None for no distillation.
            strengths: `(B,)`; recognisers get `strength * estimate + (1 - strength) * noisy`. None: the estimate.
        """
        config = self.config
        compressed, reference = compress(estimate), compress(target)
        e, s = self.transform.inverse(estimate), self.transform.inverse(target)
        loss = e.new_zeros(())
        if config.hybrid:
            loss = hybrid_loss_of_parts(compressed, reference, e, s, 1 + config.si_snr) * config.hybrid
        if self.recognizers is not None:
            mixed = e
            if strengths is not None:
                strength = strengths[:, None]
                mixed = strength * e + (1 - strength) * self.transform.inverse(noisy)
            loss = loss + self.recognizers(mixed, s).mean()
        if config.log_mel:
            loss = loss + config.log_mel * self._log_mel(e, s)
        if config.over_suppression:
            loss = loss + config.over_suppression * over_suppression(compressed, reference)
        if config.pesq_like:
            loss = loss + config.pesq_like * self._pesq_like(e, s).mean()
        if self._dnsmos is not None:
            rated = slice(0, max(1, len(e) // EXAMPLES_PER_RATING)), slice(-self._rated_samples, None)
            loss = loss + config.dnsmos_ovrl * self._dnsmos(e[rated], s[rated]).mean()
        if config.distillation and teacher_output is not None:
            example = compress(teacher_output)
            trust = teacher_trust(example, compress(noisy), reference)
            loss = loss + config.distillation * (trust * spectral_error(compressed, example)).mean()
        return loss


@torch.no_grad()
def teacher_trust(teacher_output: Compressed, noisy: Compressed, target: Compressed) -> Tensor:
    """Returns the weight of the teacher's output for each item `(B,)`, 0 to 1.

    max(0, 1 - d(teacher, target) / d(input, target)) with d the spectral error: 1 where the teacher's output equals the
    target, 0 where it is no closer to it than the input, as is frequent for clean, band-limited or reverberant speech.
    """
    gain = 1 - spectral_error(teacher_output, target) / spectral_error(noisy, target).clamp_min(ERROR_FLOOR)
    return gain.clamp_min(0)
