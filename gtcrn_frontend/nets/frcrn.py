"""FRCRN: complex convolutions with recurrence along frequency, two U-Nets in a row; causal=True makes it streamable.

Source: Zhao et al., "FRCRN: Boosting Feature Representation using Frequency Recurrence for Monaural Speech
Enhancement", ICASSP 2022, in the size released for 16 kHz. Parameter names are those of the released checkpoints,
without the second name that each layer has there: see `weights.frcrn`.

Shapes: B batch, C channels, F frequencies, T frames. A complex tensor is its real and its imaginary part one after the
other along the batch, `(2B, C, F, T)`: a layer of real weights then sees both at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

N_FFT = 640
HOP_LENGTH = N_FFT // 2
N_BINS = N_FFT // 2 + 1
CHANNELS = 128
REDUCTION = 8  # of squeeze and excitation
MEMORY = 20  # positions: the current one and those before
ENCODER_KERNELS = (5, 5, 5, 5, 5, 5, 2)  # along frequency, stride 2: 321 bins become 159, 78, 37, 17, 7, 2, 1
DECODER_KERNELS = (2, 5, 5, 5, 6, 5, 5)
DEPTH = len(ENCODER_KERNELS)
LOOK_AHEAD_FRAMES = 2 * DEPTH  # with causal=True: each decoder of both U-Nets looks one frame ahead


def complex_product(of_re: Tensor, of_im: Tensor) -> Tensor:
    """Returns the product with complex weights from x times their real parts and x times their imaginary parts."""
    re_re, im_re = of_re.chunk(2)
    re_im, im_im = of_im.chunk(2)
    return torch.cat([re_re - im_im, im_re + re_im])


class ComplexConv2d(nn.Module):
    """A convolution with complex weights along frequency and over a frame and the one before."""

    def __init__(self, inputs: int, outputs: int, **settings: Any) -> None:
        super().__init__()
        self.conv_re = nn.Conv2d(inputs, outputs, **settings)
        self.conv_im = nn.Conv2d(inputs, outputs, **settings)

    def forward(self, x: Tensor) -> Tensor:
        return complex_product(self.conv_re(x), self.conv_im(x))


class ComplexConvTranspose2d(nn.Module):
    def __init__(self, inputs: int, outputs: int, **settings: Any) -> None:
        super().__init__()
        self.tconv_re = nn.ConvTranspose2d(inputs, outputs, **settings)
        self.tconv_im = nn.ConvTranspose2d(inputs, outputs, **settings)

    def forward(self, x: Tensor) -> Tensor:
        return complex_product(self.tconv_re(x), self.tconv_im(x))


class ComplexBatchNorm2d(nn.Module):
    """Batch norm of the real parts, and another one of the imaginary parts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn_re = nn.BatchNorm2d(channels)
        self.bn_im = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        re, im = x.chunk(2)
        return torch.cat([self.bn_re(re), self.bn_im(im)])


class Encoder(nn.Module):
    """Halves the frequencies; one frame longer than its input, and no frame sees later ones."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = ComplexConv2d(inputs, outputs, kernel_size=(kernel, 2), stride=(2, 1), padding=(0, 1))
        self.bn = ComplexBatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.bn(self.conv(x)))


class Decoder(nn.Module):
    """Doubles the frequencies; one frame shorter than its input, and each frame sees the next one."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.transconv = ComplexConvTranspose2d(inputs, outputs, kernel_size=(kernel, 2), stride=(2, 1), padding=(0, 1))
        self.bn = ComplexBatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.bn(self.transconv(x)))


class UniDeepFsmn(nn.Module):
    """Feed-forward sequential memory: each position gets a weighted sum of itself and the positions before."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, features)
        self.project = nn.Linear(features, features, bias=False)
        self.conv1 = nn.Conv2d(features, features, (MEMORY, 1), groups=features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x `(N, steps, features)`, returns the same shape."""
        projected = self.projected(x)
        return x + self.recalled(functional.pad(projected, (0, 0, MEMORY - 1, 0)))

    def projected(self, x: Tensor) -> Tensor:
        """What is remembered of each position."""
        projected: Tensor = self.project(torch.relu(self.linear(x)))
        return projected

    def recalled(self, projected: Tensor) -> Tensor:
        """What is added to each position but the first `MEMORY - 1`, from what is remembered of it and of those."""
        recalled: Tensor = self.conv1(projected.transpose(1, 2)[..., None])
        return projected[:, MEMORY - 1 :] + recalled[..., 0].transpose(1, 2)


