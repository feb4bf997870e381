"""WaveCRN: non-causal convolutional recurrent network from waveform to waveform.

Source: Hsieh et al., "WaveCRN: An Efficient Convolutional Recurrent Neural Network for End-to-End Speech
Enhancement", IEEE Signal Processing Letters 27, 2020. Parameter names are those of its authors' implementation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.nets.sru import DIRECTIONS, SRU

CHANNELS = 256
LAYERS = 6
KERNEL = 96  # samples: 6 ms
STRIDE = KERNEL // 2


class _Layers(nn.Module):
    """The layers, one level down as in the parameter names of the reference."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, channels, KERNEL, STRIDE, padding=STRIDE, bias=False)
        self.sru = SRU(channels, channels, layers)
        self.outfc = nn.Linear(DIRECTIONS * channels, channels, bias=False)
        self.deconv = nn.ConvTranspose1d(channels, 1, KERNEL, STRIDE, padding=STRIDE, bias=False)


class WaveCRN(nn.Module):
    """WaveCRN: a learned filter bank, a recurrent mask over the whole signal, and a learned synthesis filter bank.

    Args:
        channels: number of filters, and of features per direction of the recurrent layers; the default is the paper's.
        layers: number of recurrent layers.
    """

    def __init__(self, channels: int = CHANNELS, layers: int = LAYERS) -> None:
        super().__init__()
        self.net = _Layers(channels, layers)

    def forward(self, samples: Tensor) -> Tensor:
        """Enhances whole signals `(B, n)`, n >= 1, full scale 1; returns the same shape, within (-1, 1)."""
        length = samples.shape[1]
        padded = functional.pad(samples, (0, -length % STRIDE))
        features = self.net.conv(padded[:, None])
        mask = self.net.outfc(self.net.sru(features.permute(2, 0, 1))).permute(1, 2, 0)
        enhanced: Tensor = torch.tanh(self.net.deconv(features * mask))
        return enhanced[:, 0, :length]

    def enhance(self, samples: Tensor) -> Tensor:
        """Enhances whole signals, see `WholeSignalNet.enhance`."""
        enhanced: Tensor = self(samples)
        return enhanced
