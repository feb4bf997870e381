"""Distance of log-mel energies, the features of most recognisers, as a loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from gtcrn_frontend.audio.mel import mel_filters
from gtcrn_frontend.evaluation.quality.metrics import ACTIVE_RANGE_DB, MEL_BANDS, MEL_FLOOR, MEL_FRAME_MS, MEL_HOP_MS


class LogMelDistance:
    """Differentiable form of `gtcrn_frontend.evaluation.quality.metrics.log_mel_distance`, for batches.

    Energies E enter as ln(E + exp(-12)) instead of the metric's ln(max(E, exp(-12))), so that gradients do not vanish
    below the floor. The two differ by at most ln 2, near the floor.
    """

    def __init__(self, sample_rate: int, device: str | torch.device = "cpu") -> None:
        self.frame = sample_rate * MEL_FRAME_MS // 1000
        self.hop = sample_rate * MEL_HOP_MS // 1000
        self.n_fft = 1 << (self.frame - 1).bit_length()
        # The window is at the start of the transform's frame, as in the metric; torch would centre it.
        self.tail = self.n_fft - self.frame
        self.window = functional.pad(torch.hann_window(self.frame, device=device), (0, self.tail))
        filters = mel_filters(sample_rate, self.n_fft, MEL_BANDS, unit_area=False)
        self.filters = torch.from_numpy(filters).float().to(device)

    def __call__(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Returns the mean absolute difference (scalar) of samples `(B, n)` over the bands and the active frames.

        A frame is active if the target's energy in it is within 40 dB of the item's loudest frame. All active frames
        of the batch have the same weight; an item without speech has none. 0 without any active frame.
        """
        with torch.no_grad():
            reference = self._log_mel(target)
            frames = target.unfold(-1, self.frame, self.hop)
            energy = frames.square().sum(-1)
            loudest = energy.amax(-1, keepdim=True)
            active = (energy >= loudest * 10 ** (-ACTIVE_RANGE_DB / 10)) & (loudest > 0)
        difference = (self._log_mel(estimate) - reference).abs().mean(1)
        return (difference * active).sum() / active.sum().clamp_min(1)

    def _log_mel(self, samples: Tensor) -> Tensor:
        """Returns `(B, 80, frames)`."""
        padded = functional.pad(samples, (0, self.tail))
        spectrum = torch.view_as_real(
            torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        )
        return (self.filters @ spectrum.square().sum(-1) + math.exp(MEL_FLOOR)).log()
