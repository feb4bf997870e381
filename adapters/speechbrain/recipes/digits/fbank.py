"""Log-mel filterbank features as Kaldi and sherpa-onnx compute them, differentiable and in batches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLE_RATE = 16000
FRAME_LENGTH = 400  # 25 ms
FRAME_SHIFT = 160  # 10 ms
N_FFT = 512
PRE_EMPHASIS = 0.97
POVEY_POWER = 0.85  # Kaldi's default window is a Hann window to this power
LOW_HZ = 20.0
HIGH_HZ = SAMPLE_RATE / 2 - 400
FLOOR = float(np.finfo(np.float32).eps)  # digital silence is log(FLOOR) = -15.942 in every band


class Fbank(nn.Module):
    """Natural-log mel energies of samples at 16 kHz.

    The options are those of sherpa-onnx: Kaldi's defaults with dither 0, snip_edges false, low_freq 20,
    high_freq -400. Agrees with the package kaldi-native-fbank within 1e-3 on speech.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        window = np.hanning(FRAME_LENGTH) ** POVEY_POWER
        self.register_buffer("window", torch.tensor(window, dtype=torch.float32), persistent=False)
        self.register_buffer("filters", torch.tensor(mel_filters(n_mels)), persistent=False)

    def forward(self, wavs: Tensor) -> Tensor:
        """Returns features `(B, T, n_mels)` of samples `(B, n)` in [-1, 1], T = `n_frames(n)`."""
        n = wavs.shape[-1]
        count = n_frames(n)
        # Frame t is centred at 160 t + 80; at both ends the signal is mirrored, its outermost sample included.
        left = (FRAME_LENGTH - FRAME_SHIFT) // 2
        places = torch.arange(-left, (count - 1) * FRAME_SHIFT + FRAME_LENGTH - left, device=wavs.device)
        places = torch.where(places < 0, -places - 1, places)
        places = torch.where(places >= n, 2 * n - 1 - places, places).clamp(0, max(n - 1, 0))
        frames = wavs[:, places].unfold(-1, FRAME_LENGTH, FRAME_SHIFT)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        previous = functional.pad(frames, (1, 0), mode="replicate")[..., :-1]
        frames = (frames - PRE_EMPHASIS * previous) * self.window
        spectrum = torch.fft.rfft(frames, N_FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        energies: Tensor = power @ self.filters.T
        return energies.clamp(min=FLOOR).log()


def n_frames(n_samples: int) -> int:
    """Returns the number of frames of a signal: one per 10 ms, rounded."""
    return (n_samples + FRAME_SHIFT // 2) // FRAME_SHIFT


def mel_filters(n_mels: int) -> np.ndarray:
    """Returns Kaldi's triangular filters `(n_mels, 257) float32`: straight on the scale mel = 1127 ln(1 + f / 700)."""
    low, high = (1127 * math.log(1 + hz / 700) for hz in (LOW_HZ, HIGH_HZ))
    edges = np.linspace(low, high, n_mels + 2)
    bins = 1127 * np.log(1 + np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT / 700)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters: np.ndarray = np.clip(np.minimum(rise, fall), 0, None).astype(np.float32)
    return filters
