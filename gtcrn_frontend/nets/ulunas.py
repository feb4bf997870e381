"""UL-UNAS: GTCRN's successor found by architecture search, offline and streaming in one module.

Source: Rong et al., "UL-UNAS: Ultra-Lightweight U-Nets for Real-Time Speech Enhancement via Network Architecture
Search", arXiv:2503.00340. Parameter names are those of the released checkpoint. The sizes of the blocks are the table
`weights.ulunas.BLOCKS`; filter bank and dual-path blocks are those of `gtcrn.py`.

Shapes: B batch, T frames, C channels, F bands. As in `gtcrn.py`, every layer with memory takes its history from a
cache, and offline inference starts with zeros.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.model_spec import ULUNAS_SPEC
from gtcrn_frontend.nets.gtcrn import DPGRNN, ERB
from gtcrn_frontend.weights.ulunas import CHANNELS, DECODER, ENCODER, GROUP_BANDS, WIDTH, Block

POWER_FLOOR = 1e-24  # of the feature, log10 of the magnitude: -12 at silence
SLOPE = 0.25  # PReLU's initial slope in torch


class ULUNASCache(NamedTuple):
    """State between frames; zeros at the start of a stream."""

    conv: Tensor  # (B, 5358): past frames of the convolutions in order of execution, each (C, frames, F)
    tfa: Tensor  # (B, 402): states of the attentions' GRUs over time, in order of execution
    inter: Tensor  # (B, 1056): the two inter-frame GRUs, each (33, 16)


class Pieces:
    """Hands out a flat cache `(B, n)` piece by piece, and collects the new pieces in the same order."""

    def __init__(self, flat: Tensor) -> None:
        self._flat = flat
        self._taken = 0
        self._updated: list[Tensor] = []

    def take(self, *shape: int) -> Tensor:
        """Returns the next piece, `(B, *shape)`."""
        start, self._taken = self._taken, self._taken + math.prod(shape)
        return self._flat[:, start : self._taken].reshape(-1, *shape)

    def put(self, piece: Tensor) -> None:
        """Appends a new piece."""
        self._updated.append(piece.flatten(1))

    def updated(self) -> Tensor:
        """Returns the new cache, of the shape of the old one."""
        return torch.cat(self._updated, dim=1)


class AffinePReLU(nn.Module):
    """y = a x + b + PReLU(x) with a, b per channel and band, and a slope per channel."""

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.affine_weight = nn.Parameter(torch.ones(channels, bands))
        self.affine_bias = nn.Parameter(torch.zeros(channels, bands))
        self.slope_weight = nn.Parameter(torch.full((channels,), SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """x `(B, C, T, F)`; returns the same shape."""
        affine = x * self.affine_weight[:, None] + self.affine_bias[:, None]
        return affine + functional.prelu(x, self.slope_weight)


class FrequencyAttention(nn.Module):
    """A gate for each band of a frame, of the energies of all: a bidirectional GRU with four bands a step."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(GROUP_BANDS, GROUP_BANDS, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * GROUP_BANDS, GROUP_BANDS)

    def forward(self, energy: Tensor) -> Tensor:
        """energy `(B, T, F)`; returns the gates in the same shape."""
        batch, frames, bands = energy.shape
        steps = functional.pad(energy, (0, -bands % GROUP_BANDS)).reshape(batch * frames, -1, GROUP_BANDS)
        hidden, _ = self.gru(steps, steps.new_zeros(2, len(steps), GROUP_BANDS))
        return torch.sigmoid(self.fc(hidden).reshape(batch, frames, -1)[..., :bands])


