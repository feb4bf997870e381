"""Size and cost: the published figures, and each kind of layer by hand."""

import pytest
import torch
from torch import nn

from gtcrn_frontend.model_spec import FRCRN_SPEC, GTCRN_SPEC, LITE_RTSE_SPEC, ULUNAS_SPEC, WAVECRN_SPEC
from gtcrn_frontend.nets.complexity import count, network_complexity
from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.nets.sru import SRUCell

B, T = 2, 7


def test_gtcrn_costs_what_its_paper_says():
    complexity = network_complexity("gtcrn")
    assert complexity.parameters == GTCRN_SPEC.parameters == 48245
    assert complexity.trainable == 23669
    assert round(complexity.operations_per_s / 1e6, 1) == 33.0


def test_ulunas_costs_what_its_paper_says():
    complexity = network_complexity("ulunas")
    assert complexity.parameters == ULUNAS_SPEC.parameters == 171328
    assert round(complexity.operations_per_s / 1e6) == 34


def test_lite_rtse_costs_what_its_sources_say():
    complexity = network_complexity("lite_rtse")
    assert complexity.parameters == complexity.trainable == LITE_RTSE_SPEC.parameters
    assert round(complexity.parameters / 1e6, 2) == 1.56
    assert 0.55e9 < complexity.macs_per_s < complexity.operations_per_s < 0.67e9


def test_frcrn_and_wavecrn_have_the_published_sizes():
    frcrn, wavecrn = network_complexity("frcrn"), network_complexity("wavecrn")
    assert frcrn.parameters == FRCRN_SPEC.parameters
    assert frcrn.parameters - frcrn.trainable == 2 * 642 * 640, "the transform, which is fixed"
    assert round(frcrn.parameters / 1e6) == 14
    assert round(wavecrn.parameters / 1e6, 2) == round(WAVECRN_SPEC.parameters / 1e6, 2) == 4.65


def test_the_cost_grows_with_the_signal_only():
    net = GTCRN().eval()
    (one, _), (three, _) = (count(net, torch.zeros(1, 257, frames, 2)) for frames in (4, 12))
    assert three == 3 * one
    complexity = network_complexity("gtcrn")
    assert complexity.macs_per_s == pytest.approx(one / 4 * 62.5)
    assert complexity.macs_per_s < complexity.operations_per_s


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "operations"),
    [
        # out 6 x (in 4 / groups 2 x kernel 3) at 1 x 5 positions, and a bias each
        (nn.Conv2d(4, 6, (1, 3), stride=(1, 2), padding=(0, 1), groups=2), (B, 4, 1, 9), 6 * 6 * 5, 6 * 6 * 5 + 30),
        # every input position meets every weight; counted at the 9 output positions
        (nn.ConvTranspose2d(4, 6, (1, 3), stride=(1, 2), padding=(0, 1)), (B, 4, 1, 5), 72 * 5, 72 * 9 + 54),
        (nn.Linear(5, 3), (B, T, 5), T * 15, T * 18),
        (nn.Linear(5, 3, bias=False), (B, T, 5), T * 15, T * 15),
        # three gates of 4 x (5 + 4); 8 biases per gate unit pair, 4 gating operations per unit
        (nn.GRU(5, 4, batch_first=True), (B, T, 5), T * 108, T * (108 + 24 + 16)),
        (nn.GRU(5, 4, batch_first=True, bidirectional=True), (B, T, 5), T * 216, T * 2 * (108 + 24 + 16)),
        # four gates, 8 biases per unit, ten operations to join them
        (nn.LSTM(5, 4, batch_first=True), (B, T, 5), T * 144, T * (144 + 32 + 40)),
        (nn.Conv1d(1, 4, 6, 3, bias=False), (B, 1, 30), 24 * 9, 24 * 9 + 36),
        (nn.ConvTranspose1d(4, 1, 6, 3, bias=False), (B, 4, 9), 24 * 9, 24 * 30 + 30),
        (nn.BatchNorm2d(3), (B, 3, 2, 5), 0, 60),
        (nn.PReLU(), (B, 3, 2, 5), 0, 30),
    ],
)
def test_a_layer_by_hand(layer, shape, macs, operations):
    assert count(layer.eval(), torch.zeros(shape)) == (B * macs, B * operations)


@pytest.mark.parametrize(("inputs", "matrices"), [(8, 3), (5, 4)])
def test_a_recurrence_of_both_directions_by_hand(inputs, matrices):
    macs = inputs * matrices * 2 * 4
    layer_norm = 2 * inputs
    expected = (B * T * macs, B * T * (macs + 10 * 2 * 4 + layer_norm))
    assert count(SRUCell(inputs, 4).eval(), torch.zeros(T, B, inputs)) == expected


def test_counting_leaves_no_hooks_behind_also_when_the_network_fails():
    net = nn.Linear(3, 2)
    count(net, torch.zeros(1, 3))
    with pytest.raises(RuntimeError):
        count(net, torch.zeros(1, 4))
    assert not net._forward_hooks
