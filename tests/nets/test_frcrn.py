"""FRCRN: the reference's output and parameters, its transform, and what the causal variant still looks ahead."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from gtcrn_frontend.nets.frcrn import FRCRN, LOOK_AHEAD_FRAMES
from gtcrn_frontend.weights.frcrn import frcrn_parameters, with_first_names

FRAMES = 40


def small(*, causal):
    """A small network with random weights and statistics, the same for both variants."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = FRCRN(causal=causal, channels=8).eval().requires_grad_(False)
        for name, tensor in net.state_dict().items():
            if name.endswith("running_mean") or (name.endswith("bias") and "bn" in name):
                tensor.normal_(0, 0.3)
    return net


def spectra(frames=FRAMES, seed=0):
    return torch.randn(1, 321, frames, 2, generator=torch.Generator().manual_seed(seed))


def test_the_reference_output_comes_out(shared, generated_state_dict):
    """All but one in a hundred of the values are held to 1e-4 of the largest, and what is left to its power.

    With weights that large the mask saturates: raw outputs of 4e3 go through tanh, and where one of them changes its
    sign rounding decides. Double precision is as far from the reference there, 0.04 in the mask.
    """
    net = FRCRN().eval().requires_grad_(False)
    arrays = with_first_names({name.removeprefix("model."): a for name, a in generated_state_dict("frcrn").items()})
    fixed = {name: tensor for name, tensor in net.state_dict().items() if name.startswith(("stft.", "istft."))}
    net.load_state_dict(arrays | fixed)
    golden = {name: array[:1] for name, array in np.load(shared / "reference/frcrn.npz").items()}  # one of two signals

    planes = functional.conv1d(torch.from_numpy(golden["wav"])[:, None], net.stft.weight, stride=320)
    spectrum = torch.stack(planes.chunk(2, dim=1), dim=-1)
    mask = net.mask(torch.cat(spectrum.unbind(-1))[:, None])[:, 0].chunk(2)
    enhanced = torch.cat(net(spectrum).unbind(-1), dim=1)
    overlapped = functional.conv_transpose1d(enhanced, net.istft.weight, stride=320)
    power = net.istft.window.square().expand(1, -1, planes.shape[2])
    weight = functional.conv_transpose1d(power, net.istft.enframe, stride=320)
    samples = (overlapped / (weight + 1e-8))[:, 0].numpy()

    found = {"est_wav": samples, "est_spec": enhanced.numpy(), "est_mask": torch.cat(mask, dim=1).numpy()}
    for name, values in found.items():
        error, expected = values - golden[name], golden[name]
        assert np.quantile(np.abs(error), 0.99) < 1e-4 * np.abs(expected).max(), name
        assert np.linalg.norm(error) < 1e-3 * np.linalg.norm(expected), name


def test_names_and_shapes_are_the_reference_ones(shared):
    arrays = json.loads((shared / "reference/frcrn.keys.json").read_text())
    expected = with_first_names({name.removeprefix("model."): tuple(shape) for name, shape in arrays.items()})
    found = {name: tuple(tensor.shape) for name, tensor in FRCRN().state_dict().items()}
    assert found == expected
    assert frcrn_parameters() == {name: s for name, s in expected.items() if not name.endswith("num_batches_tracked")}
    assert sum(p.numel() for p in FRCRN().parameters()) == 13963604


def test_a_layer_is_known_by_either_name_and_the_list_counts():
    arrays = {"unet.encoder3.bn.x": 1, "unet.encoders.3.bn.x": 2, "unet2.se_layer_dec0.y": 3, "unet.fsmn.z": 4}
    expected = {"unet.encoders.3.bn.x": 2, "unet2.se_layers_dec.0.y": 3, "unet.fsmn.z": 4}
    assert with_first_names(arrays) == expected
    assert with_first_names(dict(reversed(arrays.items()))) == expected


@pytest.mark.parametrize("length", [1, 319, 320, 321, 2000])
def test_the_transform_and_back_is_the_identity(length):
    net = small(causal=False)
    net.mask = lambda planes: torch.cat([torch.ones_like(planes[:2]), torch.zeros_like(planes[:2])])
    samples = torch.randn(2, length)
    torch.testing.assert_close(net.enhance(samples), samples, atol=1e-5, rtol=0)


def test_any_length_comes_back_and_silence_stays_silent():
    net = small(causal=False)
    for length in (1, 700):
        assert net.enhance(torch.randn(2, length)).shape == (2, length)
        assert not net.enhance(torch.zeros(1, length)).any()


def test_the_causal_variant_looks_ahead_as_far_as_declared_and_no_further():
    net = small(causal=True).double()
    plain, changed = spectra().double(), spectra().double()
    moment = FRAMES - 10
    changed[:, :, moment:] *= 2
    moved = (net(plain) - net(changed)).abs().amax(dim=(0, 1, 3)) > 1e-12  # the last frames count for little
    assert not moved[: moment - LOOK_AHEAD_FRAMES].any()
    assert moved[moment - LOOK_AHEAD_FRAMES :].all()


def test_the_usual_variant_sees_the_whole_signal():
    net = small(causal=False)
    plain, changed = spectra(), spectra()
    changed[:, :, -1] += 1
    assert ((net(plain) - net(changed)).abs().amax(dim=(0, 1, 3)) > 0).all()


def test_both_variants_have_the_same_weights():
    names = [list(small(causal=causal).state_dict()) for causal in (False, True)]
    assert names[0] == names[1]


def test_every_parameter_in_use_gets_a_gradient():
    net = FRCRN(channels=8)
    net(spectra(8)).square().sum().backward()
    unused = ("fsmn_enc.0", "fsmn_dec.6", "se_layers_enc.6", "se_layers_dec.5")
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert (parameter.grad is None) == any(f".{part}." in name for part in unused), name
