"""Whisper's encoder in torch, differentiable with respect to its input, from weights in CTranslate2's format.

Source: Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023, and the code released
with it. Agrees with CTranslate2's own `encode` within the precision of float16 weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.audio.mel import mel_filters
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.ctranslate2 import read_ctranslate2

SAMPLE_RATE = 16_000
N_FFT = 400  # 25 ms
HOP_LENGTH = 160  # 10 ms
POWER_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # in powers of ten below the loudest band of the utterance
FRAMES_PER_POSITION = 2  # the second convolution halves the rate: one position is 20 ms

Weights = Mapping[str, npt.NDArray[np.float32]]


class WhisperEncoder(nn.Module):
    """Log-mel features, two convolutions and pre-norm transformer blocks, with fixed weights."""

    window: Tensor
    filters: Tensor
    positions: Tensor

    def __init__(self, weights: Weights, dtype: torch.dtype = torch.float32) -> None:
        """Builds the encoder with the sizes of the weights.

        Args:
            weights: variables by their names in CTranslate2's format, `encoder/...`.
            dtype: of the products with weight matrices. bfloat16 takes half the time on processors that support
                it; sums, norms and the residual stream remain float32.

        Raises:
            ModelError: a variable is missing.
        """
        super().__init__()
        try:
            self.positions = _buffer(self, "positions", weights["encoder/position_encodings/encodings"])
            # A head has 64 channels in every released model.
            self.heads = int(weights.get("encoder/num_heads", self.positions.shape[1] // 64))
            self.conv1 = _Affine(weights, "encoder/conv1", dtype)
            self.conv2 = _Affine(weights, "encoder/conv2", dtype)
            self.blocks = nn.ModuleList()
            while f"encoder/layer_{len(self.blocks)}/ffn/linear_0/weight" in weights:
                self.blocks.append(_Block(weights, f"encoder/layer_{len(self.blocks)}", self.heads, dtype))
            self.norm = _Norm(weights, "encoder/layer_norm")
        except KeyError as error:
            raise ModelError(f"expected the weights of a Whisper model, got none named {error}") from error
        bands = self.conv1.weight.shape[1]
        self.filters = _buffer(self, "filters", mel_filters(SAMPLE_RATE, N_FFT, bands, unit_area=True))
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def log_mel(self, samples: Tensor) -> Tensor:
        """Returns `(B, bands, T)` for samples `(B, n)` at 16 kHz, T = n // 160."""
        spectrum = torch.stft(samples, N_FFT, HOP_LENGTH, window=self.window, return_complex=True)[..., :-1]
        power = torch.view_as_real(spectrum).square().sum(-1)
        features = (self.filters @ power).clamp_min(POWER_FLOOR).log10()
        loudest = features.detach().amax((1, 2), keepdim=True)
        return (features.maximum(loudest - DYNAMIC_RANGE) + 4) / 4

    def forward(self, samples: Tensor) -> list[Tensor]:
        """Returns the output of each block, and the normalised output last; each `(B, n // 320, channels)`.

        Args:
            samples: `(B, n)` at 16 kHz, up to 30 s. Shorter audio is not padded to 30 s, so it costs less.
        """
        hidden = functional.gelu(self.conv1.convolve(self.log_mel(samples), stride=1))
        hidden = functional.gelu(self.conv2.convolve(hidden, stride=2))
        hidden = hidden.transpose(1, 2)
        hidden = hidden + self.positions[: hidden.shape[1]]
        features = []
        for block in self.blocks:
            hidden = block(hidden)
            features.append(hidden)
        return [*features, self.norm(hidden)]


class _Affine(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, weights: Weights, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        _buffer(self, "weight", weights[f"{name}/weight"], dtype)
        _buffer(self, "bias", weights[f"{name}/bias"], dtype)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)

    def convolve(self, x: Tensor, stride: int) -> Tensor:
        """Returns `(B, out, T / stride) float32` of `(B, in, T)` by a kernel of three."""
        return functional.conv1d(x.to(self.weight.dtype), self.weight, self.bias, stride, padding=1).float()


class _Norm(nn.Module):
    gamma: Tensor
    beta: Tensor

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        _buffer(self, "gamma", weights[f"{name}/gamma"])
        _buffer(self, "beta", weights[f"{name}/beta"])

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.gamma.shape, self.gamma, self.beta)


class _Block(nn.Module):
    def __init__(self, weights: Weights, name: str, heads: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = _Norm(weights, f"{name}/self_attention/layer_norm")
        self.projections = _Affine(weights, f"{name}/self_attention/linear_0", dtype)  # queries, keys, values
        self.attention_output = _Affine(weights, f"{name}/self_attention/linear_1", dtype)
        self.feed_forward_norm = _Norm(weights, f"{name}/ffn/layer_norm")
        self.expansion = _Affine(weights, f"{name}/ffn/linear_0", dtype)
        self.contraction = _Affine(weights, f"{name}/ffn/linear_1", dtype)

    def forward(self, x: Tensor) -> Tensor:
        projected = self.projections(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(queries, keys, values)
        x = x + self.attention_output(attended.transpose(1, 2).flatten(2)).float()
        expanded = functional.gelu(self.expansion(self.feed_forward_norm(x)))
        output: Tensor = x + self.contraction(expanded).float()
        return output


def _buffer(
    module: nn.Module, name: str, values: npt.NDArray[np.floating], dtype: torch.dtype = torch.float32
) -> Tensor:
    tensor = torch.from_numpy(np.array(values)).to(dtype)
    module.register_buffer(name, tensor, persistent=False)
    return tensor


def load_whisper_encoder(path: str | Path, dtype: torch.dtype = torch.float32) -> WhisperEncoder:
    """Returns the encoder of a Whisper model in CTranslate2's format, as faster-whisper uses it.

    Args:
        path: its `model.bin`, or the folder that holds it.
        dtype: see `WhisperEncoder`.

    Raises:
        ModelError: the file is absent, damaged or of another model.
    """
    try:
        return WhisperEncoder(read_ctranslate2(path), dtype)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