class TFA(nn.Module):
    """Attention over time and frequency: scales by a gate per channel and frame, and by a gate per band and frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ta_gru = nn.GRU(channels, 2 * channels, batch_first=True)
        self.ta_fc = nn.Linear(2 * channels, channels)
        self.fa = FrequencyAttention()

    def forward(self, x: Tensor, tfa: Pieces) -> Tensor:
        """x `(B, C, T, F)`; returns the same shape."""
        energy = x.square()
        over_time = self.gates_over_time(energy.mean(dim=3).transpose(1, 2), tfa).transpose(1, 2)
        gated: Tensor = x * over_time[..., None] * self.fa(energy.mean(dim=1))[:, None]
        return gated

    def gates_over_time(self, energy: Tensor, tfa: Pieces) -> Tensor:
        """energy `(B, T, C)`; returns the gates in the same shape, and updates the state."""
        hidden, last = self.ta_gru(energy, tfa.take(self.ta_gru.hidden_size)[None].contiguous())
        tfa.put(last[0])
        return torch.sigmoid(self.ta_fc(hidden))


class Layer(nn.ModuleList):
    """Convolution, batch norm, activation (or none) and attention (or none).

    The layers' names are their numbers from `first` on, as in the reference.
    """

    def __init__(self, first: int, *layers: nn.Module) -> None:
        super().__init__([nn.Identity() for _ in range(first)] + list(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Runs all but the attention on x `(B, C, T, F)`."""
        for layer in self:
            x = x if isinstance(layer, TFA) else layer(x)
        return x

    def attend(self, x: Tensor, tfa: Pieces) -> Tensor:
        """Runs the attention on the result of `forward`."""
        attended: Tensor = self[len(self) - 1](x, tfa)
        return attended


class UNASBlock(nn.Module):
    """One block of the table, with its history."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def with_past(self, x: Tensor, conv: Pieces) -> Tensor:
        """Returns x `(B, C, T, F)` behind its history, and updates that."""
        shape = self.block.past
        if not shape[1]:
            return x
        x = torch.cat([conv.take(*shape), x], dim=2)
        conv.put(x[:, :, -shape[1] :])
        return x


class ConvBlock(UNASBlock):
    """A convolution over time and frequency."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        act = nn.Identity() if block.is_last else AffinePReLU(block.outputs, block.bands_out)
        self.ops = Layer(1, convolution(block, block.inputs, 1), nn.BatchNorm2d(block.outputs), act, TFA(block.outputs))

    def forward(self, x: Tensor, conv: Pieces, tfa: Pieces) -> Tensor:
        """x `(B, inputs, T, bands_in)`; returns `(B, outputs, T, bands_out)`."""
        return self.ops.attend(self.ops(self.with_past(x, conv)), tfa)


class InvertedBlock(UNASBlock):
    """Inverted bottleneck: pointwise, depthwise and pointwise convolution."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.pconv1 = pointwise(block, block.inputs, AffinePReLU(block.outputs, block.bands_in))
        self.dconv = depthwise(block)
        self.pconv2 = pointwise(block, block.outputs, TFA(block.outputs))

    def forward(self, x: Tensor, conv: Pieces, tfa: Pieces) -> Tensor:
        """x `(B, inputs, T, bands_in)`; returns `(B, outputs, T, bands_out)`."""
        h = self.dconv(self.with_past(shuffled(self.pconv1(x), self.block.groups), conv))
        return shuffled(self.pconv2.attend(self.pconv2(h), tfa), self.block.groups)


class SeparableBlock(UNASBlock):
    """Pointwise and depthwise convolution."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.pconv = pointwise(block, block.inputs, AffinePReLU(block.outputs, block.bands_in))
        self.dconv = depthwise(block, TFA(block.outputs))

    def forward(self, x: Tensor, conv: Pieces, tfa: Pieces) -> Tensor:
        """x `(B, inputs, T, bands_in)`; returns `(B, outputs, T, bands_out)`."""
        h = self.dconv(self.with_past(shuffled(self.pconv(x), self.block.groups), conv))
        return self.dconv.attend(h, tfa)


