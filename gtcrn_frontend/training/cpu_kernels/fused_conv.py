"""GTCRN's convolutions in forms that train faster on a CPU: same parameters and results.

- Subband unfolding and the 1x1 convolution after it are one (1, 3) convolution.
- A transposed convolution of stride 1 is a plain one with its kernel flipped.
- A transposed convolution of stride 2 is two plain ones, for even and odd outputs.
- 1x1 and depthwise convolutions, and batch norm with PReLU, run in compiled loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.nets.gtcrn import ConvBlock, GTConvBlock
from gtcrn_frontend.training.cpu_kernels.depthwise import depthwise_backward, depthwise_forward
from gtcrn_frontend.training.cpu_kernels.norm import moments, scale_prelu, scale_prelu_backward, scale_prelu_sums
from gtcrn_frontend.training.cpu_kernels.pointwise import pointwise_gradient_kernel, pointwise_kernel


class Pointwise(torch.autograd.Function):
    """y `(B, O, T, W)` from x `(B, I, T, W)`, w `(O, I, taps)` along bands, and b `(O,)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        """Computes the result and saves the inputs of the backward pass."""
        x, w = x.contiguous(), w.contiguous()
        outputs, inputs, taps = w.shape
        y = x.new_empty(x.shape[0], outputs, *x.shape[2:])
        pointwise_kernel(inputs, outputs, taps)(x.numpy(), w.numpy(), b.numpy(), y.numpy())
        ctx.save_for_backward(x, w)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of each argument."""
        x, w = ctx.saved_tensors
        dy = gradients[0].contiguous()
        outputs, inputs, taps = w.shape
        dx, dw, db = torch.empty_like(x), torch.zeros_like(w), w.new_zeros(outputs)
        pointwise_gradient_kernel(inputs, outputs, taps)(dy.numpy(), x.numpy(), dw.numpy(), db.numpy())
        # The gradient of x is the same convolution with inputs and outputs exchanged and the taps reversed.
        back = w.transpose(0, 1).flip(2).contiguous()
        pointwise_kernel(outputs, inputs, taps)(dy.numpy(), back.numpy(), w.new_zeros(inputs).numpy(), dx.numpy())
        return dx, dw, db


class Depthwise(torch.autograd.Function):
    """y `(B, C, T, W)` from x `(B, C, T + 2 * dilation, W)`, w `(C, 3, 3)` and b `(C,)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, dilation: int) -> Tensor:
        """Computes the result and saves the inputs of the backward pass."""
        x, w = x.contiguous(), w.contiguous()
        batch, channels, frames, bands = x.shape
        y = x.new_empty(batch, channels, frames - 2 * dilation, bands)
        depthwise_forward(x.numpy(), w.numpy(), b.numpy(), dilation, y.numpy())
        ctx.save_for_backward(x, w)
        ctx.dilation = dilation
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of each argument."""
        x, w = ctx.saved_tensors
        dy = gradients[0].contiguous()
        dx, dw = torch.empty_like(x), torch.empty_like(w)
        depthwise_backward(dy.numpy(), x.numpy(), w.numpy(), ctx.dilation, dx.numpy(), dw.numpy())
        return dx, dw, dy.sum((0, 2, 3)), None


class NormPReLU(torch.autograd.Function):
    """PReLU of batch norm of x `(B, C, ...)`; with `statistics` (mean, variance) `(2, C)` given, those are used."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: Tensor, eps: float, statistics: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Computes the result and the statistics; saves the inputs of the backward pass."""
        x = x.contiguous()
        rows = x.flatten(2).numpy()
        if statistics is None:
            ctx.count = rows.shape[0] * rows.shape[2]
            used = torch.empty(2, rows.shape[1], dtype=torch.float64)
            moments(rows, *used.numpy())
        else:
            ctx.count = None
            used = statistics.double()
        deviation = (used[1] + eps).sqrt()
        scale = (weight / deviation).float()
        shift = (bias - used[0] * weight / deviation).float()
        y = torch.empty_like(x)
        scale_prelu(rows, scale.numpy(), shift.numpy(), np.float32(slope.item()), y.flatten(2).numpy())
        ctx.save_for_backward(x, slope, used[0], deviation, scale, shift)
        ctx.mark_non_differentiable(used)
        return y, used

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of each argument."""
        x, slope, mean, deviation, scale, shift = ctx.saved_tensors
        rows, dy = x.flatten(2).numpy(), gradients[0].contiguous().flatten(2).numpy()
        activation = scale.numpy(), shift.numpy(), np.float32(slope.item())
        sums = torch.empty(3, len(scale), dtype=torch.float64)
        scale_prelu_sums(dy, rows, *activation, sums.numpy())
        d_bias, d_slope = sums[0], sums[2].sum()
        d_weight = (sums[1] - mean * d_bias) / deviation
        # dx = scale (g - mean of g - x^ mean of g x^), with x^ = (x - mean) / deviation
        from_x = constant = torch.zeros_like(scale)
        if ctx.count is not None:
            along = scale * d_weight / (ctx.count * deviation)
            from_x, constant = -along.float(), (along * mean - scale * d_bias / ctx.count).float()
        dx = torch.empty_like(x)
        scale_prelu_backward(dy, rows, *activation, from_x.numpy(), constant.numpy(), dx.flatten(2).numpy())
        return dx, d_weight.float(), d_bias.float(), d_slope.float().reshape(1), None, None


def norm_prelu(x: Tensor, norm: nn.BatchNorm2d, activation: nn.PReLU) -> Tensor:
    """Returns `activation(norm(x))`, and updates the statistics of `norm` as it would."""
    statistics = None if norm.training else fixed_statistics(norm)
    y, used = apply_function(NormPReLU, x, norm.weight, norm.bias, activation.weight, norm.eps, statistics)
    if statistics is None:
        track_statistics(norm, used, x.numel() / x.shape[1])
    return torch.as_tensor(y)


def fixed_statistics(norm: nn.BatchNorm2d) -> Tensor:
    """Returns mean and variance that a norm uses in evaluation, `(2, C)`."""
    return torch.stack([norm.get_buffer("running_mean"), norm.get_buffer("running_var")])


@torch.no_grad()
def track_statistics(norm: nn.BatchNorm2d, used: Tensor, count: float) -> None:
    """Updates the statistics of a norm by mean and variance `(2, C)` of a batch with `count` values per channel."""
    batches = norm.get_buffer("num_batches_tracked").add_(1)
    weight = 1 / float(batches) if norm.momentum is None else norm.momentum
    norm.get_buffer("running_mean").lerp_(used[0].float(), weight)
    norm.get_buffer("running_var").lerp_((used[1] * count / (count - 1)).float(), weight)


class FusedConvBlock(ConvBlock):
    """As `ConvBlock`, made of the parts of one."""

    def __init__(self, original: ConvBlock) -> None:
        nn.Module.__init__(self)  # the parts exist already
        self.conv, self.bn, self.act = original.conv, original.bn, original.act

    def forward(self, x: Tensor) -> Tensor:
        """As `ConvBlock.forward`."""
        h = self._upsample(x) if isinstance(self.conv, nn.ConvTranspose2d) else self.conv(x)
        return norm_prelu(h, self.bn, self.act) if isinstance(self.act, nn.PReLU) else self.act(self.bn(h))

    def _upsample(self, x: Tensor) -> Tensor:
        """Returns the transposed convolution, five taps and stride 2: even and odd outputs are convolutions of x."""
        conv = self.conv
        inputs, outputs = conv.in_channels // conv.groups, conv.out_channels // conv.groups
        taps = conv.weight.view(conv.groups, inputs, outputs, 5).transpose(1, 2)
        even, odd = taps[..., (4, 2, 0)], functional.pad(taps[..., (3, 1)], (1, 0))
        weight = torch.stack([even, odd], dim=2).view(-1, inputs, 1, 3)
        bias = conv.bias.repeat_interleave(2)  # type: ignore[union-attr]
        both: Tensor = functional.conv2d(x, weight, bias, padding=(0, 1), groups=conv.groups)
        return both.view(len(x), -1, 2, *x.shape[2:]).permute(0, 1, 3, 4, 2).flatten(3)[..., :-1]


class FusedGTConvBlock(GTConvBlock):
    """As `GTConvBlock`, made of the parts of one."""

    def __init__(self, original: GTConvBlock) -> None:
        nn.Module.__init__(self)  # the parts exist already
        for name, child in original.named_children():
            setattr(self, name, child)
        self.dilation = original.dilation
        self.transposed = isinstance(original.point_conv1, nn.ConvTranspose2d)

    def forward(self, x: Tensor, conv_cache: Tensor, tra_cache: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `GTConvBlock.forward`."""
        convolved, passed = x.chunk(2, dim=1)
        w1, w2 = self._pointwise(self.point_conv1), self._pointwise(self.point_conv2)
        h = apply_function(Pointwise, convolved, w1.reshape(w1.shape[0], -1, 3), self.point_conv1.bias)
        h = norm_prelu(h, self.point_bn1, self.point_act)
        h = torch.cat([conv_cache, h], dim=2)
        new_cache = h[:, :, h.shape[2] - conv_cache.shape[2] :]
        kernel = self.depth_conv.weight[:, 0]
        if self.transposed:
            kernel = kernel.flip((1, 2))
        h = apply_function(Depthwise, h, kernel, self.depth_conv.bias, self.dilation)
        h = norm_prelu(h, self.depth_bn, self.depth_act)
        h = self.point_bn2(apply_function(Pointwise, h, w2, self.point_conv2.bias))
        h, tra_cache = self.tra(h, tra_cache)
        return torch.stack([h, passed], dim=2).flatten(1, 2), new_cache, tra_cache

    def _pointwise(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
        """Returns the weight `(outputs, inputs, 1)` of a 1x1 convolution or of its transpose."""
        return (conv.weight.transpose(0, 1) if self.transposed else conv.weight)[..., 0]


def fuse_convolutions(network: nn.Module) -> None:
    """Replaces every `ConvBlock` and `GTConvBlock` below `network` by its faster form, in place."""
    for name, child in network.named_children():
        if type(child) is GTConvBlock:
            setattr(network, name, FusedGTConvBlock(child))
        elif type(child) is ConvBlock:
            setattr(network, name, FusedConvBlock(child))
        else:
            fuse_convolutions(child)


def apply_function(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """Returns what `function.apply` returns; torch does not declare its type."""
    return function.apply(*arguments)  # type: ignore[no-untyped-call]
