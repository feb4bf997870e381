"""Causal FRCRN for streaming: computes the same as `FRCRN(causal=True)`, frame by frame, with its state in a cache.

Every decoder looks one frame ahead. Each one therefore runs one frame later than the one before it, its skip connection
is delayed accordingly, and the output is delayed by `LOOK_AHEAD_FRAMES`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from gtcrn_frontend.nets.frcrn import (
    CHANNELS,
    DEPTH,
    FRCRN,
    LOOK_AHEAD_FRAMES,
    N_BINS,
    UNet,
)
from gtcrn_frontend.nets.frcrn_layers import MEMORY, TimeFsmn, complex_product

WIDTHS = (321, 159, 78, 37, 17, 7, 2, 1)  # frequencies before and after each encoder
SCALED = 2 * DEPTH - 3  # squeeze-and-excitation layers of a U-Net that are in use


class FRCRNCache(NamedTuple):
    """State between frames; zeros at the start of a stream.

    Axes after the batch are the U-Net and the real and imaginary part; parts of several layers are concatenated.
    """

    encoders: Tensor  # (B, 2, 2, 38721): last input frame of each encoder
    decoders: Tensor  # (B, 2, 2, 76928): last input frame of each decoder
    skips: Tensor  # (B, 2, 2, 199552): delayed skip connections of each level
    memory: Tensor  # (B, 2, 2, 4, 128, 19): recurrence over time; layers, their real and imaginary weights
    means: Tensor  # (B, 2, 2, 11, 128): averages of squeeze and excitation so far
    first: Tensor  # (B, 2, 321, 7): output of the first U-Net, delayed to match the second's
    spectrum: Tensor  # (B, 321, 14, 2): input spectrum, delayed to match its mask
    frames: Tensor  # (B, 1): number of frames so far


class CausalFRCRN(FRCRN):
    """FRCRN with causal squeeze and excitation; offline with `forward`, frame by frame with `stream`."""

    def __init__(self, *, channels: int = CHANNELS) -> None:
        super().__init__(causal=True, channels=channels)
        self.channels = channels

    def new_cache(self, batch: int = 1) -> FRCRNCache:
        """Returns a cache of zeros for `batch` new streams, on the network's device."""
        zeros, channels = self.stft.weight.new_zeros, self.channels
        return FRCRNCache(
            encoders=zeros(batch, 2, 2, sum(_encoder_sizes(channels))),
            decoders=zeros(batch, 2, 2, sum(_decoder_sizes(channels))),
            skips=zeros(batch, 2, 2, sum(_skip_sizes(channels))),
            memory=zeros(batch, 2, 2, 4, channels, MEMORY - 1),
            means=zeros(batch, 2, 2, SCALED, channels),
            first=zeros(batch, 2, N_BINS, DEPTH),
            spectrum=zeros(batch, N_BINS, LOOK_AHEAD_FRAMES, 2),
            frames=zeros(batch, 1),
        )

    def stream(self, spec: Tensor, cache: FRCRNCache) -> tuple[Tensor, FRCRNCache]:
        """Enhances the next T >= 1 frames `(B, 321, T, 2)` of each stream; returns as many, and the new cache.

        The output is delayed by `LOOK_AHEAD_FRAMES`; it is silence before the first enhanced frame.
        """
        frames = spec.shape[2]
        number = cache.frames + torch.arange(frames, device=spec.device)
        planes = torch.cat(spec.unbind(-1))[:, None]
        first, *caches1 = _stream_unet(self.unet, planes, number, _of_unet(cache, 0))
        second, *caches2 = _stream_unet(self.unet2, first, number - DEPTH, _of_unet(cache, 1))
        waiting = torch.cat([_planes_first(cache.first), first[:, 0]], dim=2)
        mask = torch.tanh(waiting[:, :, :frames]) + torch.tanh(second[:, 0])

        delayed = torch.cat([cache.spectrum, spec], dim=2)
        re, im = delayed[:, :, :frames].unbind(-1)
        mask_re, mask_im = mask.chunk(2)
        enhanced = torch.stack([re * mask_re - im * mask_im, re * mask_im + im * mask_re], dim=-1)
        encoders, decoders, skips, memory, means = (
            torch.stack(pair, dim=1) for pair in zip(caches1, caches2, strict=True)
        )
        rest = _batch_first(waiting[:, :, frames:]), delayed[:, :, frames:], cache.frames + frames
        return enhanced, FRCRNCache(encoders, decoders, skips, memory, means, *rest)