def pointwise(block: Block, inputs: int, last: nn.Module) -> Layer:
    """Returns a pointwise convolution in groups, batch norm and `last`."""
    return Layer(0, nn.Conv2d(inputs, block.outputs, 1, groups=block.groups), nn.BatchNorm2d(block.outputs), last)


def depthwise(block: Block, *last: nn.Module) -> Layer:
    """Returns the depthwise convolution of a block, batch norm, activation and `last`."""
    act = AffinePReLU(block.outputs, block.bands_out)
    return Layer(1, convolution(block, block.outputs, block.outputs), nn.BatchNorm2d(block.outputs), act, *last)


def convolution(block: Block, inputs: int, groups: int) -> nn.Conv2d | nn.ConvTranspose2d:
    """Returns the convolution over time and frequency of a block."""
    kind = nn.ConvTranspose2d if block.transposed else nn.Conv2d
    # Transposed, it crops `past` frames at both ends: with as many frames of history, the new ones remain, causal.
    past = block.kernel[0] - 1 if block.transposed else 0
    return kind(
        inputs,
        block.outputs,
        block.kernel,
        stride=(1, block.stride),
        padding=(past, block.kernel[1] // 2),
        groups=groups,
    )


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Returns x `(B, C, T, F)` with the channels of its groups in turn, as in ShuffleNet."""
    batch, channels, frames, bands = x.shape
    return x.reshape(batch, groups, channels // groups, frames, bands).transpose(1, 2).reshape(x.shape)


KINDS = {"conv": ConvBlock, "inverted": InvertedBlock, "separable": SeparableBlock}


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.en_convs = nn.ModuleList(KINDS[block.kind](block) for block in ENCODER)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.de_convs = nn.ModuleList(KINDS[block.kind](block) for block in DECODER)


class ULUNAS(nn.Module):
    """UL-UNAS from spectrum to enhanced spectrum, by a mask of the magnitude."""

    def __init__(self) -> None:
        super().__init__()
        self.erb = ERB()
        self.encoder = Encoder()
        self.dpgrnn = nn.ModuleList([DPGRNN(), DPGRNN()])
        self.decoder = Decoder()

    def new_cache(self, batch: int = 1) -> ULUNASCache:
        """Returns a cache of zeros for `batch` new streams, on the network's device."""
        shapes, zeros = ULUNAS_SPEC.cache_shapes, self.erb.erb_fc.weight.new_zeros
        return ULUNASCache(*(zeros(batch, *shapes[name]) for name in ULUNASCache._fields))

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, 257, T, 2)` real and imaginary part, returns the same shape."""
        return self.stream(spec, self.new_cache(spec.shape[0]))[0]

    def stream(self, spec: Tensor, cache: ULUNASCache) -> tuple[Tensor, ULUNASCache]:
        """Enhances the next T >= 1 frames `(B, 257, T, 2)` of each stream; returns them and the new cache."""
        mask, cache = self.mask(spec, cache)
        return spec * mask.transpose(1, 2)[..., None], cache

    def mask(self, spec: Tensor, cache: ULUNASCache) -> tuple[Tensor, ULUNASCache]:
        """Returns the mask `(B, T, 257)`, 0 to 1, and the new cache; see `stream`."""
        conv, tfa, inter = (Pieces(part) for part in cache)
        level = spec.square().sum(-1).clamp_min(POWER_FLOOR).log10() * 0.5  # log10 of the magnitude
        x, skips = self.erb.merge(level.transpose(1, 2))[:, None], []
        for layer in self.encoder.en_convs:
            x = layer(x, conv, tfa)
            skips.append(x)
        for layer in self.dpgrnn:
            x, state = layer(x, inter.take(WIDTH, CHANNELS))
            inter.put(state)
        for layer in self.decoder.de_convs:
            x = layer(x + skips.pop(), conv, tfa)
        mask = self.erb.spread(torch.sigmoid(x[:, 0]))
        return mask, ULUNASCache(conv.updated(), tfa.updated(), inter.updated())
