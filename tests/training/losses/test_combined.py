"""Each addition to the hybrid loss: its value on known cases, its slope, and where it has to be zero."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend import Enhancer
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.quality.metrics import log_mel_distance, si_snr
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.training.checkpoint import save_weights
from gtcrn_frontend.training.config import LossConfig, ModelSource
from gtcrn_frontend.training.distillation import Teacher
from gtcrn_frontend.training.losses.combined import CombinedLoss, teacher_trust
from gtcrn_frontend.training.losses.hybrid import Transform, compress, hybrid_loss, over_suppression, spectral_error
from gtcrn_frontend.training.losses.log_mel import LogMelDistance

RATE = GTCRN_SPEC.sample_rate
TRANSFORM = Transform(GTCRN_SPEC)
LOG_MEL = LogMelDistance(RATE)
TEACHERS = (ModelSource("a"),)


def signals(seed, batch=2, n=8000):
    return 0.1 * torch.randn(batch, n, generator=torch.Generator().manual_seed(seed))


def compressed(samples):
    return compress(TRANSFORM.forward(samples))


# Log-mel distance


@given(st.integers(0, 1000), st.floats(0.1, 2.0))
def test_log_mel_is_the_measure_where_levels_are_far_above_the_floor(seed, noise):
    target = signals(seed, batch=1)
    estimate = target + noise * signals(seed + 1, batch=1)
    expected = log_mel_distance(target[0].numpy(), estimate[0].numpy(), RATE)
    assert float(LOG_MEL(estimate, target)) == pytest.approx(expected, rel=1e-3)


def test_log_mel_is_near_the_measure_at_the_floor_too():
    target = signals(0, batch=1)
    for estimate in (torch.zeros_like(target), 1e-3 * target):
        expected = log_mel_distance(target[0].numpy(), estimate[0].numpy(), RATE)
        assert float(LOG_MEL(estimate, target)) == pytest.approx(expected, abs=np.log(2))


def test_log_mel_of_a_factor_is_its_logarithm():
    target = signals(1)
    assert float(LOG_MEL(0.5 * target, target)) == pytest.approx(np.log(4), rel=1e-3)


def test_log_mel_counts_only_frames_with_speech():
    target = signals(2, n=16000)
    target[:, 8000:] = 0
    estimate = target.clone()
    estimate[:, 8600:] = 0.1  # in the pause only
    assert float(LOG_MEL(estimate, target)) == 0
    assert float(LOG_MEL(estimate, torch.zeros_like(target))) == 0


def test_log_mel_weighs_active_frames_not_items():
    target, estimate = signals(3, n=16000), 0.5 * signals(3, n=16000)
    estimate[1] = target[1]
    target[1, 8000:] = 0  # half as many active frames, without error
    estimate[1, 8000:] = 0
    assert float(LOG_MEL(estimate, target)) == pytest.approx(np.log(4) * 2 / 3, rel=0.02)


@pytest.mark.parametrize("level", [0.0, 1e-4, 1.0])
def test_log_mel_has_a_finite_slope_that_lowers_it(level):
    target = signals(4)
    estimate = (level * signals(5)).requires_grad_()
    before = LOG_MEL(estimate, target)
    before.backward()
    assert torch.isfinite(estimate.grad).all()
    if level:  # below the floor of the measure as well
        step = 1e-3 * estimate.detach().norm() / estimate.grad.norm() * estimate.grad
        assert LOG_MEL(estimate.detach() - step, target) < before


# Over-suppression


def test_over_suppression_of_a_factor():
    target = TRANSFORM.forward(signals(6))
    expected = (1 - 0.5**0.3) ** 2 * compress(target).root.square().mean()
    assert float(over_suppression(compress(0.5 * target), compress(target))) == pytest.approx(float(expected), rel=1e-3)


def test_over_suppression_ignores_what_is_left_too_much():
    estimate = (2 * TRANSFORM.forward(signals(7))).requires_grad_()
    loss = over_suppression(compress(estimate), compressed(signals(7)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not estimate.grad.any()


def test_over_suppression_pulls_upwards():
    estimate = (0.5 * TRANSFORM.forward(signals(8))).requires_grad_()
    over_suppression(compress(estimate), compressed(signals(8))).backward()
    assert (estimate.grad * estimate).sum() < 0  # a larger estimate has a smaller loss


# Signal-to-noise ratio


def test_the_added_ratio_is_the_measure_in_bel(spectra):
    estimate, _, target, _ = spectra
    added = loss_of(LossConfig(si_snr=3.0), *spectra) - loss_of(LossConfig(), *spectra)
    pairs = zip(TRANSFORM.inverse(target).numpy(), TRANSFORM.inverse(estimate).numpy(), strict=True)
    expected = -3.0 * np.mean([si_snr(s, e) / 10 for s, e in pairs])
    assert float(added) == pytest.approx(expected, rel=1e-3)


# Distillation


def test_a_teacher_is_trusted_as_far_as_it_helps():
    target = signals(9, batch=3)
    noisy = target + signals(10, batch=3)
    noisy[2] = target[2]  # clean input: nothing can be better
    teacher_output = torch.stack([target[0], noisy[1], 0.9 * target[2]])
    trust = teacher_trust(*map(compressed, (teacher_output, noisy, target)))
    np.testing.assert_allclose(trust, [1, 0, 0], atol=1e-6)
    half = teacher_trust(*map(compressed, (target + 0.3 * (noisy - target), noisy, target)))
    assert ((half[:2] > 0.2) & (half[:2] < 0.9)).all()


def test_spectral_error_is_the_hybrid_loss_without_its_ratio():
    target, estimate = TRANSFORM.forward(signals(11)), TRANSFORM.forward(signals(12))
    e, s = TRANSFORM.inverse(estimate), TRANSFORM.inverse(target)
    projected = (e * s).sum(-1, keepdim=True) / s.square().sum(-1, keepdim=True) * s
    ratio = projected.square().sum(-1) / (e - projected).square().sum(-1)
    expected = hybrid_loss(estimate, target, TRANSFORM) + ratio.log10().mean()
    torch.testing.assert_close(
        spectral_error(compress(estimate), compress(target)).mean(), expected, rtol=1e-4, atol=1e-4
    )


def test_a_teacher_gives_the_mean_of_its_models_also_after_pickling(tmp_path):
    paths = [str(tmp_path / f"{name}.safetensors") for name in "ab"]
    for path in paths:
        save_weights(tmp_path / path, GTCRN(), {})
    noisy = signals(13).numpy()
    expected = np.mean([[Enhancer(path, strength=1).enhance(row) for row in noisy] for path in paths], axis=0)
    teacher = Teacher(paths, RATE)
    for one in (teacher, pickle.loads(pickle.dumps(teacher))):
        np.testing.assert_allclose(one(noisy), expected, atol=1e-7)


def test_an_absent_teacher_is_an_error_at_once(tmp_path):
    with pytest.raises(ModelError, match="absent"):
        Teacher([str(tmp_path / "absent.tar")], RATE)


# All together


def loss_of(config, estimate, noisy, target, teacher_output=None):
    return CombinedLoss(config, TRANSFORM)(estimate, noisy, target, teacher_output)


@pytest.fixture
def spectra():
    target = signals(14)
    noisy = target + signals(15)
    return [TRANSFORM.forward(x) for x in (target + 0.5 * signals(16), noisy, target, 0.9 * target)]


def test_without_additions_it_is_the_hybrid_loss_to_the_bit(spectra):
    ours, theirs = (spectra[0].clone().requires_grad_() for _ in range(2))
    loss, expected = loss_of(LossConfig(), ours, *spectra[1:]), hybrid_loss(theirs, spectra[2], TRANSFORM)
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected) and torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", ["log_mel", "over_suppression", "pesq_like", "distillation"])
def test_each_weight_adds_its_term(spectra, name):
    plain = loss_of(LossConfig(teachers=TEACHERS), *spectra)
    one, three = (
        loss_of(dataclasses.replace(LossConfig(teachers=TEACHERS), **{name: weight}), *spectra) for weight in (1.0, 3.0)
    )
    assert one > plain
    assert float(three - plain) == pytest.approx(3 * float(one - plain), rel=1e-3)


@pytest.mark.parametrize("name", ["si_snr", "log_mel", "over_suppression", "pesq_like", "distillation"])
def test_terms_are_finite_for_silence(name):
    estimate = TRANSFORM.forward(torch.zeros(1, 8000)).requires_grad_()
    silence = estimate.detach()
    loss = loss_of(LossConfig(**{name: 1.0}, teachers=TEACHERS), estimate, silence, silence, silence)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(estimate.grad).all()
