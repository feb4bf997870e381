"""Size and computational cost of a network, counted while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gtcrn_frontend.nets import new_net
from gtcrn_frontend.nets.gtcrn import DPGRNN
from gtcrn_frontend.nets.sru import SRUCell
from gtcrn_frontend.weights.networks import find_network


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a network.

    Attributes:
        parameters: number of parameters, fixed filters included.
        trainable: number of trainable parameters.
        macs_per_s: multiplications by a weight per second of audio.
        operations_per_s: per second of audio, counted as the published figures are (by ptflops on one second of
            signal): one for each multiply-accumulate, bias, activation and residual addition, two for a normalisation;
            transposed convolutions at their output positions; with the frame that centring adds.
    """

    parameters: int
    trainable: int
    macs_per_s: float
    operations_per_s: float


def network_complexity(name: str) -> Complexity:
    """Returns the complexity of a network on one second of audio; `ModelError` if there is no torch module of it."""
    net, spec = new_net(name).eval(), find_network(name).spec
    if spec.domain == "waveform":
        macs, operations = count(net, torch.zeros(1, spec.sample_rate))
        macs_per_s = float(macs)
    else:
        frames = spec.sample_rate // spec.hop_length + 1
        macs, operations = count(net, torch.zeros(1, spec.n_bins, frames, 2))
        macs_per_s = macs / frames * spec.sample_rate / spec.hop_length
    parameters = [(p.numel(), p.requires_grad) for p in net.parameters()]
    trainable = sum(n for n, trained in parameters if trained)
    return Complexity(sum(n for n, _ in parameters), trainable, macs_per_s, float(operations))


@torch.no_grad()
def count(net: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """Returns the multiplications by weights and the operations, see `Complexity`, of one forward pass."""
    totals = [0, 0]

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        macs, operations = _count_layer(module, arguments[0], output)
        totals[0] += macs
        totals[1] += operations

    handles = [m.register_forward_hook(hook) for m in net.modules() if type(m) in _LAYERS]
    try:
        net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return totals[0], totals[1]


def _count_layer(module: nn.Module, x: Tensor, output: Any) -> tuple[int, int]:
    return _LAYERS[type(module)](module, x, output)


def _conv(module: Any, x: Tensor, y: Tensor) -> tuple[int, int]:
    macs = module.weight.numel() * math.prod(y.shape[2:]) * len(x)
    return macs, macs + y.numel()


def _conv_transposed(module: Any, x: Tensor, y: Tensor) -> tuple[int, int]:
    # A stride leaves fewer input positions than outputs; a past that is cropped away leaves fewer outputs.
    inputs, outputs = math.prod(x.shape[2:]), math.prod(y.shape[2:])
    weights = module.weight.numel() * len(x)
    return weights * min(inputs, outputs), weights * outputs + y.numel()


def _linear(module: Any, x: Tensor, y: Tensor) -> tuple[int, int]:
    macs = x.numel() * y.shape[-1]
    return macs, macs + (y.numel() if module.bias is not None else 0)


def _recurrent(module: Any, x: Tensor, _output: Any) -> tuple[int, int]:
    steps = x.shape[0] * x.shape[1]
    weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith("weight"))
    biases = sum(p.numel() for name, p in module.named_parameters() if name.startswith("bias"))
    directions = 2 if module.bidirectional else 1
    # GRU: r * h, then (1 - z) * n + z * h. LSTM: the sums of four gates, f * c + i * g, o * tanh(c) as ptflops has it.
    per_unit = {nn.GRU: 4, nn.LSTM: 10}[type(module)]
    gating = per_unit * module.hidden_size * directions
    return steps * weights, steps * (weights + biases + gating)


def _sru(module: Any, x: Tensor, y: Tensor) -> tuple[int, int]:
    macs = len(x) * x.shape[1] * module.weight.numel()
    # Both gates: a multiply-accumulate, a bias and the sigmoid; both weighted means: two.
    return macs, macs + 10 * y.numel()


def _norm(_module: Any, x: Tensor, _y: Tensor) -> tuple[int, int]:
    return 0, 2 * x.numel()


def _elementwise(_module: Any, x: Tensor, _y: Tensor) -> tuple[int, int]:
    return 0, x.numel()


def _residuals(_module: Any, x: Tensor, _y: Any) -> tuple[int, int]:
    return 0, 2 * x.numel()


_LAYERS: dict[type[nn.Module], Callable[[Any, Tensor, Any], tuple[int, int]]] = {
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.ConvTranspose1d: _conv_transposed,
    nn.ConvTranspose2d: _conv_transposed,
    nn.Linear: _linear,
    nn.GRU: _recurrent,
    nn.LSTM: _recurrent,
    SRUCell: _sru,
    nn.BatchNorm2d: _norm,
    nn.LayerNorm: _norm,
    nn.PReLU: _elementwise,
    nn.Tanh: _elementwise,
    DPGRNN: _residuals,
}
