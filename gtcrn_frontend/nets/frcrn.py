"""FRCRN: two complex U-Nets in series with frequency recurrence; causal and streamable with `causal=True`.

Source: Zhao et al., "FRCRN: Boosting Feature Representation using Frequency Recurrence for Monaural Speech
Enhancement", ICASSP 2022, in the size released for 16 kHz. Parameter names are those of the released checkpoints,
without the second name that each layer has there: see `weights.frcrn`.

Shapes: B batch, T frames; complex tensors `(2B, C, F, T)` as in `frcrn_layers`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.nets.frcrn_layers import ComplexConv2d, Decoder, Encoder, FrequencyFsmn, SELayer, TimeFsmn

N_FFT = 640
HOP_LENGTH = N_FFT // 2
N_BINS = N_FFT // 2 + 1
CHANNELS = 128
ENCODER_KERNELS = (5, 5, 5, 5, 5, 5, 2)  # along frequency, stride 2: 321 bins become 159, 78, 37, 17, 7, 2, 1
DECODER_KERNELS = (2, 5, 5, 5, 6, 5, 5)
DEPTH = len(ENCODER_KERNELS)
LOOK_AHEAD_FRAMES = 2 * DEPTH  # with causal=True: each decoder of both U-Nets looks one frame ahead


class UNet(nn.Module):
    """U-Net from a complex spectrum to one of the same shape.

    The last of `fsmn_dec` and `se_layers_enc`, the first of `fsmn_enc`, and the last of `se_layers_dec` are not used;
    the released checkpoints contain them.
    """

    def __init__(self, channels: int, *, causal: bool) -> None:
        super().__init__()
        inputs = [1] + [channels] * (DEPTH - 1)
        self.encoders = nn.ModuleList(
            Encoder(n, channels, kernel) for n, kernel in zip(inputs, ENCODER_KERNELS, strict=True)
        )
        widths = [channels] + [2 * channels] * (DEPTH - 1)
        outputs = [channels] * (DEPTH - 1) + [1]
        self.decoders = nn.ModuleList(Decoder(*size) for size in zip(widths, outputs, DECODER_KERNELS, strict=True))
        self.fsmn_enc = nn.ModuleList(FrequencyFsmn(channels) for _ in range(DEPTH))
        self.fsmn_dec = nn.ModuleList(FrequencyFsmn(channels) for _ in range(DEPTH))
        self.se_layers_enc = nn.ModuleList(SELayer(channels, causal=causal) for _ in range(DEPTH))
        self.se_layers_dec = nn.ModuleList(SELayer(channels, causal=causal) for _ in range(DEPTH - 1))
        self.fsmn = TimeFsmn(channels)
        self.linear = ComplexConv2d(1, 1, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """x `(2B, 1, 321, T)`, returns the same shape."""
        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.fsmn_enc[level](x) if level else x)
            if level < DEPTH - 1:
                skips.append(self.se_layers_enc[level](x))
        x = self.fsmn(x)
        for level, decoder in enumerate(self.decoders):
            x = decoder(x)
            if level < DEPTH - 1:
                x = self.fsmn_dec[level](x)
                if level < DEPTH - 2:
                    x = self.se_layers_dec[level](x)
                x = torch.cat([x, skips.pop()], dim=1)
        spectrum: Tensor = self.linear(x)
        return spectrum


class _Transform(nn.Module):
    """One direction of the Fourier transform with fixed weights, as the released checkpoints contain it."""

    def __init__(self, kernel: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(_float32(kernel[:, None]), requires_grad=False)


class _Inverse(_Transform):
    """Inverse transform, with the buffers of the reference's overlap-add normalisation, whose factor is 1."""

    def __init__(self, kernel: np.ndarray) -> None:
        super().__init__(kernel)
        self.register_buffer("window", _float32(_window()[None, :, None]))
        self.register_buffer("enframe", torch.eye(N_FFT)[:, None])


class FRCRN(nn.Module):
    """FRCRN from spectrum to enhanced spectrum, by a complex ratio mask.

    Args:
        causal: average over the frames so far in squeeze and excitation: frame t of the output then depends on frames
            up to t + `LOOK_AHEAD_FRAMES` of the input only. Parameters are the same, but weights trained without it
            perform worse.
        channels: width of the layers; the default is the released size.
    """

    def __init__(self, *, causal: bool = False, channels: int = CHANNELS) -> None:
        super().__init__()
        self.stft = _Transform(_fourier() * _window())
        self.istft = _Inverse(_inverse_fourier())
        self.unet = UNet(channels, causal=causal)
        self.unet2 = UNet(channels, causal=causal)

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, 321, T, 2)` real and imaginary part, returns the same shape."""
        planes = torch.cat(spec.unbind(-1))[:, None]
        mask_re, mask_im = self.mask(planes)[:, 0].chunk(2)
        re, im = spec.unbind(-1)
        return torch.stack([re * mask_re - im * mask_im, re * mask_im + im * mask_re], dim=-1)

    def mask(self, planes: Tensor) -> Tensor:
        """Returns the complex mask `(2B, 1, 321, T)` of a spectrum of that shape."""
        first = self.unet(planes)
        return torch.tanh(first) + torch.tanh(self.unet2(first))

    def enhance(self, samples: Tensor) -> Tensor:
        """Enhances whole signals `(B, n)`, n >= 1, full scale 1, returns the same shape; padded with silence."""
        length = samples.shape[1]
        padded = functional.pad(samples, (HOP_LENGTH, HOP_LENGTH + -length % HOP_LENGTH))
        spectrum = functional.conv1d(padded[:, None], self.stft.weight, stride=HOP_LENGTH)
        enhanced = self(torch.stack(spectrum.chunk(2, dim=1), dim=-1))
        planes = torch.cat(enhanced.unbind(-1), dim=1)
        overlapped = functional.conv_transpose1d(planes, self.istft.weight, stride=HOP_LENGTH)
        return overlapped[:, 0, HOP_LENGTH : HOP_LENGTH + length]


def _window() -> np.ndarray:
    """Returns the square root of the periodic Hann window, `(640,) float64`."""
    return np.asarray(np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)))


def _fourier() -> np.ndarray:
    """Returns the rows of the discrete Fourier transform, real parts then imaginary parts, `(642, 640) float64`."""
    basis = np.fft.rfft(np.eye(N_FFT))
    return np.concatenate([basis.real, basis.imag], axis=1).T


@lru_cache(maxsize=1)
def _inverse_fourier() -> np.ndarray:
    """Returns the synthesis matrix with the window included, `(642, 640) float64`."""
    return np.asarray(np.linalg.pinv(_fourier()).T * _window())


def _float32(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
