"""The faster forms of the layers compute what the plain network computes: values, gradients, statistics."""

import copy

import pytest
import torch
from torch import nn

from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.nets.ulunas import ULUNAS, AffinePReLU
from gtcrn_frontend.training.cpu_kernels.fused_conv import fuse_convolutions
from gtcrn_frontend.training.cpu_kernels.fused_gru import FEW, fuse_recurrences
from gtcrn_frontend.training.cpu_kernels.fused_unas import fuse_ulunas

NETWORKS = pytest.mark.parametrize("network", [GTCRN, ULUNAS])


def fuse(network):
    fuse_recurrences(network)
    fuse_convolutions(network)
    fuse_ulunas(network)


@pytest.fixture(scope="module", params=[GTCRN, ULUNAS])
def networks(request):
    torch.manual_seed(0)
    plain = request.param()
    for norm in plain.modules():  # away from 0 and 1, where mistakes would not show
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
            nn.init.normal_(norm.running_mean, 0, 0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
        if isinstance(norm, AffinePReLU):
            nn.init.uniform_(norm.affine_weight, 0.5, 1.5)
            nn.init.normal_(norm.affine_bias, 0, 0.3)
            nn.init.uniform_(norm.slope_weight, -0.2, 0.8)
    fused = copy.deepcopy(plain)
    fuse(fused)
    return plain, fused


@NETWORKS
def test_parameters_keep_names_and_identity(network):
    network = network()
    before = dict(network.named_parameters())
    names = list(network.state_dict())
    fuse(network)
    assert list(network.state_dict()) == names
    assert all(before[name] is parameter for name, parameter in network.named_parameters())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (3, 37), (FEW + 1, 5)])
def test_values_and_gradients_agree(networks, frozen, batch, frames):
    plain, fused = (copy.deepcopy(network).train() for network in networks)
    if frozen:
        for network in (plain, fused):
            for norm in network.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.eval()
    torch.manual_seed(frames)
    spec = 0.3 * torch.randn(batch, 257, frames, 2)
    weight = torch.randn_like(spec)
    outputs = []
    for network in (plain, fused):
        outputs.append(network(spec))
        (outputs[-1] * weight).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-4, rtol=1e-4)
    scale = torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None]).norm()
    for (name, theirs), ours in zip(plain.named_parameters(), fused.parameters(), strict=True):
        if theirs.grad is None:
            assert ours.grad is None, name
        else:
            # rounding may give a value near zero the other slope of its activation
            assert (ours.grad - theirs.grad).norm() < 5e-4 * scale, name
    for (name, theirs), ours in zip(plain.named_buffers(), fused.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)


def test_each_gradient_agrees_where_no_norm_hides_it(networks):
    plain, fused = (copy.deepcopy(network).double().float().eval() for network in networks)
    spec = 0.3 * torch.randn(2, 257, 21, 2)
    for network in (plain, fused):
        network(spec).square().sum().backward()
    for (name, theirs), ours in zip(plain.named_parameters(), fused.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(
                ours.grad, theirs.grad, atol=1e-4 * float(theirs.grad.abs().max()), rtol=1e-3, msg=name
            )


def test_a_stream_may_start_from_any_state(networks):
    plain, fused = (copy.deepcopy(network).eval() for network in networks)
    spec = 0.3 * torch.randn(1, 257, 20, 2)
    with torch.no_grad():
        _, cache = plain.stream(spec[:, :, :9], plain.new_cache())
        expected, last = plain.stream(spec[:, :, 9:], cache)
        ours, our_last = fused.stream(spec[:, :, 9:], cache)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    for theirs, mine in zip(last, our_last, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sequences", [FEW, FEW + 1])
def test_gradients_of_gradients_are_refused(sequences):
    network = nn.Sequential(nn.GRU(3, 4, batch_first=True))
    fuse_recurrences(network)
    y, _ = network[0](torch.randn(sequences, 5, 3), torch.zeros(1, sequences, 4))
    (gradient,) = torch.autograd.grad(y.square().sum(), network[0].weight_hh_l0, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.square().sum().backward()
