"""Recurrent layers on compiled kernels, for training on a CPU: same parameters and results, faster.

`fuse_recurrences` replaces modules in place. Parameters keep their names and identity, so optimizers, state dicts and
checkpoints are not affected. No gradient is computed for the initial state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gtcrn_frontend.nets.gtcrn import GRNN
from gtcrn_frontend.training.cpu_kernels.gru import SAVED, backward_few, backward_kernel, forward_few, forward_kernel

MAX_BLOCK = 144  # sequences in parallel, so that a step's arrays fit into the first-level cache
VECTOR = 16  # float32 in the widest vector register
_PARAMETERS = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
FEW = 8  # up to so many sequences, processing them one by one is faster


class Recurrence(torch.autograd.Function):
    """States `(N, S, G * H)` of G GRUs; arguments as in `gru.forward_kernel`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_i: Tensor, b_i: Tensor, w_h: Tensor, b_h: Tensor, h0: Tensor, columns: Tensor
    ) -> Tensor:
        """Computes the states and saves the inputs of the backward pass."""
        groups, _, hidden = w_h.shape
        x, h0 = x.contiguous(), h0.contiguous()
        count, steps, _ = x.shape
        y = x.new_empty(count, steps, groups * hidden)
        block = _block(count)
        saved = x.new_empty(-(-count // block), groups, steps, SAVED * hidden, block)
        kernel = forward_kernel(w_i.shape[2], hidden, block)
        kernel(*(_array(tensor) for tensor in (x, w_i, b_i, w_h, b_h, h0, columns, y, saved)))
        ctx.save_for_backward(x, w_i, w_h, h0, columns, y, saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of each argument."""
        x, w_i, w_h = ctx.saved_tensors[:3]
        block = ctx.saved_tensors[-1].shape[-1]
        biases = w_h.shape[:2]
        results = [torch.zeros_like(x), torch.zeros_like(w_i), torch.zeros_like(w_h), x.new_zeros(biases)]
        results.append(x.new_zeros(biases))
        kernel = backward_kernel(w_i.shape[2], w_h.shape[2], block)
        kernel(*(_array(tensor) for tensor in (gradients[0].contiguous(), *ctx.saved_tensors, *results)))
        dx, dw_i, dw_h, db_i, db_h = results
        return dx, dw_i, db_i, dw_h, db_h, None, None


class FewRecurrence(torch.autograd.Function):
    """States `(N, S, H)` of one GRU with few sequences; arguments as in `gru.forward_few`."""

    @staticmethod
    def forward(ctx: Any, from_x: Tensor, w_h: Tensor, b_h: Tensor, h0: Tensor) -> Tensor:
        """Computes the states and saves the inputs of the backward pass; w_h is `(3 * H, H)` here."""
        from_x, w_h, h0 = from_x.contiguous(), w_h.contiguous(), h0.contiguous()
        count, steps, _ = from_x.shape
        hidden = w_h.shape[1]
        y = from_x.new_empty(count, steps, hidden)
        saved = from_x.new_empty(count, steps, SAVED * hidden)
        forward_few(hidden)(*map(_array, (from_x, w_h.mT.contiguous(), b_h, h0, y, saved)))
        ctx.save_for_backward(w_h, h0, y, saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of each argument."""
        w_h, h0, y, _ = ctx.saved_tensors
        hidden = w_h.shape[1]
        d_x, d_m = y.new_empty(*y.shape[:2], 3 * hidden), torch.empty_like(y)
        backward_few(hidden)(*map(_array, (gradients[0].contiguous(), *ctx.saved_tensors, d_x, d_m)))
        d_h = torch.cat([d_x[..., : 2 * hidden], d_m], dim=-1).flatten(0, 1)
        before = torch.cat([h0[:, None], y[:, :-1]], dim=1).flatten(0, 1)
        return d_x, d_h.mT @ before, d_h.sum(dim=0), None


class FusedGRU(nn.GRU):
    """One layer, one or two directions, batch first, as `torch.nn.GRU`."""

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """x `(N, S, inputs)`, h0 `(directions, N, hidden)`; returns states `(N, S, directions * hidden)`, last ones."""
        if self.bidirectional:
            return self._both_directions(x, h0)
        w_i, b_i, w_h, b_h = (self.get_parameter(f"{name}_l0") for name in _PARAMETERS)
        if len(x) <= FEW:
            from_x = nn.functional.linear(x, w_i, b_i)
            y: Tensor = FewRecurrence.apply(from_x, w_h, b_h, h0[0])  # type: ignore[no-untyped-call]
        else:
            y = _recurrence(x, [weight[None] for weight in (w_i, b_i, w_h, b_h)], h0.mT, torch.tensor([[0, 0, 0]]))
        return y, y[None, :, -1]

    def _both_directions(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden_size
        weights = [
            torch.stack([self.get_parameter(f"{name}_l0{suffix}") for suffix in ("", "_reverse")])
            for name in _PARAMETERS
        ]
        y = _recurrence(x, weights, h0.mT, torch.tensor([[0, 0, 0], [0, hidden, 1]]))
        return y, torch.stack([y[:, -1, :hidden], y[:, 0, hidden:]])


class FusedGRNN(nn.Module):
    """Both GRUs of a `GRNN`, and both directions, in one kernel call."""

    def __init__(self, original: GRNN) -> None:
        super().__init__()
        self.rnn1, self.rnn2 = original.rnn1, original.rnn2

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """As `GRNN.forward`."""
        inputs, hidden = self.rnn1.input_size, self.rnn1.hidden_size
        directions = 2 if self.rnn1.bidirectional else 1
        # Groups are ordered f1 f2 (b1 b2), as in the cache; output features f1 b1 f2 b2.
        groups = [(g, d) for d in range(directions) for g in range(2)]
        columns = torch.tensor([[g * inputs, (g * directions + d) * hidden, d] for g, d in groups])
        weights = [
            torch.stack([(self.rnn1, self.rnn2)[g].get_parameter(f"{name}_l0{'_reverse' * d}") for g, d in groups])
            for name in _PARAMETERS
        ]
        h0 = cache.mT.reshape(2 * directions, hidden, -1)
        y = _recurrence(x, weights, h0, columns)
        ends = [y[:, -1 if d == 0 else 0, start : start + hidden] for _, start, d in columns.tolist()]
        return y, torch.cat(ends, dim=-1).view(len(x), directions, -1).transpose(0, 1)


def fuse_recurrences(network: nn.Module) -> None:
    """Replaces every `GRNN` and every plain GRU below `network` by its fused form, in place."""
    for name, child in network.named_children():
        if isinstance(child, GRNN):
            setattr(network, name, FusedGRNN(child))
        elif type(child) is nn.GRU:
            sizes = child.input_size, child.hidden_size
            fused = FusedGRU(*sizes, batch_first=True, bidirectional=child.bidirectional)
            for parameter, value in child.named_parameters():
                setattr(fused, parameter, value)
            setattr(network, name, fused)
        else:
            fuse_recurrences(child)


def _block(count: int) -> int:
    """Returns the block size for `count` sequences: whole vectors with few unused lanes."""
    blocks = max(-(-count // MAX_BLOCK), 1)
    return -(-count // (blocks * VECTOR)) * VECTOR


def _recurrence(x: Tensor, weights: list[Tensor], h0: Tensor, columns: Tensor) -> Tensor:
    return Recurrence.apply(x, *weights, h0, columns)  # type: ignore[no-any-return,no-untyped-call]


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    return tensor.detach().numpy()
