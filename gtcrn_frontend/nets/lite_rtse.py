"""Lite-RTSE: two recurrent stages and a convolutional branch, offline and streaming in one module.

Written from its author's description and parameter names; loads checkpoints of the reference implementation.

Shapes: B batch, T frames, F = 257 bins. As in `gtcrn.py`, every layer with memory takes its history from a cache.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gtcrn_frontend.model_spec import LITE_RTSE_SPEC

N_BINS = LITE_RTSE_SPEC.n_bins
CHANNELS = 64
ORDER = 5
SCALE_PAST = 2  # frames of history of a depthwise 3x3 convolution
ORDER_PAST = 6  # of a depthwise 7x7 convolution
POWER_FLOOR = 1e-12  # keeps the gradient of the magnitude finite at zero


class LiteRTSECache(NamedTuple):
    """State between frames; zeros at the start of a stream."""

    lstm: Tensor  # (B, 2, 2, F): first and second stage; hidden and cell state
    scale: Tensor  # (B, 2, 32, 2, F): the two multi-scale convolutions
    order: Tensor  # (B, 452, 6, F): the depthwise convolutions of the multi-order convolution, concatenated


class MultiScaleConv(nn.Module):
    """Pointwise, depthwise and pointwise convolution, multiplied by a pointwise convolution of the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1),
            nn.ZeroPad2d((1, 1, 0, 0)),  # time is padded with the past
            nn.Conv2d(outputs, outputs, 3, groups=outputs),
            nn.Conv2d(outputs, outputs, 1),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x `(B, inputs, T, F)`, past `(B, outputs, 2, F)`; returns `(B, outputs, T, F)` and the new past."""
        h = torch.cat([past, self.conv[0](x)], dim=2)
        return self.conv[1:](h) * self.skip(x), h[:, :, -SCALE_PAST:]


class MultiOrderConv(nn.Module):
    """Recursive gated products with depthwise convolved channels, from `CHANNELS / 2` channels to one."""

    def __init__(self) -> None:
        super().__init__()
        self.widths = [CHANNELS >> n for n in range(ORDER - 1, 0, -1)]  # of the pointwise path: 4, 8, 16, 32
        convolved = [2 * CHANNELS - width for width in self.widths]
        self.pwconv1 = nn.Conv2d(CHANNELS // 2, 2 * CHANNELS, 1)
        self.dwconvs = nn.ModuleList(
            nn.Sequential(nn.ZeroPad2d((3, 3, 0, 0)), nn.Conv2d(n, n, ORDER_PAST + 1, groups=n)) for n in convolved
        )
        self.pwconvs = nn.ModuleList(nn.Conv2d(width, 2 * width, 1) for width in self.widths)
        self.pwconvN = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x `(B, 32, T, F)`, past `(B, 452, 6, F)`; returns `(B, 1, T, F)` and the new past."""
        x = self.pwconv1(x)
        depth, point = x[:, : -self.widths[0]], x[:, -self.widths[0] :]
        pasts: list[Tensor] = []
        for dwconv, pwconv, width in zip(self.dwconvs, self.pwconvs, self.widths, strict=True):
            used = sum(part.shape[1] for part in pasts)
            depth = torch.cat([past[:, used : used + depth.shape[1]], depth], dim=2)
            pasts.append(depth[:, :, -ORDER_PAST:])
            depth = dwconv(depth)
            depth, factor = depth[:, :-width], depth[:, -width:]
            point = pwconv(point * factor)
        return self.pwconvN(point * depth), torch.cat(pasts, dim=1)


class LiteRTSE(nn.Module):
    """Lite-RTSE from spectrum to enhanced spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm1 = nn.LSTM(N_BINS, N_BINS, batch_first=True)
        self.fc1 = nn.Linear(N_BINS, N_BINS)
        self.msmo_conv = nn.ModuleList(
            [MultiScaleConv(1, CHANNELS // 2), MultiScaleConv(CHANNELS // 2, CHANNELS // 2), MultiOrderConv()]
        )
        self.fc2 = nn.Linear(3 * N_BINS, N_BINS)
        self.lstm2 = nn.LSTM(N_BINS, N_BINS, batch_first=True)
        self.to_mag = nn.Linear(N_BINS, N_BINS)
        self.to_real = nn.Linear(N_BINS, N_BINS)
        self.to_imag = nn.Linear(N_BINS, N_BINS)

    def new_cache(self, batch: int = 1) -> LiteRTSECache:
        """Returns a cache of zeros for `batch` new streams, on the network's device."""
        shapes = LITE_RTSE_SPEC.cache_shapes
        return LiteRTSECache(*(self.fc1.bias.new_zeros(batch, *shapes[name]) for name in LiteRTSECache._fields))

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, 257, T, 2)` real and imaginary part, returns the same shape."""
        return self.stream(spec, self.new_cache(spec.shape[0]))[0]

    def stream(self, spec: Tensor, cache: LiteRTSECache) -> tuple[Tensor, LiteRTSECache]:
        """Enhances the next T >= 1 frames `(B, 257, T, 2)` of each stream; returns them and the new cache."""
        magnitude = (spec.square().sum(-1) + POWER_FLOOR).sqrt().transpose(1, 2)  # (B, T, F)
        h, lstm1 = _recur(self.lstm1, magnitude, cache.lstm[:, 0])
        mask = torch.sigmoid(self.fc1(h))
        first = magnitude * mask

        x, pasts = magnitude[:, None], []
        for conv, past in zip(self.msmo_conv, [*cache.scale.unbind(1), cache.order], strict=True):
            x, past = conv(x, past)
            pasts.append(past)

        h = self.fc2(torch.cat([magnitude, first, x[:, 0]], dim=-1))
        h, lstm2 = _recur(self.lstm2, h, cache.lstm[:, 1])
        # |S| = R_mag (|X| - Y1) + Y1 and a rotation by the angle of R: together a complex factor to X.
        gain = self.to_mag(h) * (1 - mask) + mask
        re, im = self.to_real(h), self.to_imag(h)
        gain = gain * torch.rsqrt(re.square() + im.square() + POWER_FLOOR)
        factor_re, factor_im = (gain * re).transpose(1, 2), (gain * im).transpose(1, 2)
        x_re, x_im = spec.unbind(-1)
        enhanced = torch.stack([x_re * factor_re - x_im * factor_im, x_re * factor_im + x_im * factor_re], dim=-1)
        return enhanced, LiteRTSECache(torch.stack([lstm1, lstm2], dim=1), torch.stack(pasts[:2], dim=1), pasts[2])


def _recur(lstm: nn.LSTM, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """x `(B, T, F)`, state `(B, 2, F)`; returns both, updated."""
    h, c = state.unbind(1)
    y, (h, c) = lstm(x, (h[None].contiguous(), c[None].contiguous()))
    return y, torch.stack([h[0], c[0]], dim=1)
