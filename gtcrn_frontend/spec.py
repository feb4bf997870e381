"""What an engine and a caller must know of a model. Transform sizes and rates are written down here only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class ModelSpec:
    """The facts of one network, independent of its weights.

    Attributes:
        name: short name of the network.
        sample_rate: in Hz, the only rate the network works at.
        n_fft: length of the Fourier transform in samples.
        win_length: length of the analysis and synthesis window in samples.
        hop_length: new samples per frame.
        window: name of the window, see `engines.stft`.
        causal: whether no output depends on samples beyond `look_ahead`.
        look_ahead: samples after an output sample, beyond the frame that holds it, that the output depends on.
        cache_shapes: shape of each array of the canonical engine state of one stream, by name, all float32.
        parameters: number of parameters, fixed filters included.
        licence: of the architecture's reference implementation (SPDX).
    """

    name: str
    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    window: str
    causal: bool
    look_ahead: int
    parameters: int
    licence: str
    cache_shapes: Mapping[str, tuple[int, ...]] = field(hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cache_shapes", MappingProxyType(dict(self.cache_shapes)))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy can be neither pickled nor copied
        return partial(type(self), **(vars(self) | {"cache_shapes": dict(self.cache_shapes)})), ()

    @property
    def n_bins(self) -> int:
        """Frequency bins of one frame."""
        return self.n_fft // 2 + 1

    @property
    def overlap(self) -> int:
        """Samples that one frame shares with the next; also how far an engine's output trails its input."""
        return self.win_length - self.hop_length


GTCRN_SPEC = ModelSpec(
    name="gtcrn",
    sample_rate=16000,
    n_fft=512,
    win_length=512,
    hop_length=256,
    window="hann_sqrt",
    causal=True,
    look_ahead=0,
    parameters=48245,
    licence="MIT",
    cache_shapes={
        "analysis": (256,),
        "synthesis": (256,),
        "conv": (2, 16, 16, 33),
        "tra": (2, 3, 16),
        "inter": (2, 33, 16),
    },
)
