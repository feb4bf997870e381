"""UL-UNAS: its blocks as a table, and names and shapes of its parameters; needs no torch.

The table is what the torch module, the ONNX graph and the parameters' shapes are made from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gtcrn_frontend.weights.param_shapes import (
    Shape,
    conv_shapes,
    dual_path_shapes,
    gru_shapes,
    linear_shapes,
    norm_shapes,
)

CHANNELS, WIDTH = 16, 33
"""Channels and bands of the dual-path blocks."""

GROUP_BANDS = 4
"""Bands per step of the attention over frequency, and hidden units of its GRU in each direction."""


@dataclass(frozen=True)
class Block:
    """One block of the encoder or the decoder.

    Attributes:
        kind: `conv`, a convolution; `inverted`, an inverted bottleneck: pointwise, depthwise, pointwise; `separable`:
            pointwise, depthwise.
        inputs, outputs: channels.
        kernel: taps in time and in frequency of the convolution that is not pointwise.
        stride: in frequency.
        groups: of the pointwise convolutions; their outputs are shuffled where there are more than one.
        bands_in, bands_out: bands of input and output.
        transposed: whether the convolution that is not pointwise is a transposed one, as in the decoder.
        path: of its parameters.
    """

    kind: Literal["conv", "inverted", "separable"]
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    stride: int
    groups: int
    bands_in: int
    bands_out: int
    transposed: bool
    path: str

    @property
    def past(self) -> Shape:
        """Channels, frames and bands of the history of its convolution."""
        return self.inputs if self.kind == "conv" else self.outputs, self.kernel[0] - 1, self.bands_in

    @property
    def is_last(self) -> bool:
        """Whether it makes the mask: without an activation."""
        return self.outputs == 1


def _encoder(i: int, kind: Literal["conv", "inverted", "separable"], *sizes: int) -> Block:
    inputs, outputs, time, taps, stride, groups, bands_in, bands_out = sizes
    path = f"encoder.en_convs.{i}"
    return Block(kind, inputs, outputs, (time, taps), stride, groups, bands_in, bands_out, False, path)


ENCODER = (
    _encoder(0, "conv", 1, 12, 3, 3, 2, 1, 129, 65),
    _encoder(1, "inverted", 12, 24, 2, 3, 2, 2, 65, 33),
    _encoder(2, "separable", 24, 24, 2, 3, 1, 2, 33, 33),
    _encoder(3, "inverted", 24, 32, 1, 5, 1, 2, 33, 33),
    _encoder(4, "separable", 32, 16, 1, 5, 1, 2, 33, 33),
)

DECODER = tuple(
    Block(b.kind, b.outputs, b.inputs, b.kernel, b.stride, b.groups, b.bands_out, b.bands_in, True, path)
    for path, b in ((f"decoder.de_convs.{i}", block) for i, block in enumerate(reversed(ENCODER)))
)

BLOCKS = ENCODER + DECODER
"""In order of execution; the dual-path blocks are between encoder and decoder."""

CONV_CACHE = sum(math.prod(block.past) for block in BLOCKS)
TFA_CACHE = sum(2 * block.outputs for block in BLOCKS)


def ulunas_parameters() -> dict[str, Shape]:
    """Returns the shape of each tensor of a UL-UNAS state dict, by name; batch counters left out."""
    return dict(_parameters())


def _parameters() -> Iterator[tuple[str, Shape]]:
    yield "erb.erb_fc.weight", (64, 192)
    yield "erb.ierb_fc.weight", (192, 64)
    for block in ENCODER:
        yield from _block(block)
    for i in (0, 1):
        yield from dual_path_shapes(f"dpgrnn.{i}")
    for block in DECODER:
        yield from _block(block)


def _block(block: Block) -> Iterator[tuple[str, Shape]]:
    path, outputs = block.path, block.outputs
    if block.kind == "conv":
        first, second = (block.inputs, outputs) if block.transposed else (outputs, block.inputs)
        yield from conv_shapes(f"{path}.ops.1", (first, second, *block.kernel), outputs)
        yield from norm_shapes(f"{path}.ops.2", outputs)
        if not block.is_last:
            yield from _activation(f"{path}.ops.3", outputs, block.bands_out)
        yield from _attention(f"{path}.ops.4", outputs)
        return
    first_path = f"{path}.pconv1" if block.kind == "inverted" else f"{path}.pconv"
    yield from conv_shapes(f"{first_path}.0", (outputs, block.inputs // block.groups, 1, 1), outputs)
    yield from norm_shapes(f"{first_path}.1", outputs)
    yield from _activation(f"{first_path}.2", outputs, block.bands_in)
    yield from conv_shapes(f"{path}.dconv.1", (outputs, 1, *block.kernel), outputs)
    yield from norm_shapes(f"{path}.dconv.2", outputs)
    yield from _activation(f"{path}.dconv.3", outputs, block.bands_out)
    if block.kind == "separable":
        yield from _attention(f"{path}.dconv.4", outputs)
        return
    yield from conv_shapes(f"{path}.pconv2.0", (outputs, outputs // block.groups, 1, 1), outputs)
    yield from norm_shapes(f"{path}.pconv2.1", outputs)
    yield from _attention(f"{path}.pconv2.2", outputs)


def _activation(path: str, channels: int, bands: int) -> Iterator[tuple[str, Shape]]:
    yield f"{path}.affine_weight", (channels, bands)
    yield f"{path}.affine_bias", (channels, bands)
    yield f"{path}.slope_weight", (channels,)


def _attention(path: str, channels: int) -> Iterator[tuple[str, Shape]]:
    yield from gru_shapes(f"{path}.ta_gru", channels, 2 * channels)
    yield from linear_shapes(f"{path}.ta_fc", 2 * channels, channels)
    for suffix in ("", "_reverse"):
        yield from gru_shapes(f"{path}.fa.gru", GROUP_BANDS, GROUP_BANDS, suffix)
    yield from linear_shapes(f"{path}.fa.fc", 2 * GROUP_BANDS, GROUP_BANDS)
