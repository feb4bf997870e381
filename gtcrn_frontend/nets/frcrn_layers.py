"""Layers of FRCRN: complex convolutions, feed-forward sequential memory, squeeze and excitation; see `frcrn`.

Shapes: B batch, C channels, F frequencies, T frames. A complex tensor is its real and its imaginary part concatenated
along the batch, `(2B, C, F, T)`: a layer with real weights then processes both at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

REDUCTION = 8  # of squeeze and excitation
MEMORY = 20  # positions: the current one and those before


def complex_product(of_re: Tensor, of_im: Tensor) -> Tensor:
    """Returns the product with complex weights from x times their real parts and x times their imaginary parts."""
    re_re, im_re = of_re.chunk(2)
    re_im, im_im = of_im.chunk(2)
    return torch.cat([re_re - im_im, im_re + re_im])


class ComplexConv2d(nn.Module):
    """Convolution with complex weights."""

    def __init__(self, inputs: int, outputs: int, **settings: Any) -> None:
        super().__init__()
        self.conv_re = nn.Conv2d(inputs, outputs, **settings)
        self.conv_im = nn.Conv2d(inputs, outputs, **settings)

    def forward(self, x: Tensor) -> Tensor:
        return complex_product(self.conv_re(x), self.conv_im(x))


class ComplexConvTranspose2d(nn.Module):
    """Transposed convolution with complex weights."""

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
    """Halves the frequencies; causal, and its output is one frame longer than its input."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = ComplexConv2d(inputs, outputs, kernel_size=(kernel, 2), stride=(2, 1), padding=(0, 1))
        self.bn = ComplexBatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.bn(self.conv(x)))


class Decoder(nn.Module):
    """Doubles the frequencies; looks one frame ahead, and its output is one frame shorter than its input."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.transconv = ComplexConvTranspose2d(inputs, outputs, kernel_size=(kernel, 2), stride=(2, 1), padding=(0, 1))
        self.bn = ComplexBatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.bn(self.transconv(x)))


class UniDeepFsmn(nn.Module):
    """Feed-forward sequential memory: adds a weighted sum of the current and the previous positions."""

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
        """Returns the memory's input at each position, of the shape of x."""
        projected: Tensor = self.project(torch.relu(self.linear(x)))
        return projected

    def recalled(self, projected: Tensor) -> Tensor:
        """Returns the memory's output at each position but the first `MEMORY - 1`, from its inputs `projected`."""
        recalled: Tensor = self.conv1(projected.transpose(1, 2)[..., None])
        return projected[:, MEMORY - 1 :] + recalled[..., 0].transpose(1, 2)


class FrequencyFsmn(nn.Module):
    """Complex memory along the frequencies of each frame: the frequency recurrence of the network's name."""

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
    """Two layers of complex memory over the frames, at the bottleneck with its single frequency."""

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
    """Squeeze and excitation: scales each channel by a gate of its average over frequency and time.

    Args:
        channels: of the input.
        causal: average over the frames so far instead of all frames.
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
        """Returns x `(2B, C, F, T)` scaled by the gates of the average `(2B, C, T or 1)`."""
        mean = mean.transpose(1, 2)
        # The gates' product is complex, the scaling is not: real parts scale real parts.
        return x * complex_product(self.fc_r(mean), self.fc_i(mean)).transpose(1, 2)[:, :, None]
