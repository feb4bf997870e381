"""SRU: bidirectional simple recurrent units in plain torch.

Source: Lei et al., "Simple Recurrent Units for Highly Parallelizable Recurrence", EMNLP 2018. Results and parameter
names are those of the package `sru` 2.6, with layer norm before each layer and without rescaling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIRECTIONS = 2
GATES = 2  # forget and reset


class SRUCell(nn.Module):
    """One bidirectional layer.

    Args:
        inputs: features of the input.
        hidden: features of each direction of the output.
    """

    scale_x: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        outputs = DIRECTIONS * hidden
        # The highway connection needs equal sizes: where they differ, a fourth matrix projects the input.
        self.matrices = 3 if inputs == outputs else 4
        self.weight = nn.Parameter(torch.empty(inputs, outputs * self.matrices))
        self.weight_c = nn.Parameter(torch.empty(GATES * outputs))
        self.bias = nn.Parameter(torch.zeros(GATES * outputs))
        self.register_buffer("scale_x", torch.ones(1))  # of rescaling, which is off: kept for checkpoints only
        self.layer_norm = nn.LayerNorm(inputs)
        self._initialise()

    def _initialise(self) -> None:
        """Initialises as the package does: uniform with variance 1 / inputs, times 0.1, less for gates."""
        inputs = self.weight.shape[0]
        with torch.no_grad():
            self.weight.uniform_(-((3 / inputs) ** 0.5), (3 / inputs) ** 0.5).mul_(0.1)
            self.weight.view(inputs, -1, self.matrices)[..., 1:3].mul_(0.5**0.5)
            self.weight_c.uniform_(-(3**0.5), 3**0.5).mul_(0.5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Returns `(T, B, 2 * hidden)` for x `(T, B, inputs)`: forward direction, then backward direction.

        c_t = f_t c_{t-1} + (1 - f_t) u_t with f_t = sigmoid(W_f x_t + v_f c_{t-1} + b_f), and
        h_t = r_t c_t + (1 - r_t) x_t with r_t = sigmoid(W_r x_t + v_r c_{t-1} + b_r).
        """
        steps, batch, _ = x.shape
        shape = (steps, batch, DIRECTIONS, self.hidden)
        projected = (self.layer_norm(x) @ self.weight).view(*shape, self.matrices)
        highway = x.view(shape) if self.matrices == 3 else projected[..., 3]
        forget_c, reset_c = self.weight_c.view(GATES, DIRECTIONS, self.hidden)
        forget_bias, reset_bias = self.bias.view(GATES, DIRECTIONS, self.hidden)

        # Both directions in one loop: the second runs over flipped time.
        candidate = _flip_second(projected[..., 0])
        forget = _flip_second(projected[..., 1] + forget_bias)
        reset = _flip_second(projected[..., 2] + reset_bias)
        cell = x.new_zeros(shape[1:])
        cells = [cell]
        for new, forgotten in zip(candidate.unbind(0), forget.unbind(0), strict=True):
            cell = torch.lerp(new, cell, torch.sigmoid(torch.addcmul(forgotten, cell, forget_c)))
            cells.append(cell)
        history = torch.stack(cells)
        # The reset gate is not part of the recurrence: all its steps at once.
        gate = torch.sigmoid(torch.addcmul(reset, history[:-1], reset_c))
        return torch.lerp(highway, _flip_second(history[1:]), _flip_second(gate)).flatten(2)


class SRU(nn.Module):
    """Stack of SRU layers; parameter names are those of the package."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        widths = [inputs] + [DIRECTIONS * hidden] * (layers - 1)
        self.rnn_lst = nn.ModuleList(SRUCell(width, hidden) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """Returns `(T, B, 2 * hidden)` for x `(T, B, inputs)`."""
        for layer in self.rnn_lst:
            x = layer(x)
        return x


def _flip_second(x: Tensor) -> Tensor:
    """Reverses time for the second direction of x `(T, B, 2, hidden)`."""
    first, second = x.unbind(2)
    return torch.stack([first, second.flip(0)], dim=2)
