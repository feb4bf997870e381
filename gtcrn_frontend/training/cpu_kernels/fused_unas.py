"""UL-UNAS's layers in forms that train faster on a CPU: same parameters and results.

- Batch norm and affine PReLU run in compiled loops, and so do energies and gates of the attention.
- A transposed depthwise convolution of stride 1 is a plain one with its kernel flipped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.nets.ulunas import TFA, Layer, Pieces
from gtcrn_frontend.training.cpu_kernels.affine_norm import affine_prelu, affine_prelu_backward, affine_prelu_sums
from gtcrn_frontend.training.cpu_kernels.attention import energies, energies_backward, gate, gate_backward
from gtcrn_frontend.training.cpu_kernels.fused_conv import apply_function, fixed_statistics, track_statistics
from gtcrn_frontend.training.cpu_kernels.norm import moments


class NormAffinePReLU(torch.autograd.Function):
    """Affine PReLU of batch norm of x `(B, C, T, F)`; `statistics` (mean, variance) `(2, C)` are used if given."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, slope: Tensor, eps: float,
        statistics: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Computes the result and the statistics; saves the inputs of the backward pass."""
        x = x.contiguous()
        if statistics is None:
            ctx.count = x.numel() / x.shape[1]
            used = torch.empty(2, x.shape[1], dtype=torch.float64)
            moments(x.flatten(2).numpy(), *used.numpy())
        else:
            ctx.count = None
            used = statistics.double()
        deviation = (used[1] + eps).sqrt()
        scale = (weight / deviation).float()
        shift = (bias - used[0] * weight / deviation).float()
        y = torch.empty_like(x)
        affine_prelu(x.numpy(), scale.numpy(), shift.numpy(), a.numpy(), b.numpy(), slope.numpy(), y.numpy())
        ctx.save_for_backward(x, a, slope, used[0], deviation, scale, shift)
        ctx.mark_non_differentiable(used)
        return y, used

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of each argument."""
        x, a, slope, mean, deviation, scale, shift = ctx.saved_tensors
        dy = gradients[0].contiguous()
        inputs = dy.numpy(), x.numpy(), scale.numpy(), shift.numpy(), a.numpy(), slope.numpy()
        sums = torch.empty(3, len(scale), dtype=torch.float64)
        d_a, d_b, dx = torch.empty_like(a), torch.empty_like(a), torch.empty_like(x)
        affine_prelu_sums(*inputs, sums.numpy(), d_a.numpy(), d_b.numpy())
        d_bias = sums[0]
        d_weight = (sums[1] - mean * d_bias) / deviation
        # dx = scale (g - mean of g - x^ mean of g x^), with x^ = (x - mean) / deviation
        from_x = constant = torch.zeros_like(scale)
        if ctx.count is not None:
            along = scale * d_weight / (ctx.count * deviation)
            from_x, constant = -along.float(), (along * mean - scale * d_bias / ctx.count).float()
        affine_prelu_backward(*inputs, from_x.numpy(), constant.numpy(), dx.numpy())
        return dx, d_weight.float(), d_bias.float(), d_a, d_b, sums[2].float(), None, None


class Energies(torch.autograd.Function):
    """Mean squares of x `(B, C, T, F)` over the bands, `(B, T, C)`, and over the channels, `(B, T, F)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the results and saves x."""
        x = x.contiguous()
        batch, channels, frames, bands = x.shape
        of_channels, of_bands = x.new_empty(batch, frames, channels), x.new_empty(batch, frames, bands)
        energies(x.numpy(), of_channels.numpy(), of_bands.numpy())
        ctx.save_for_backward(x)
        return of_channels, of_bands

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Returns the gradient of x."""
        (x,) = ctx.saved_tensors
        dx = torch.empty_like(x)
        of_channels, of_bands = (gradient.contiguous() for gradient in gradients)
        energies_backward(x.numpy(), of_channels.numpy(), of_bands.numpy(), dx.numpy())
        return dx


class Gate(torch.autograd.Function):
    """x `(B, C, T, F)` times a gate per channel and frame `(B, T, C)` and one per band and frame `(B, T, F)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, of_channels: Tensor, of_bands: Tensor) -> Tensor:
        """Computes the result and saves the arguments."""
        x, of_channels, of_bands = x.contiguous(), of_channels.contiguous(), of_bands.contiguous()
        y = torch.empty_like(x)
        gate(x.numpy(), of_channels.numpy(), of_bands.numpy(), y.numpy())
        ctx.save_for_backward(x, of_channels, of_bands)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Returns the gradient of each argument."""
        x, of_channels, of_bands = ctx.saved_tensors
        dy = gradients[0].contiguous()
        results = torch.empty_like(x), torch.empty_like(of_channels), torch.empty_like(of_bands)
        dx, d_channels, d_bands = (tensor.numpy() for tensor in results)
        gate_backward(dy.numpy(), x.numpy(), of_channels.numpy(), of_bands.numpy(), dx, d_channels, d_bands)
        return results


class FusedTFA(TFA):
    """As `TFA`, made of the parts of one."""

    def __init__(self, original: TFA) -> None:
        nn.Module.__init__(self)  # the parts exist already
        self.ta_gru, self.ta_fc, self.fa = original.ta_gru, original.ta_fc, original.fa

    def forward(self, x: Tensor, tfa: Pieces) -> Tensor:
        """As `TFA.forward`."""
        of_channels, of_bands = apply_function(Energies, x)
        over_time = self.gates_over_time(of_channels, tfa)
        return torch.as_tensor(apply_function(Gate, x, over_time, self.fa(of_bands)))


class FusedLayer(Layer):
    """As `Layer`, made of the parts of one."""

    def __init__(self, original: Layer) -> None:
        nn.ModuleList.__init__(self, [FusedTFA(part) if type(part) is TFA else part for part in original])

    def forward(self, x: Tensor) -> Tensor:
        """As `Layer.forward`."""
        conv, norm, *activations = (part for part in self if not isinstance(part, (TFA, nn.Identity)))
        x = _convolved(conv, x)
        for activation in activations:
            return norm_affine_prelu(x, norm, activation)
        return torch.as_tensor(norm(x))


def norm_affine_prelu(x: Tensor, norm: Any, activation: Any) -> Tensor:
    """Returns `activation(norm(x))` of an `AffinePReLU` and a `BatchNorm2d`, whose statistics are updated."""
    statistics = None if norm.training else fixed_statistics(norm)
    weights = activation.affine_weight, activation.affine_bias, activation.slope_weight
    y, used = apply_function(NormAffinePReLU, x, norm.weight, norm.bias, *weights, norm.eps, statistics)
    if statistics is None:
        track_statistics(norm, used, x.numel() / x.shape[1])
    return torch.as_tensor(y)


def fuse_ulunas(network: nn.Module) -> None:
    """Replaces every `Layer` below `network` by its faster form, in place."""
    for name, child in network.named_children():
        if type(child) is Layer:
            setattr(network, name, FusedLayer(child))
        else:
            fuse_ulunas(child)


def _convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """Returns the convolution of x; where it is transposed with stride 1, by a plain one over the same history."""
    if not isinstance(conv, nn.ConvTranspose2d) or conv.stride != (1, 1):
        return torch.as_tensor(conv(x))
    weight, sides = conv.weight.flip((2, 3)), (0, conv.kernel_size[1] // 2)
    return functional.conv2d(x, weight, conv.bias, padding=sides, groups=conv.groups)
