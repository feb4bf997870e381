"""Network definitions in torch, and what all of them offer: `SpectralNet` or `WholeSignalNet`; nothing else.

A module is made without arguments; its parameter names are those of the released checkpoints. In training mode and out
of it, `forward` takes whole signals; what a stream needs beyond that is `new_cache` and `stream`, or `enhance`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from torch import Tensor, nn

from gtcrn_frontend.weights.networks import find_network


class SpectralNet(Protocol):
    """A network that is run frame by frame on spectra, with what it remembers in a cache.

    A cache is a `NamedTuple` of tensors, one for each array of `ModelSpec.cache_shapes` but those of the transform, of
    the same name and shape, with the batch in front: `(B, *shape)`. Zeros are the cache of a stream that begins.
    """

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, bins, T, 2)` real and imaginary part, returns the same shape."""

    def new_cache(self, batch: int = 1) -> Any:
        """Returns a cache of zeros for `batch` streams that begin, on the network's device."""

    def stream(self, spec: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Enhances the next T >= 1 frames `(B, bins, T, 2)` of each stream; returns them and the new cache."""


class WholeSignalNet(Protocol):
    """A network with `ModelSpec.segments`: it needs the future, and a stream reaches it in segments.

    Its `forward` takes whole signals of its `ModelSpec.domain`: spectra as above, or samples `(B, n)`.
    """

    def enhance(self, samples: Tensor) -> Tensor:
        """Enhances whole signals or segments: samples `(B, n)`, n >= 1, returns the same shape."""


def new_net(name: str) -> nn.Module:
    """Returns a network by name with the random weights of its layers; `ModelError` if there is none in torch."""
    module, _, cls = find_network(name).module.partition(":")
    # float32, as the weights and the caches are, whatever torch's default is
    return cast(nn.Module, getattr(import_module(module), cls)()).float()
