"""GTCRN: grouped temporal convolutional recurrent network, offline and streaming in one module.

Source: Rong et al., "GTCRN: A Speech Enhancement Network Requiring Ultralow Computational
Resources", ICASSP 2024. Parameter names are those of the released checkpoints, so that their
state dicts and ours are interchangeable.

Shapes: B batch, T frames, F = 257 bins, C = 16 channels, W = 33 bands after two strided convolutions.
Offline and streaming are the same computation: every layer with memory takes its history from a
cache, and offline inference starts with a cache of zeros.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.model_spec import GTCRN_SPEC

N_BINS = GTCRN_SPEC.n_bins
LOW_BINS = 65  # bins 0 to 64 are not merged
ERB_BANDS = 64  # bins 65..256 are merged into this many bands
CHANNELS = 16
WIDTH = 33  # (65 + 64) bands after two convolutions of stride 2
DILATIONS = (1, 2, 5)
KERNEL_TIME = 3
CACHE_FRAMES = sum((KERNEL_TIME - 1) * dilation for dilation in DILATIONS)  # 16


class GTCRNCache(NamedTuple):
    """State between frames; zeros at the start of a stream."""

    conv: Tensor  # (B, 2, 16, 16, 33): encoder, decoder; time rows 0:2, 2:6, 6:16 for dilations 1, 2, 5
    tra: Tensor  # (B, 2, 3, 16): encoder, decoder; layers in order of execution
    inter: Tensor  # (B, 2, 33, 16): the two inter-frame GRUs


def erb_filters() -> np.ndarray:
    """Returns the triangular ERB filters as `(64, 192) float32`, for bins 65 to 256.

    ERB-rate scale 21.4 log10(1 + 0.00437 f), after Glasberg and Moore (1990).
    """
    bin_hz = GTCRN_SPEC.sample_rate / GTCRN_SPEC.n_fft
    low, high = (21.4 * np.log10(0.00437 * bin_hz * edge + 1) for edge in (LOW_BINS, N_BINS - 1))
    centres_hz = (10 ** (np.linspace(low, high, ERB_BANDS) / 21.4) - 1) / 0.00437
    centres = np.round(centres_hz / bin_hz).astype(int)
    filters = np.zeros((ERB_BANDS, N_BINS))
    for band, (start, stop) in enumerate(pairwise(centres)):
        rise = (np.arange(start, stop) - start) / (stop - start)
        filters[band, start:stop] = 1 - rise
        filters[band + 1, start:stop] = rise
    filters[-1, centres[-1]] = 1
    return filters[:, LOW_BINS:].astype(np.float32)


class ERB(nn.Module):
    """Merges the bins above 2 kHz into ERB bands, and expands bands to bins again."""

    def __init__(self) -> None:
        super().__init__()
        filters = torch.from_numpy(erb_filters())
        self.erb_fc = nn.Linear(N_BINS - LOW_BINS, ERB_BANDS, bias=False)
        self.ierb_fc = nn.Linear(ERB_BANDS, N_BINS - LOW_BINS, bias=False)
        self.erb_fc.weight = nn.Parameter(filters, requires_grad=False)
        self.ierb_fc.weight = nn.Parameter(filters.T.contiguous(), requires_grad=False)

    def merge(self, bins: Tensor) -> Tensor:
        """`(..., 257)` to `(..., 129)`."""
        return torch.cat([bins[..., :LOW_BINS], self.erb_fc(bins[..., LOW_BINS:])], dim=-1)

    def spread(self, bands: Tensor) -> Tensor:
        """`(..., 129)` to `(..., 257)`."""
        return torch.cat([bands[..., :LOW_BINS], self.ierb_fc(bands[..., LOW_BINS:])], dim=-1)


def unfold_bands(x: Tensor) -> Tensor:
    """Subband feature extraction: `(B, C, T, F)` to `(B, 3C, T, F)`, channel c*3+k holds band f+k-1."""
    batch, channels, frames, bands = x.shape
    padded = functional.pad(x, (1, 1))
    return padded.unfold(3, bands, 1).permute(0, 1, 3, 2, 4).reshape(batch, 3 * channels, frames, bands)


class TRA(nn.Module):
    """Temporal recurrent attention: scales each channel and frame by a gate of its past energy."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.att_gru = nn.GRU(channels, 2 * channels, batch_first=True)
        self.att_fc = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x `(B, 8, T, W)`, cache `(B, 16)`; returns both, updated."""
        energy = x.square().mean(dim=-1).transpose(1, 2)
        hidden, last = self.att_gru(energy, cache[None].contiguous())
        attention = torch.sigmoid(self.att_fc(hidden)).transpose(1, 2)
        return x * attention[..., None], last[0]


class ConvBlock(nn.Module):
    """A strided convolution along frequency (or its transpose), batch norm, activation."""

    def __init__(self, inputs: int, outputs: int, *, groups: int = 1, transposed: bool = False, last: bool = False):
        super().__init__()
        conv = nn.ConvTranspose2d if transposed else nn.Conv2d
        self.conv = conv(inputs, outputs, (1, 5), stride=(1, 2), padding=(0, 2), groups=groups)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.Tanh() if last else nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.bn(self.conv(x)))
        return activated


class GTConvBlock(nn.Module):
    """Grouped temporal convolution of half of the channels, then a channel shuffle with the other half."""

    def __init__(self, dilation: int, *, transposed: bool = False) -> None:
        super().__init__()
        conv = nn.ConvTranspose2d if transposed else nn.Conv2d
        half = CHANNELS // 2
        past = (KERNEL_TIME - 1) * dilation
        self.dilation = dilation
        self.point_conv1 = conv(3 * half, CHANNELS, 1)
        self.point_bn1 = nn.BatchNorm2d(CHANNELS)
        self.point_act = nn.PReLU()
        # A transposed convolution of stride 1 crops `padding` frames at both ends. As the input includes
        # `past` frames of history, exactly the new frames remain, and they are causal.
        self.depth_conv = conv(
            CHANNELS,
            CHANNELS,
            (KERNEL_TIME, 3),
            padding=(past if transposed else 0, 1),
            dilation=(dilation, 1),
            groups=CHANNELS,
        )
        self.depth_bn = nn.BatchNorm2d(CHANNELS)
        self.depth_act = nn.PReLU()
        self.point_conv2 = conv(CHANNELS, half, 1)
        self.point_bn2 = nn.BatchNorm2d(half)
        self.tra = TRA(half)

    def forward(self, x: Tensor, conv_cache: Tensor, tra_cache: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x `(B, 16, T, W)`, conv_cache `(B, 16, 2 * dilation, W)`, tra_cache `(B, 16)`; returns all, updated."""
        convolved, passed = x.chunk(2, dim=1)
        h = self.point_act(self.point_bn1(self.point_conv1(unfold_bands(convolved))))
        h = torch.cat([conv_cache, h], dim=2)
        new_cache = h[:, :, h.shape[2] - conv_cache.shape[2] :]
        h = self.depth_act(self.depth_bn(self.depth_conv(h)))
        h = self.point_bn2(self.point_conv2(h))
        h, tra_cache = self.tra(h, tra_cache)
        return torch.stack([h, passed], dim=2).flatten(1, 2), new_cache, tra_cache


