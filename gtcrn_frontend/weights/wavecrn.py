"""Parameter names and shapes of WaveCRN; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator

Shape = tuple[int, ...]

_CHANNELS, _KERNEL, _LAYERS = 256, 96, 6


def wavecrn_parameters() -> dict[str, Shape]:
    """Returns the shape of each tensor of a WaveCRN state dict, by name."""
    return dict(_wavecrn())


def _wavecrn() -> Iterator[tuple[str, Shape]]:
    both = 2 * _CHANNELS  # time directions
    yield "net.conv.weight", (_CHANNELS, 1, _KERNEL)
    yield "net.deconv.weight", (_CHANNELS, 1, _KERNEL)
    yield "net.outfc.weight", (_CHANNELS, both)
    for layer in range(_LAYERS):
        path, inputs, matrices = f"net.sru.rnn_lst.{layer}", both if layer else _CHANNELS, 3 if layer else 4
        yield f"{path}.weight", (inputs, matrices * both)
        yield f"{path}.weight_c", (2 * both,)
        yield f"{path}.bias", (2 * both,)
        yield f"{path}.scale_x", (1,)
        yield f"{path}.layer_norm.weight", (inputs,)
        yield f"{path}.layer_norm.bias", (inputs,)
