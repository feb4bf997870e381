"""SRU in torch: its equations step by step, and which way each direction looks."""

import numpy as np
import pytest
import torch

from gtcrn_frontend.nets.sru import SRU, SRUCell


def drawn(layer, seed=0):
    """The layer with all parameters random, also those that begin as constants."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in layer.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return layer.eval().requires_grad_(False)


def step_by_step(layer, x):
    """The equations of the paper for one direction after the other, one step after the other, in numpy."""
    steps, batch, inputs = x.shape
    hidden = layer.hidden
    normed = torch.nn.functional.layer_norm(
        torch.from_numpy(x), (inputs,), layer.layer_norm.weight, layer.layer_norm.bias
    )
    u = (normed.numpy() @ layer.weight.numpy()).reshape(steps, batch, 2, hidden, layer.matrices)
    v_f, v_r = layer.weight_c.numpy().reshape(2, 2, hidden)
    b_f, b_r = layer.bias.numpy().reshape(2, 2, hidden)
    carried = x.reshape(steps, batch, 2, hidden) if layer.matrices == 3 else u[..., 3]
    out = np.empty((steps, batch, 2, hidden), np.float32)
    for direction, order in ((0, range(steps)), (1, reversed(range(steps)))):
        c = np.zeros((batch, hidden), np.float32)
        for t in order:
            w = u[t, :, direction]
            f = 1 / (1 + np.exp(-(w[..., 1] + v_f[direction] * c + b_f[direction])))
            r = 1 / (1 + np.exp(-(w[..., 2] + v_r[direction] * c + b_r[direction])))
            c = f * c + (1 - f) * w[..., 0]
            out[t, :, direction] = r * c + (1 - r) * carried[t, :, direction]
    return out.reshape(steps, batch, 2 * hidden)


@pytest.mark.parametrize(("inputs", "hidden", "steps"), [(6, 4, 9), (8, 4, 9), (3, 2, 1)])
def test_a_layer_is_its_equations(inputs, hidden, steps):
    layer = drawn(SRUCell(inputs, hidden))
    x = np.random.default_rng(1).normal(0, 1, (steps, 3, inputs)).astype(np.float32)
    np.testing.assert_allclose(layer(torch.from_numpy(x)), step_by_step(layer, x), rtol=1e-4, atol=1e-5)


def test_the_first_half_sees_the_past_and_the_second_the_future():
    layer = drawn(SRUCell(5, 4))
    x = torch.randn(12, 1, 5, generator=torch.Generator().manual_seed(3))
    changed = x.clone()
    changed[6, 0, :2] += 1
    moved = (layer(x) != layer(changed))[:, 0]
    assert not moved[:6, :4].any()
    assert moved[6:, :4].any(dim=1).all()
    assert not moved[7:, 4:].any()
    assert moved[:7, 4:].any(dim=1).all()


def test_a_stack_has_the_parameters_of_the_package():
    shapes = {name: tuple(tensor.shape) for name, tensor in SRU(6, 4, 2).state_dict().items()}
    assert shapes == {
        "rnn_lst.0.weight": (6, 32),
        "rnn_lst.0.weight_c": (16,),
        "rnn_lst.0.bias": (16,),
        "rnn_lst.0.scale_x": (1,),
        "rnn_lst.0.layer_norm.weight": (6,),
        "rnn_lst.0.layer_norm.bias": (6,),
        "rnn_lst.1.weight": (8, 24),
        "rnn_lst.1.weight_c": (16,),
        "rnn_lst.1.bias": (16,),
        "rnn_lst.1.scale_x": (1,),
        "rnn_lst.1.layer_norm.weight": (8,),
        "rnn_lst.1.layer_norm.bias": (8,),
    }


def test_every_parameter_gets_a_gradient():
    layer = SRU(6, 4, 2)
    layer(torch.randn(5, 2, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