class GRNN(nn.Module):
    """Two GRUs, each on one half of the features."""

    def __init__(self, inputs: int, hidden: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.rnn1 = nn.GRU(inputs // 2, hidden // 2, batch_first=True, bidirectional=bidirectional)
        self.rnn2 = nn.GRU(inputs // 2, hidden // 2, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x `(N, steps, inputs)`, cache `(directions, N, hidden)`; returns `(N, steps, directions * hidden)`, cache."""
        x1, x2 = x.chunk(2, dim=-1)
        c1, c2 = cache.chunk(2, dim=-1)
        y1, c1 = self.rnn1(x1, c1.contiguous())
        y2, c2 = self.rnn2(x2, c2.contiguous())
        return torch.cat([y1, y2], dim=-1), torch.cat([c1, c2], dim=-1)


class DPGRNN(nn.Module):
    """Dual-path grouped RNN: across the bands of each frame, then across the frames of each band."""

    def __init__(self) -> None:
        super().__init__()
        self.intra_rnn = GRNN(CHANNELS, CHANNELS // 2, bidirectional=True)
        self.intra_fc = nn.Linear(CHANNELS, CHANNELS)
        self.intra_ln = nn.LayerNorm((WIDTH, CHANNELS), eps=1e-8)
        self.inter_rnn = GRNN(CHANNELS, CHANNELS)
        self.inter_fc = nn.Linear(CHANNELS, CHANNELS)
        self.inter_ln = nn.LayerNorm((WIDTH, CHANNELS), eps=1e-8)

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x `(B, 16, T, W)`, cache `(B, W, 16)`; returns both, updated."""
        batch, channels, frames, width = x.shape
        x = x.permute(0, 2, 3, 1)
        bands = x.reshape(batch * frames, width, channels)
        intra, _ = self.intra_rnn(bands, bands.new_zeros(2, batch * frames, channels // 2))
        x = x + self.intra_ln(self.intra_fc(intra).view(batch, frames, width, channels))
        steps = x.transpose(1, 2).reshape(batch * width, frames, channels)
        inter, cache = self.inter_rnn(steps, cache.reshape(1, batch * width, channels))
        inter = self.inter_fc(inter).view(batch, width, frames, channels).transpose(1, 2)
        x = x + self.inter_ln(inter)
        return x.permute(0, 3, 1, 2), cache.view(batch, width, channels)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.en_convs = nn.ModuleList(
            [ConvBlock(9, CHANNELS), ConvBlock(CHANNELS, CHANNELS, groups=2)] + [GTConvBlock(d) for d in DILATIONS]
        )


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.de_convs = nn.ModuleList(
            [GTConvBlock(d, transposed=True) for d in reversed(DILATIONS)]
            + [
                ConvBlock(CHANNELS, CHANNELS, groups=2, transposed=True),
                ConvBlock(CHANNELS, 2, transposed=True, last=True),
            ]
        )


def _time_rows(dilation: int) -> slice:
    """Returns the rows of the convolution cache for a dilation, in the order of the encoder."""
    start = sum((KERNEL_TIME - 1) * d for d in DILATIONS if d < dilation)
    return slice(start, start + (KERNEL_TIME - 1) * dilation)


class GTCRN(nn.Module):
    """GTCRN from spectrum to enhanced spectrum, by a complex ratio mask."""

    def __init__(self) -> None:
        super().__init__()
        self.erb = ERB()
        self.encoder = Encoder()
        self.dpgrnn1 = DPGRNN()
        self.dpgrnn2 = DPGRNN()
        self.decoder = Decoder()

    def new_cache(self, batch: int = 1) -> GTCRNCache:
        """Returns a cache of zeros for `batch` new streams, on the network's device."""
        zeros = self.erb.erb_fc.weight.new_zeros
        return GTCRNCache(
            zeros(batch, 2, CHANNELS, CACHE_FRAMES, WIDTH),
            zeros(batch, 2, 3, CHANNELS),
            zeros(batch, 2, WIDTH, CHANNELS),
        )

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, 257, T, 2)` real and imaginary part, returns the same shape."""
        return self.stream(spec, self.new_cache(spec.shape[0]))[0]

    def stream(self, spec: Tensor, cache: GTCRNCache) -> tuple[Tensor, GTCRNCache]:
        """Enhances the next T >= 1 frames `(B, 257, T, 2)` of each stream; returns them and the new cache."""
        x = self._features(spec)
        conv_rows: list[list[Tensor]] = [[], []]
        tra_rows: list[list[Tensor]] = [[], []]
        skips = []
        for layer in self.encoder.en_convs:
            if isinstance(layer, GTConvBlock):
                rows = cache.conv[:, 0, :, _time_rows(layer.dilation)]
                x, conv, tra = layer(x, rows, cache.tra[:, 0, len(tra_rows[0])])
                conv_rows[0].append(conv)
                tra_rows[0].append(tra)
            else:
                x = layer(x)
            skips.append(x)

        x, inter1 = self.dpgrnn1(x, cache.inter[:, 0])
        x, inter2 = self.dpgrnn2(x, cache.inter[:, 1])

        for layer in self.decoder.de_convs:
            x = x + skips.pop()
            if isinstance(layer, GTConvBlock):
                rows = cache.conv[:, 1, :, _time_rows(layer.dilation)]
                x, conv, tra = layer(x, rows, cache.tra[:, 1, len(tra_rows[1])])
                conv_rows[1].insert(0, conv)  # kept in the encoder's order of dilations
                tra_rows[1].append(tra)
            else:
                x = layer(x)

        new_cache = GTCRNCache(
            torch.stack([torch.cat(rows, dim=2) for rows in conv_rows], dim=1),
            torch.stack([torch.stack(rows, dim=1) for rows in tra_rows], dim=1),
            torch.stack([inter1, inter2], dim=1),
        )
        return self._apply_mask(x, spec), new_cache

    def _features(self, spec: Tensor) -> Tensor:
        """Returns magnitude, real and imaginary part in 129 bands with their neighbours, `(B, 9, T, 129)`."""
        re, im = spec.transpose(1, 2).unbind(-1)
        magnitude = torch.sqrt(re.square() + im.square() + 1e-12)
        return unfold_bands(self.erb.merge(torch.stack([magnitude, re, im], dim=1)))

    def _apply_mask(self, x: Tensor, spec: Tensor) -> Tensor:
        """Multiplies the spectrum by the complex mask x `(B, 2, T, 129)`."""
        mask_re, mask_im = self.erb.spread(x).transpose(2, 3).unbind(1)
        re, im = spec.unbind(-1)
        return torch.stack([re * mask_re - im * mask_im, im * mask_re + re * mask_im], dim=-1)
