"""The four identities of folding, each against torch's own layers, on random weights and statistics."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.nets.gtcrn import DILATIONS, GTCRN
from gtcrn_frontend.weights.fold import fold_gtcrn

CLOSE = {"atol": 2e-5, "rtol": 2e-5}
TEMPORAL = {
    **{f"en{i}": ("encoder", i, dilation) for i, dilation in zip((2, 3, 4), DILATIONS, strict=True)},
    **{f"de{i}": ("decoder", i, dilation) for i, dilation in zip((0, 1, 2), reversed(DILATIONS), strict=True)},
}


@pytest.fixture(scope="module")
def net(random_parameters):
    net = GTCRN().eval().requires_grad_(False)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in random_parameters.items()})
    return net


@pytest.fixture(scope="module")
def folded(random_parameters):
    return {name: torch.from_numpy(array) for name, array in fold_gtcrn(random_parameters).items()}


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(len(shape)).normal(0, 1, shape).astype(np.float32))


def with_weights(gru, folded, name, direction=None):
    """The torch GRU with folded weights; of one direction where they have several."""
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        array = folded[f"{name}.{kind}"]
        if direction is None:
            getattr(gru, f"{kind}_l0").data = array
        else:
            for index, suffix in enumerate(("", "_reverse")):
                getattr(gru, f"{kind}_l0{suffix}").data = array[index]
    return gru.eval().requires_grad_(False)


def test_the_arrays_are_plain_and_as_documented(random_parameters):
    before = {name: array.copy() for name, array in random_parameters.items()}
    arrays = fold_gtcrn(random_parameters)
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays.values())
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes["erb.merge"] == (64, 192)
    assert shapes["erb.spread"] == (192, 64)
    assert shapes["en2.point1.weight"] == (16, 8, 1, 3)
    assert shapes["de0.depth.weight"] == (16, 1, 3, 3)
    assert shapes["de1.point2.weight"] == (8, 16, 1, 1)
    assert shapes["de3.weight"] == (16, 8, 1, 5)
    assert shapes["de4.weight"] == (16, 2, 1, 5)
    assert shapes["en4.gru.weight_ih"] == (48, 8)
    assert shapes["dp1.intra.gru.weight_ih"] == (2, 24, 16)
    assert shapes["dp2.inter.gru.weight_hh"] == (48, 16)
    assert shapes["dp2.inter.ln.bias"] == (33, 16)
    assert {name for name in shapes if name.endswith("slope")} == {
        *("en0.slope", "en1.slope", "de3.slope"),
        *(f"{block}.{layer}.slope" for block in TEMPORAL for layer in ("point1", "depth")),
    }
    for name, array in random_parameters.items():
        np.testing.assert_array_equal(array, before[name])


def test_the_filters_are_passed_on(random_parameters):
    arrays = fold_gtcrn(random_parameters)
    np.testing.assert_array_equal(arrays["erb.merge"], random_parameters["erb.erb_fc.weight"])
    np.testing.assert_array_equal(arrays["erb.spread"], random_parameters["erb.ierb_fc.weight"])


@pytest.mark.parametrize(("name", "index", "channels", "width"), [("en0", 0, 9, 129), ("en1", 1, 16, 65)])
def test_batch_norm_folds_into_a_convolution(net, folded, name, index, channels, width):
    x = noise(2, channels, 3, width)
    weight, bias, slope = (folded[f"{name}.{kind}"] for kind in ("weight", "bias", "slope"))
    y = functional.conv2d(x, weight, bias, stride=(1, 2), padding=(0, 2), groups=channels // weight.shape[1])
    torch.testing.assert_close(functional.prelu(y, slope), net.encoder.en_convs[index](x), **CLOSE)


@pytest.mark.parametrize(("name", "index", "width", "groups"), [("de3", 3, 33, 2), ("de4", 4, 65, 1)])
def test_batch_norm_folds_into_a_transposed_convolution(net, folded, name, index, width, groups):
    x = noise(2, 16, 3, width)
    weight, bias = folded[f"{name}.weight"], folded[f"{name}.bias"]
    y = functional.conv_transpose2d(x, weight, bias, stride=(1, 2), padding=(0, 2), groups=groups)
    y = torch.tanh(y) if name == "de4" else functional.prelu(y, folded[f"{name}.slope"])
    torch.testing.assert_close(y, net.decoder.de_convs[index](x), **CLOSE)


@pytest.mark.parametrize("name", TEMPORAL)
def test_unfolding_and_a_point_convolution_are_one_convolution_of_width_three(net, folded, name):
    part, index, _ = TEMPORAL[name]
    block = (net.encoder.en_convs if part == "encoder" else net.decoder.de_convs)[index]
    x = noise(2, 8, 3, 33)
    # torch's own unfolding: channel c * 3 + k holds band f + k - 1
    unfolded = functional.unfold(x, (1, 3), padding=(0, 1)).reshape(2, 24, 3, 33)
    y = functional.conv2d(x, folded[f"{name}.point1.weight"], folded[f"{name}.point1.bias"], padding=(0, 1))
    torch.testing.assert_close(y, block.point_bn1(block.point_conv1(unfolded)), **CLOSE)


@pytest.mark.parametrize("name", TEMPORAL)
def test_a_depthwise_transposed_convolution_is_one_with_the_kernel_flipped(net, folded, name):
    part, index, dilation = TEMPORAL[name]
    block = (net.encoder.en_convs if part == "encoder" else net.decoder.de_convs)[index]
    x = noise(2, 16, 2 * dilation + 4, 33)
    weight, bias = folded[f"{name}.depth.weight"], folded[f"{name}.depth.bias"]
    y = functional.conv2d(x, weight, bias, padding=(0, 1), dilation=(dilation, 1), groups=16)
    torch.testing.assert_close(y, block.depth_bn(block.depth_conv(x)), **CLOSE)


@pytest.mark.parametrize("name", TEMPORAL)
def test_a_whole_temporal_block(net, folded, name):
    part, index, dilation = TEMPORAL[name]
    block = (net.encoder.en_convs if part == "encoder" else net.decoder.de_convs)[index]
    x, past, hidden = noise(2, 16, 5, 33), noise(1, 2, 16, 2 * dilation, 33)[0], noise(2, 16)
    f = {key.removeprefix(f"{name}."): array for key, array in folded.items() if key.startswith(f"{name}.")}
    h = functional.conv2d(x[:, :8], f["point1.weight"], f["point1.bias"], padding=(0, 1))
    h = torch.cat([past, functional.prelu(h, f["point1.slope"])], dim=2)
    h = functional.conv2d(h, f["depth.weight"], f["depth.bias"], padding=(0, 1), dilation=(dilation, 1), groups=16)
    h = functional.conv2d(functional.prelu(h, f["depth.slope"]), f["point2.weight"], f["point2.bias"])
    gru = with_weights(nn.GRU(8, 16, batch_first=True), folded, f"{name}.gru")
    y, _ = gru(h.square().mean(dim=-1).transpose(1, 2), hidden[None])
    h = h * torch.sigmoid(functional.linear(y, f["fc.weight"], f["fc.bias"])).transpose(1, 2)[..., None]
    expected, _, _ = block(x, past, hidden)
    torch.testing.assert_close(torch.stack([h, x[:, 8:]], dim=2).flatten(1, 2), expected, **CLOSE)


@pytest.mark.parametrize("name", ["dp1", "dp2"])
def test_two_grouped_recurrences_are_one(net, folded, name):
    group = getattr(net, name.replace("dp", "dpgrnn")).inter_rnn
    gru = with_weights(nn.GRU(16, 16, batch_first=True), folded, f"{name}.inter.gru")
    x, hidden = noise(33, 7, 16), noise(1, 33, 16)
    for merged, grouped in zip(gru(x, hidden), group(x, hidden), strict=True):
        torch.testing.assert_close(merged, grouped, **CLOSE)


@pytest.mark.parametrize("name", ["dp1", "dp2"])
def test_two_grouped_recurrences_in_both_directions_are_one_up_to_the_order_that_the_linear_layer_reads(
    net, folded, name
):
    block = getattr(net, name.replace("dp", "dpgrnn"))
    gru = with_weights(nn.GRU(16, 8, batch_first=True, bidirectional=True), folded, f"{name}.intra.gru", direction=2)
    x, zeros = noise(5, 33, 16), torch.zeros(2, 5, 8)
    merged, grouped = gru(x, zeros)[0], block.intra_rnn(x, zeros)[0]
    f1, b1, f2, b2 = grouped.split(4, dim=-1)
    torch.testing.assert_close(merged, torch.cat([f1, f2, b1, b2], dim=-1), **CLOSE)
    fc = functional.linear(merged, folded[f"{name}.intra.fc.weight"], folded[f"{name}.intra.fc.bias"])
    torch.testing.assert_close(fc, block.intra_fc(grouped), **CLOSE)


def test_a_channel_that_never_varied_stays_finite(random_parameters):
    name = "encoder.en_convs.0.bn.running_var"
    arrays = fold_gtcrn(random_parameters | {name: np.zeros(16, np.float32)})
    assert np.isfinite(arrays["en0.weight"]).all()


def test_other_parameters_are_refused(random_parameters):
    with pytest.raises(ModelError, match="missing"):
        fold_gtcrn({name: array for name, array in random_parameters.items() if "dpgrnn2" not in name})
