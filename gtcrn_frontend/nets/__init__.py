"""Network definitions in torch, and their two interfaces, `SpectralNet` and `WholeSignalNet`.

Modules are constructed without arguments; parameter names are those of the released checkpoints. `forward` takes whole
signals, in training and in evaluation mode; streams use `new_cache` and `stream`, or `enhance`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from torch import Tensor, nn

from gtcrn_frontend.weights.networks import find_network


class SpectralNet(Protocol):
    """A causal network that runs frame by frame on spectra, with its state in a cache.

    A cache is a `NamedTuple` of tensors, one for each array of `ModelSpec.cache_shapes` except those of the transform,
    of the same name and shape, with the batch in front: `(B, *shape)`. A new stream starts with zeros.
    """

    def forward(self, spec: Tensor) -> Tensor:
        """Enhances whole signals: spec `(B, bins, T, 2)` real and imaginary part, returns the same shape."""

    def new_cache(self, batch: int = 1) -> Any:
        """Returns a cache of zeros for `batch` new streams, on the network's device."""

    def stream(self, spec: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Enhances the next T >= 1 frames `(B, bins, T, 2)` of each stream; returns them and the new cache."""


class WholeSignalNet(Protocol):
    """A non-causal network, with `ModelSpec.segments`; streams are enhanced in overlapping segments.

    Its `forward` takes whole signals of its `ModelSpec.domain`: spectra as above, or samples `(B, n)`.
    """

    def enhance(self, samples: Tensor) -> Tensor:
        """Enhances whole signals or segments: samples `(B, n)`, n >= 1, returns the same shape."""


def new_net(name: str) -> nn.Module:
    """Returns a network by name with randomly initialised weights; `ModelError` if there is none in torch."""
    module, _, cls = find_network(name).module.partition(":")
    # float32, as the weights and the caches are, whatever torch's default is
    return cast(nn.Module, getattr(import_module(module), cls)()).float()