class FrequencyFsmn(nn.Module):
    """Complex memory along the frequencies of each frame: the recurrence that gives the network its name."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fsmn_re_L1 = UniDeepFsmn(channels)
        self.fsmn_im_L1 = UniDeepFsmn(channels)

    def forward(self, x: Tensor) -> Tensor:
        planes, channels, width, frames = x.shape
        rows = x.permute(0, 3, 2, 1).reshape(planes * frames, width, channels)
        rows = complex_product(self.fsmn_re_L1(rows), self.fsmn_im_L1(rows))
        return rows.view(planes, frames, width, channels).permute(0, 3, 2, 1)


class TimeFsmn(nn.Module):
    """Two layers of complex memory over the frames, where one frequency is left."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fsmn_re_L1 = UniDeepFsmn(channels)
        self.fsmn_im_L1 = UniDeepFsmn(channels)
        self.fsmn_re_L2 = UniDeepFsmn(channels)
        self.fsmn_im_L2 = UniDeepFsmn(channels)

    def forward(self, x: Tensor) -> Tensor:
        steps = x[:, :, 0].transpose(1, 2)
        steps = complex_product(self.fsmn_re_L1(steps), self.fsmn_im_L1(steps))
        steps = complex_product(self.fsmn_re_L2(steps), self.fsmn_im_L2(steps))
        return steps.transpose(1, 2)[:, :, None]


class SELayer(nn.Module):
    """Squeeze and excitation: scales each channel by what its average over frequency and time is.

    Args:
        channels: of the input.
        causal: average over the frames so far, not over all of them.
    """

    def __init__(self, channels: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.fc_r = self._gate(channels)
        self.fc_i = self._gate(channels)

    @staticmethod
    def _gate(channels: int) -> nn.Sequential:
        inner = max(1, channels // REDUCTION)
        return nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=2)
        if self.causal:
            frames = torch.arange(1, x.shape[3] + 1, device=x.device, dtype=x.dtype)
            mean = mean.cumsum(dim=2) / frames
        else:
            mean = mean.mean(dim=2, keepdim=True)
        return self.scaled(x, mean)

    def scaled(self, x: Tensor, mean: Tensor) -> Tensor:
        """x `(2B, C, F, T)` scaled by what the average `(2B, C, T or 1)` leads to."""
        mean = mean.transpose(1, 2)
        # The gates' product is complex, the scaling is not: real parts scale real parts.
        return x * complex_product(self.fc_r(mean), self.fc_i(mean)).transpose(1, 2)[:, :, None]


class UNet(nn.Module):
    """From a complex spectrum to a complex spectrum of the same shape.

    The last of `fsmn_dec` and `se_layers_enc`, the first of `fsmn_enc`, and the last of `se_layers_dec` are never used:
    the released checkpoints hold them.
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
    """One direction of the transform, fixed, as the released checkpoints hold it."""

    def __init__(self, kernel: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(_float32(kernel[:, None]), requires_grad=False)


class _Inverse(_Transform):
    """The inverse has what the reference implementation divides the sum of overlapping frames by; it is one."""

    def __init__(self, kernel: np.ndarray) -> None:
        super().__init__(kernel)
        self.register_buffer("window", _float32(_window()[None, :, None]))
        self.register_buffer("enframe", torch.eye(N_FFT)[:, None])


class FRCRN(nn.Module):
    """The network from spectrum to enhanced spectrum, by a complex ratio mask.

    Args:
        causal: average over the frames so far in squeeze and excitation: frame t of the output then depends on frames
            up to t + `LOOK_AHEAD_FRAMES` of the input, and on no later one. The weights are the same; those trained
            otherwise lose by it.
        channels: those of the released size unless given.
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
        """Enhances whole signals `(B, n)`, n >= 1, full scale 1, returns the same shape; silence lies around them."""
        length = samples.shape[1]
        padded = functional.pad(samples, (HOP_LENGTH, HOP_LENGTH + -length % HOP_LENGTH))
        spectrum = functional.conv1d(padded[:, None], self.stft.weight, stride=HOP_LENGTH)
        enhanced = self(torch.stack(spectrum.chunk(2, dim=1), dim=-1))
        planes = torch.cat(enhanced.unbind(-1), dim=1)
        overlapped = functional.conv_transpose1d(planes, self.istft.weight, stride=HOP_LENGTH)
        return overlapped[:, 0, HOP_LENGTH : HOP_LENGTH + length]


def _window() -> np.ndarray:
    """The square root of the periodic Hann window, `(640,) float64`."""
    return np.asarray(np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)))


def _fourier() -> np.ndarray:
    """Real parts of the discrete Fourier transform over imaginary parts, `(642, 640) float64`."""
    basis = np.fft.rfft(np.eye(N_FFT))
    return np.concatenate([basis.real, basis.imag], axis=1).T


@lru_cache(maxsize=1)
def _inverse_fourier() -> np.ndarray:
    """What the enhanced spectrum is synthesised with, window included, `(642, 640) float64`."""
    return np.asarray(np.linalg.pinv(_fourier()).T * _window())


def _float32(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