def _stream_unet(unet: UNet, x: Tensor, number: Tensor, cache: list[Tensor]) -> list[Tensor]:
    """Returns the next output frames of a U-Net, delayed by `DEPTH` against x `(2B, 1, 321, T)`, and its caches.

    Args:
        unet: causal.
        x: the next frames.
        number: of each frame in its stream, `(B, T)`; negative before its first frame.
        cache: of this U-Net, planes first, in the order of `FRCRNCache`.
    """
    encoders, decoders, skips, memory, means = cache
    channels = means.shape[2]
    before_encoder = torch.split(encoders, _encoder_sizes(channels), dim=1)
    before_decoder = torch.split(decoders, _decoder_sizes(channels), dim=1)
    waiting = torch.split(skips, _skip_sizes(channels), dim=1)
    mean = iter(means.unbind(1))
    new: list[list[Tensor]] = [[], [], [], []]

    ready: list[Tensor] = []
    for level, layer in enumerate(unet.encoders):
        x = unet.fsmn_enc[level](x) if level else x
        x = _with_past(x * _begun(number)[:, None, None], before_encoder[level])
        new[0].append(x[..., -1].flatten(1))
        x = _encode(layer, x)
        if level < DEPTH - 1:
            skip, average = _scale(unet.se_layers_enc[level], x, next(mean), number)
            delayed = _with_past(skip, waiting[level])
            ready.append(delayed[..., : x.shape[3]])
            new[2].append(delayed[..., x.shape[3] :].flatten(1))
            new[3].append(average)
    x, memory = _remember(unet.fsmn, x, memory, number)
    for level, layer in enumerate(unet.decoders):
        x = _with_past(x, before_decoder[level])
        new[1].append(x[..., -1].flatten(1))
        x, number = layer(x), number - 1
        if level < DEPTH - 1:
            x = unet.fsmn_dec[level](x)
            if level < DEPTH - 2:
                x, average = _scale(unet.se_layers_dec[level], x, next(mean), number)
                new[3].append(average)
            x = torch.cat([x, ready.pop()], dim=1)
    flat = [torch.cat(parts, dim=1) for parts in new[:3]]
    return [unet.linear(x), *map(_batch_first, (*flat, memory, torch.stack(new[3], dim=1)))]


def _encode(layer: Any, x: Tensor) -> Tensor:
    """Returns the output of an `Encoder` for each frame but the first, which is the history of the second."""
    parts = (layer.conv.conv_re, layer.conv.conv_im)
    convolved = complex_product(*(functional.conv2d(x, part.weight, part.bias, stride=(2, 1)) for part in parts))
    return functional.leaky_relu(layer.bn(convolved))


def _scale(layer: Any, x: Tensor, mean: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """x `(2B, C, F, T)` scaled by an `SELayer`'s average over the frames so far; that average at the end, `(2B, C)`."""
    begun = _begun(number)[:, None]
    counts = (number + 1).clamp_min(1).repeat(2, 1)[:, None]
    before = number[:, :1].clamp_min(0).repeat(2, 1)
    sums = (mean * before)[:, :, None] + (x.mean(dim=2) * begun).cumsum(dim=2)
    means = sums / counts
    return layer.scaled(x, means), means[:, :, -1]


def _remember(layers: TimeFsmn, x: Tensor, memory: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """x `(2B, C, 1, T)` with the recurrence over time; the memory `(2B, 4, C, 19)` is updated."""
    begun = _begun(number)[:, :, None]
    steps, updated = x[:, :, 0].transpose(1, 2), []
    pasts = iter(memory.unbind(1))
    for pair in ((layers.fsmn_re_L1, layers.fsmn_im_L1), (layers.fsmn_re_L2, layers.fsmn_im_L2)):
        parts = []
        for layer in pair:
            remembered = torch.cat([next(pasts).transpose(1, 2), layer.projected(steps) * begun], dim=1)
            updated.append(remembered[:, 1 - MEMORY :].transpose(1, 2))
            parts.append(steps + layer.recalled(remembered))
        steps = complex_product(*parts)
    return steps.transpose(1, 2)[:, :, None], torch.stack(updated, dim=1)


def _begun(number: Tensor) -> Tensor:
    """Returns `(2B, T)`: 1 for frames of the stream, 0 for those before its first."""
    return (number >= 0).float().repeat(2, 1)


def _with_past(x: Tensor, past: Tensor) -> Tensor:
    """Returns x `(2B, C, F, T)` with the frames of a flat cache in front."""
    planes, channels, width, _ = x.shape
    return torch.cat([past.view(planes, channels, width, -1), x], dim=3)


def _of_unet(cache: FRCRNCache, number: int) -> list[Tensor]:
    return [_planes_first(each[:, number]) for each in cache[:5]]


def _planes_first(x: Tensor) -> Tensor:
    """`(B, 2, ...)` to `(2B, ...)`, the order of the network."""
    return x.transpose(0, 1).flatten(0, 1)


def _batch_first(x: Tensor) -> Tensor:
    return torch.stack(x.chunk(2), dim=1)


def _encoder_sizes(channels: int) -> list[int]:
    return [WIDTHS[0], *(channels * width for width in WIDTHS[1:DEPTH])]


def _decoder_sizes(channels: int) -> list[int]:
    return [channels * WIDTHS[DEPTH], *(2 * channels * width for width in reversed(WIDTHS[1:DEPTH]))]


def _skip_sizes(channels: int) -> list[int]:
    """Returns the sizes of the skip connections' delay lines: a level waits for the decoders below it."""
    return [(DEPTH - 1 - level) * channels * WIDTHS[level + 1] for level in range(DEPTH - 1)]
