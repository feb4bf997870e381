"""The network's recurrences through compiled kernels, for training on a CPU: same parameters, same results, faster.

`fuse_recurrences` swaps the modules in place. Parameters keep their names and identity, so optimizers, state dicts and
checkpoints do not notice. The initial state is taken as a constant (no gradient flows into it).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gtcrn_frontend.nets.gtcrn import GRNN
from gtcrn_frontend.training.gru_kernels import SAVED, backward_kernel, forward_kernel

BLOCK = 128  # sequences side by side: as many as keep a step's arrays in the first-level cache
VECTOR = 16  # float32 in the widest vector register


class Recurrence(torch.autograd.Function):
    """States `(N, S, G * H)` of G GRUs; arguments as in `gru_kernels.forward_kernel`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_i: Tensor, b_i: Tensor, w_h: Tensor, b_h: Tensor, h0: Tensor, columns: Tensor
    ) -> Tensor:
        """Computes the states and keeps what the way back needs."""
        groups, _, hidden = w_h.shape
        x, h0 = x.contiguous(), h0.contiguous()
        count, steps, _ = x.shape
        y = x.new_empty(count, steps, groups * hidden)
        block = BLOCK if count > VECTOR else VECTOR
        saved = x.new_empty(-(-count // block), groups, steps, SAVED * hidden, block)
        kernel = forward_kernel(w_i.shape[2], hidden, block)
        kernel(*(_array(tensor) for tensor in (x, w_i, b_i, w_h, b_h, h0, columns, y, saved)))
        ctx.save_for_backward(x, w_i, w_h, h0, columns, y, saved)
        return y

    @staticmethod
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


class FusedGRU(nn.GRU):
    """One layer, one direction, batch first, as `torch.nn.GRU`."""

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """x `(N, S, inputs)`, h0 `(1, N, hidden)`; returns states `(N, S, hidden)` and the last one."""
        names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
        y = _recurrence(x, [self.get_parameter(name)[None] for name in names], h0.mT, torch.tensor([[0, 0, 0]]))
        return y, y[None, :, -1]


class FusedGRNN(nn.Module):
    """Both GRUs of a `GRNN`, and both directions, in one kernel call."""

    def __init__(self, original: GRNN) -> None:
        super().__init__()
        self.rnn1, self.rnn2 = original.rnn1, original.rnn2

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """As `GRNN.forward`."""
        inputs, hidden = self.rnn1.input_size, self.rnn1.hidden_size
        directions = 2 if self.rnn1.bidirectional else 1
        # Groups run in the order f1 f2 (b1 b2), as the cache has them; features come out as f1 b1 f2 b2.
        groups = [(g, d) for d in range(directions) for g in range(2)]
        columns = torch.tensor([[g * inputs, (g * directions + d) * hidden, d] for g, d in groups])
        weights = [
            torch.stack([(self.rnn1, self.rnn2)[g].get_parameter(f"{name}_l0{'_reverse' * d}") for g, d in groups])
            for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        ]
        h0 = cache.mT.reshape(2 * directions, hidden, -1)
        y = _recurrence(x, weights, h0, columns)
        ends = [y[:, -1 if d == 0 else 0, start : start + hidden] for _, start, d in columns.tolist()]
        return y, torch.cat(ends, dim=-1).view(len(x), directions, -1).transpose(0, 1)


def fuse_recurrences(network: nn.Module) -> None:
    """Replaces every `GRNN` and every plain one-directional GRU below `network` by its fused form, in place."""
    for name, child in network.named_children():
        if isinstance(child, GRNN):
            setattr(network, name, FusedGRNN(child))
        elif type(child) is nn.GRU:
            fused = FusedGRU(child.input_size, child.hidden_size, batch_first=True)
            for parameter, value in child.named_parameters():
                setattr(fused, parameter, value)
            setattr(network, name, fused)
        else:
            fuse_recurrences(child)


def _recurrence(x: Tensor, weights: list[Tensor], h0: Tensor, columns: Tensor) -> Tensor:
    return Recurrence.apply(x, *weights, h0, columns)  # type: ignore[no-any-return,no-untyped-call]


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    return tensor.detach().numpy()
