"""Parameter names and shapes of the networks, without batch counters; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator

Shape = tuple[int, ...]


def gtcrn_parameters() -> dict[str, Shape]:
    """Returns the shape of each tensor of a GTCRN state dict, by name."""
    return dict(_gtcrn())


def lite_rtse_parameters() -> dict[str, Shape]:
    """Returns the shape of each tensor of a Lite-RTSE state dict, by name."""
    return dict(_lite_rtse())


def _gtcrn() -> Iterator[tuple[str, Shape]]:
    yield "erb.erb_fc.weight", (64, 192)
    yield "erb.ierb_fc.weight", (192, 64)
    yield from _conv_block("encoder.en_convs.0", (16, 9, 1, 5), outputs=16)
    yield from _conv_block("encoder.en_convs.1", (16, 8, 1, 5), outputs=16)
    for i in (2, 3, 4):
        yield from _gt_conv_block(f"encoder.en_convs.{i}", transposed=False)
    for path in ("dpgrnn1", "dpgrnn2"):
        yield from dual_path_shapes(path)
    for i in (0, 1, 2):
        yield from _gt_conv_block(f"decoder.de_convs.{i}", transposed=True)
    yield from _conv_block("decoder.de_convs.3", (16, 8, 1, 5), outputs=16)
    yield from _conv_block("decoder.de_convs.4", (16, 2, 1, 5), outputs=2, activated=False)


def _conv_block(path: str, weight: Shape, *, outputs: int, activated: bool = True) -> Iterator[tuple[str, Shape]]:
    yield from conv_shapes(f"{path}.conv", weight, outputs)
    yield from norm_shapes(f"{path}.bn", outputs)
    if activated:
        yield f"{path}.act.weight", (1,)


def _gt_conv_block(path: str, *, transposed: bool) -> Iterator[tuple[str, Shape]]:
    point1, point2 = ((24, 16), (16, 8)) if transposed else ((16, 24), (8, 16))
    yield from conv_shapes(f"{path}.point_conv1", (*point1, 1, 1), 16)
    yield from norm_shapes(f"{path}.point_bn1", 16)
    yield f"{path}.point_act.weight", (1,)
    yield from conv_shapes(f"{path}.depth_conv", (16, 1, 3, 3), 16)
    yield from norm_shapes(f"{path}.depth_bn", 16)
    yield f"{path}.depth_act.weight", (1,)
    yield from conv_shapes(f"{path}.point_conv2", (*point2, 1, 1), 8)
    yield from norm_shapes(f"{path}.point_bn2", 8)
    yield from gru_shapes(f"{path}.tra.att_gru", 8, 16)
    yield from linear_shapes(f"{path}.tra.att_fc", 16, 8)


def dual_path_shapes(path: str) -> Iterator[tuple[str, Shape]]:
    """Yields name and shape of each tensor of a dual-path block of 16 channels and 33 bands."""
    for group in ("rnn1", "rnn2"):
        yield from gru_shapes(f"{path}.intra_rnn.{group}", 8, 4)
        yield from gru_shapes(f"{path}.intra_rnn.{group}", 8, 4, "_reverse")
        yield from gru_shapes(f"{path}.inter_rnn.{group}", 8, 8)
    for stage in ("intra", "inter"):
        yield from linear_shapes(f"{path}.{stage}_fc", 16, 16)
        yield f"{path}.{stage}_ln.weight", (33, 16)
        yield f"{path}.{stage}_ln.bias", (33, 16)


def conv_shapes(path: str, weight: Shape, outputs: int) -> Iterator[tuple[str, Shape]]:
    """Yields name and shape of each tensor of a convolution with bias."""
    yield f"{path}.weight", weight
    yield f"{path}.bias", (outputs,)


def norm_shapes(path: str, channels: int) -> Iterator[tuple[str, Shape]]:
    """Yields name and shape of each tensor of a batch norm."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{path}.{name}", (channels,)


def linear_shapes(path: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    """Yields name and shape of each tensor of a linear layer with bias."""
    yield f"{path}.weight", (outputs, inputs)
    yield f"{path}.bias", (outputs,)


def gru_shapes(path: str, inputs: int, hidden: int, suffix: str = "") -> Iterator[tuple[str, Shape]]:
    """Yields name and shape of each tensor of one direction of a GRU."""
    yield f"{path}.weight_ih_l0{suffix}", (3 * hidden, inputs)
    yield f"{path}.weight_hh_l0{suffix}", (3 * hidden, hidden)
    yield f"{path}.bias_ih_l0{suffix}", (3 * hidden,)
    yield f"{path}.bias_hh_l0{suffix}", (3 * hidden,)


def _lite_rtse() -> Iterator[tuple[str, Shape]]:
    bins, channels, order = 257, 64, 5
    yield from _lstm("lstm1", bins, bins)
    yield from linear_shapes("fc1", bins, bins)
    for i, inputs in enumerate((1, channels // 2)):
        path = f"msmo_conv.{i}"
        yield from conv_shapes(f"{path}.conv.0", (channels // 2, inputs, 1, 1), channels // 2)
        yield from conv_shapes(f"{path}.conv.2", (channels // 2, 1, 3, 3), channels // 2)
        yield from conv_shapes(f"{path}.conv.3", (channels // 2, channels // 2, 1, 1), channels // 2)
        yield from conv_shapes(f"{path}.skip", (channels // 2, inputs, 1, 1), channels // 2)
    path = "msmo_conv.2"
    yield from conv_shapes(f"{path}.pwconv1", (2 * channels, channels // 2, 1, 1), 2 * channels)
    yield from conv_shapes(f"{path}.pwconvN", (1, channels, 1, 1), 1)
    for i in range(order - 1):
        narrow = channels >> (order - 1 - i)  # channels of this step's pointwise path
        yield from conv_shapes(f"{path}.dwconvs.{i}.1", (2 * channels - narrow, 1, 7, 7), 2 * channels - narrow)
        yield from conv_shapes(f"{path}.pwconvs.{i}", (2 * narrow, narrow, 1, 1), 2 * narrow)
    yield from linear_shapes("fc2", 3 * bins, bins)
    yield from _lstm("lstm2", bins, bins)
    for name in ("to_mag", "to_real", "to_imag"):
        yield from linear_shapes(name, bins, bins)


def _lstm(path: str, inputs: int, hidden: int) -> Iterator[tuple[str, Shape]]:
    yield f"{path}.weight_ih_l0", (4 * hidden, inputs)
    yield f"{path}.weight_hh_l0", (4 * hidden, hidden)
    yield f"{path}.bias_ih_l0", (4 * hidden,)
    yield f"{path}.bias_hh_l0", (4 * hidden,)
