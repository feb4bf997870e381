"""Small streaming CTC recogniser: two strided convolutions and a few GRUs.

Shapes: B batch, T feature frames (10 ms), C mel bands, V symbols with the blank as symbol 0; a symbol every 40 ms.
Streaming and offline are the same computation, as long as chunks are whole multiples of four frames.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SUBSAMPLING = 4
HISTORY = 3  # frames of history of the two convolutions (kernel 3, stride 2)
BLANK = 0


@dataclass(frozen=True)
class RecognizerConfig:
    """Sizes of the network.

    Attributes:
        n_mels: bands of the features.
        used_mels: number of the lowest bands in use; 30 of 40 end below 4 kHz, for telephone speech.
        channels: of the convolutions.
        hidden: of each GRU.
        layers: number of GRUs.
        symbols: number of symbols, including the blank.
        dropout: between layers, in training.
    """

    n_mels: int
    used_mels: int
    channels: int
    hidden: int
    layers: int
    symbols: int
    dropout: float = 0.1

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings by name."""
        return asdict(self)


@dataclass(frozen=True)
class RecognizerCache:
    """State between chunks; zeros at the start.

    Attributes:
        frames: `(B, 3, used_mels)` last normalised frames.
        hidden: `(layers, B, hidden)` of the GRUs.
    """

    frames: Tensor
    hidden: Tensor


class CtcRecognizer(nn.Module):
    """Log-probabilities of symbols from `Fbank` features."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: RecognizerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.used_mels))
        self.register_buffer("scale", torch.ones(config.used_mels))
        self.conv1 = nn.Conv1d(config.used_mels, config.channels, 3, stride=2)
        self.norm1 = nn.LayerNorm(config.channels)
        self.conv2 = nn.Conv1d(config.channels, config.channels, 3, stride=2)
        self.norm2 = nn.LayerNorm(config.channels)
        sizes = [config.channels] + [config.hidden] * config.layers
        self.recurrent = nn.ModuleList(nn.GRU(before, after, batch_first=True) for before, after in pairwise(sizes))
        self.output = nn.Linear(config.hidden, config.symbols)
        self.dropout = nn.Dropout(config.dropout)

    def initial_cache(self, batch: int = 1) -> RecognizerCache:
        """Returns the cache of a new stream."""
        config = self.config
        return RecognizerCache(
            self.mean.new_zeros(batch, HISTORY, config.used_mels),
            self.mean.new_zeros(config.layers, batch, config.hidden),
        )

    def normalise(self, features: Tensor) -> Tensor:
        """Returns the bands in use, `(B, T, used_mels)`, normalised to mean 0 and variance 1 over training data."""
        return (features[..., : self.config.used_mels] - self.mean) * self.scale

    def forward(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Returns log-probabilities `(B, ceil(T / 4), V)` of whole utterances.

        Args:
            features: `(B, T, C)`.
            frames: `(B,) int64`, number of frames of each utterance, the rest is padding; None is all. The first
                `output_lengths(frames)` outputs belong to the utterance.
        """
        missing = -features.shape[1] % SUBSAMPLING
        normalised = functional.pad(self.normalise(features), (0, 0, 0, missing))
        if frames is not None:
            inside = torch.arange(normalised.shape[1], device=frames.device) < frames[:, None]
            normalised = torch.where(inside[..., None], normalised, 0.0)
        return self.step(normalised, self.initial_cache(len(features)))[0]

    def stream(self, features: Tensor, cache: RecognizerCache) -> tuple[Tensor, RecognizerCache]:
        """Returns log-probabilities `(B, T / 4, V)` of a chunk `(B, T, C)`, T a multiple of 4, and the new cache."""
        return self.step(self.normalise(features), cache)

    def step(self, normalised: Tensor, cache: RecognizerCache) -> tuple[Tensor, RecognizerCache]:
        """Returns the log-probabilities of normalised frames, and the new cache."""
        frames = torch.cat([cache.frames, normalised], dim=1)
        x = self.norm1(functional.relu(self.conv1(frames.transpose(1, 2)).transpose(1, 2)))
        x = self.norm2(functional.relu(self.conv2(x.transpose(1, 2)).transpose(1, 2)))
        hidden = []
        for recurrent, before in zip(self.recurrent, cache.hidden, strict=True):
            x, after = recurrent(self.dropout(x), before[None].contiguous())
            hidden.append(after[0])
        scores = self.output(self.dropout(x)).log_softmax(dim=-1)
        return scores, RecognizerCache(frames[:, -HISTORY:], torch.stack(hidden))


def output_lengths(frames: Tensor) -> Tensor:
    """Returns the number of outputs of utterances with so many frames: a quarter, rounded up."""
    return (frames + SUBSAMPLING - 1) // SUBSAMPLING


def greedy_symbols(scores: Tensor) -> list[int]:
    """Returns the symbols of one utterance's log-probabilities `(T, V)`: the best path, repeats and blanks removed."""
    best = torch.unique_consecutive(scores.argmax(dim=-1))
    return [int(symbol) for symbol in best if symbol != BLANK]
