"""Parameter names and shapes of FRCRN, and their spelling in released checkpoints; needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

Shape = tuple[int, ...]

_CHANNELS, _REDUCED, _MEMORY, _N_FFT = 128, 16, 20, 640
_ENCODER_KERNELS = (5, 5, 5, 5, 5, 5, 2)
_DECODER_KERNELS = (2, 5, 5, 5, 6, 5, 5)

PREFIXES = ("module.model.", "model.")
"""Prefixes of the names: none in ModelScope's `speech_frcrn_ans_cirm_16k`, `model.` in ClearerVoice's."""

_LISTS = {
    "encoder": "encoders",
    "decoder": "decoders",
    "fsmn_enc": "fsmn_enc",
    "fsmn_dec": "fsmn_dec",
    "se_layer_enc": "se_layers_enc",
    "se_layer_dec": "se_layers_dec",
}
_SECOND_NAME = re.compile(rf"(unet2?\.)({'|'.join(_LISTS)})(\d\..*)")


def with_first_names(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Removes duplicates: in released checkpoints each layer of a U-Net has two names.

    `unet.encoder3.` is `unet.encoders.3.`, and so on. If both exist, the second one is used, as it is the one that the
    reference implementation loads last.
    """
    by_second_name, others = {}, {}
    for name, array in arrays.items():
        if match := _SECOND_NAME.fullmatch(name):
            unet, kind, rest = match.groups()
            by_second_name[f"{unet}{_LISTS[kind]}.{rest}"] = array
        else:
            others[name] = array
    return by_second_name | others


def frcrn_parameters() -> dict[str, Shape]:
    """Returns the shape of each tensor of an FRCRN state dict, by name; batch counters left out."""
    return dict(_frcrn())


def _frcrn() -> Iterator[tuple[str, Shape]]:
    yield "stft.weight", (_N_FFT + 2, 1, _N_FFT)
    yield "istft.weight", (_N_FFT + 2, 1, _N_FFT)
    yield "istft.window", (1, _N_FFT, 1)
    yield "istft.enframe", (_N_FFT, 1, _N_FFT)
    for unet in ("unet", "unet2"):
        yield from _unet(unet)


def _unet(path: str) -> Iterator[tuple[str, Shape]]:
    depth = len(_ENCODER_KERNELS)
    for level, kernel in enumerate(_ENCODER_KERNELS):
        inputs = _CHANNELS if level else 1
        yield from _conv(f"{path}.encoders.{level}.conv.conv", (_CHANNELS, inputs, kernel, 2), _CHANNELS)
        yield from _norm(f"{path}.encoders.{level}.bn.bn", _CHANNELS)
    for level, kernel in enumerate(_DECODER_KERNELS):
        inputs, outputs = 2 * _CHANNELS if level else _CHANNELS, _CHANNELS if level < depth - 1 else 1
        yield from _conv(f"{path}.decoders.{level}.transconv.tconv", (inputs, outputs, kernel, 2), outputs)
        yield from _norm(f"{path}.decoders.{level}.bn.bn", outputs)
    for level in range(depth):
        for memory in (f"fsmn_enc.{level}", f"fsmn_dec.{level}"):
            yield from _memory(f"{path}.{memory}", 1)
    yield from _memory(f"{path}.fsmn", 1)
    yield from _memory(f"{path}.fsmn", 2)
    for level in range(depth):
        yield from _gates(f"{path}.se_layers_enc.{level}")
    for level in range(depth - 1):
        yield from _gates(f"{path}.se_layers_dec.{level}")
    yield from _conv(f"{path}.linear.conv", (1, 1, 1, 1), 1)


def _conv(path: str, weight: Shape, outputs: int) -> Iterator[tuple[str, Shape]]:
    for part in ("re", "im"):
        yield f"{path}_{part}.weight", weight
        yield f"{path}_{part}.bias", (outputs,)


def _norm(path: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for part in ("re", "im"):
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield f"{path}_{part}.{name}", (channels,)


def _memory(path: str, layer: int) -> Iterator[tuple[str, Shape]]:
    for part in ("re", "im"):
        yield f"{path}.fsmn_{part}_L{layer}.linear.weight", (_CHANNELS, _CHANNELS)
        yield f"{path}.fsmn_{part}_L{layer}.linear.bias", (_CHANNELS,)
        yield f"{path}.fsmn_{part}_L{layer}.project.weight", (_CHANNELS, _CHANNELS)
        yield f"{path}.fsmn_{part}_L{layer}.conv1.weight", (_CHANNELS, 1, _MEMORY, 1)


def _gates(path: str) -> Iterator[tuple[str, Shape]]:
    for part in ("r", "i"):
        for layer, (inputs, outputs) in ((0, (_CHANNELS, _REDUCED)), (2, (_REDUCED, _CHANNELS))):
            yield f"{path}.fc_{part}.{layer}.weight", (outputs, inputs)
            yield f"{path}.fc_{part}.{layer}.bias", (outputs,)
