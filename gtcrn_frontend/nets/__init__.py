"""Network definitions in torch, and what all of them offer: `SpectralNet` or `WaveformNet`; nothing else lives here.

A module is made without arguments; its parameter names are those of the released checkpoints. In training mode and out
of it, `forward` takes whole signals; what a stream needs beyond that is `new_cache` and `stream`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from torch import Tensor, nn

from gtcrn_frontend.weights.networks import find_network


class SpectralNet(Protocol):
    """A network whose `ModelSpec.domain` is `spectrum`: frame by frame, with what it remembers in a cache.

    A cache is a `NamedTuple` of tensors, one for each array of `ModelSpec.cache_shapes` but those of the transform, of
    the same name and shape, with the batch in front: `(B, *shape)`. Zeros are the cache of a stream that begins.
    """

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, bins, T, 2)` real and imaginary part, returns the same shape."""

    def new_cache(self, batch: int = 1) -> Any:
        """Returns a cache of zeros for `batch` streams that begin, on the network's device."""

    def stream(self, spec: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Enhances the next T >= 1 frames `(B, bins, T, 2)` of each stream; returns them and the new cache."""


class WaveformNet(Protocol):
    """A network whose `ModelSpec.domain` is `waveform`: whole signals, without a cache.

    A stream reaches it in segments of `win_length` samples, one every `hop_length`, that are cross-faded where they
    overlap: the transform of `engines.spectral` with another `analyse` and `synthesise`, whose arrays in
    `ModelSpec.cache_shapes` are `analysis` and `synthesis`, of `overlap` samples each.
    """

    def forward(self, samples: Tensor) -> Tensor:
        """Enhances whole signals or segments: samples `(B, n)`, returns the same shape."""


def new_net(name: str) -> nn.Module:
    """Returns a network by name with the random weights of its layers; `ModelError` if there is none in torch."""
    module, _, cls = find_network(name).module.partition(":")
    return cast(nn.Module, getattr(import_module(module), cls)())
