"""Recognisers in the loss: the encoder of Whisper, distances of features, and what a config may say."""

import numpy as np
import pytest
import torch

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.config import LossConfig, OptimConfig, RecognizerConfig
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.training.losses.recognizer_distance import RecognizerDistance, feature_distance
from gtcrn_frontend.training.losses.whisper_encoder import WhisperEncoder
from gtcrn_frontend.training.trainer import new_trainer

RATE = 16_000
CHANNELS, BANDS, LAYERS = 64, 80, 2
FACTORY = """
import torch
from torch import nn

class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, samples):
        frames = samples.unfold(-1, 160, 160)
        return [frames * self.scale, frames.square() * self.scale]

def features(sample_rate):
    return Features()

def nothing(sample_rate):
    return None
"""


def random_weights() -> dict[str, np.ndarray]:
    """The variables of a small Whisper encoder, by the names of CTranslate2's format."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    weights = {
        "encoder/position_encodings/encodings": normal(1500, CHANNELS),
        "encoder/conv1/weight": normal(CHANNELS, BANDS, 3),
        "encoder/conv2/weight": normal(CHANNELS, CHANNELS, 3),
    }
    shapes = {"self_attention/linear_0": (3 * CHANNELS, CHANNELS), "self_attention/linear_1": (CHANNELS, CHANNELS),
              "ffn/linear_0": (4 * CHANNELS, CHANNELS), "ffn/linear_1": (CHANNELS, 4 * CHANNELS)}  # fmt: skip
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            weights[f"encoder/layer_{layer}/{name}/weight"] = normal(*shape)
            weights[f"encoder/layer_{layer}/{name}/bias"] = normal(shape[0], 1)[:, 0]
        for name in ("self_attention", "ffn"):
            weights[f"encoder/layer_{layer}/{name}/layer_norm/gamma"] = np.ones(CHANNELS, np.float32)
            weights[f"encoder/layer_{layer}/{name}/layer_norm/beta"] = np.zeros(CHANNELS, np.float32)
    for name in ("conv1", "conv2"):
        weights[f"encoder/{name}/bias"] = np.zeros(CHANNELS, np.float32)
    weights["encoder/layer_norm/gamma"] = np.ones(CHANNELS, np.float32)
    weights["encoder/layer_norm/beta"] = np.zeros(CHANNELS, np.float32)
    return weights


@pytest.fixture
def factory(tmp_path) -> str:
    path = tmp_path / "teacher.py"
    path.write_text(FACTORY)
    return str(path)


def signals(seed, n=RATE):
    return 0.1 * torch.randn(2, n, generator=torch.Generator().manual_seed(seed))


def test_the_encoder_gives_one_feature_each_20_ms_for_each_block_and_the_end():
    features = WhisperEncoder(random_weights())(signals(0))
    assert [tuple(each.shape) for each in features] == [(2, 50, CHANNELS)] * (LAYERS + 1)


def test_half_precision_is_near_full_precision_and_has_a_slope():
    full, half = (WhisperEncoder(random_weights(), dtype) for dtype in (torch.float32, torch.bfloat16))
    samples = signals(0).requires_grad_()
    estimate = half(samples)
    assert float(feature_distance(estimate[-1], full(samples)[-1]).detach().max()) < 0.01
    estimate[-1].square().mean().backward()
    assert torch.isfinite(samples.grad).all()
    assert float(samples.grad.abs().max()) > 0


def test_weights_of_another_model_are_refused():
    weights = random_weights()
    del weights["encoder/conv2/weight"]
    with pytest.raises(ModelError, match=r"Whisper.*encoder/conv2/weight"):
        WhisperEncoder(weights)


def test_the_distance_is_relative_to_the_features_variance():
    target = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(0)) + 100.0
    assert feature_distance(target, target).tolist() == [0, 0]
    average = target.mean(1, keepdim=True).expand_as(target)
    torch.testing.assert_close(feature_distance(average, target), torch.ones(2))
    torch.testing.assert_close(feature_distance(7 * average, 7 * target), torch.ones(2))


def test_recognisers_add_up_by_weight(factory):
    estimate, target = signals(1), signals(2)
    frames = [samples.unfold(-1, 160, 160) for samples in (estimate, target)]
    first, last = (feature_distance(f(frames[0]), f(frames[1])) for f in (torch.clone, torch.square))
    both = RecognizerDistance(
        [
            RecognizerConfig(factory=f"{factory}:features", weight=2.0),
            RecognizerConfig(factory=f"{factory}:features", weight=0.5, layers="last"),
        ],
        RATE,
    )
    torch.testing.assert_close(both(estimate, target), 2 * (first + last) + 0.5 * last)


def test_silence_as_the_target_counts_nothing(factory):
    distance = RecognizerDistance([RecognizerConfig(factory=f"{factory}:features")], RATE)
    target = signals(1)
    target[0] = 0
    assert float(distance(signals(2), target)[0]) == 0
    assert float(distance(signals(2), target)[1]) > 0


def test_it_is_part_of_the_loss_and_the_hybrid_loss_can_be_left_out(factory):
    transform = Transform(GTCRN_SPEC)
    recognizers = (RecognizerConfig(factory=f"{factory}:features", weight=3.0),)
    estimate, target = (transform.forward(signals(seed, 8000)) for seed in (1, 2))
    alone = CombinedLoss(LossConfig(hybrid=0.0, recognizers=recognizers), transform)(estimate, target, target)
    hybrid = CombinedLoss(LossConfig(), transform)(estimate, target, target)
    both = CombinedLoss(LossConfig(hybrid=0.1, recognizers=recognizers), transform)(estimate, target, target)
    assert float(alone) > 0
    torch.testing.assert_close(both, alone + 0.1 * hybrid)


def test_recognisers_get_the_mixture_of_a_strength(factory):
    transform = Transform(GTCRN_SPEC)
    recognizers = (RecognizerConfig(factory=f"{factory}:features"),)
    loss = CombinedLoss(LossConfig(hybrid=0.0, recognizers=recognizers), transform)
    estimate, noisy, target = (transform.forward(signals(seed, 8000)) for seed in (1, 2, 3))
    mixed = 0.25 * estimate + 0.75 * noisy
    strengths = torch.full((len(estimate),), 0.25)
    torch.testing.assert_close(loss(estimate, noisy, target, strengths=strengths), loss(mixed, noisy, target))
    torch.testing.assert_close(
        loss(estimate, noisy, target, strengths=torch.ones(len(estimate))), loss(estimate, noisy, target)
    )


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.5, 1.1), (0.8, 0.5)])
def test_strengths_out_of_range_are_refused(bounds):
    with pytest.raises(ConfigError, match="recognizer_strength"):
        LossConfig(recognizer_strength=bounds)


def test_the_strength_is_drawn_by_step_and_process():
    trainer = new_trainer(OptimConfig(seed=3))
    drawn = [trainer._strengths((0.5, 1.0), 4, rank) for rank in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert all(0.5 <= value <= 1 for value in drawn[0])
    trainer.step = 1
    assert not torch.equal(trainer._strengths((0.5, 1.0), 4, 0), drawn[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either whisper or factory"),
        ({"whisper": "a", "factory": "b:c"}, "either whisper or factory"),
        ({"factory": "b:c", "weight": 0.0}, "weight: expected a number above 0, got 0.0"),
        ({"factory": "b:c", "layers": "first"}, "all or last, got 'first'"),
    ],
)
def test_entries_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RecognizerConfig(**settings)


@pytest.mark.parametrize("name", ["no_such_package:features", "{file}:absent", "{file}", "/absent.py:features"])
def test_factories_that_cannot_be_loaded_are_named(factory, name):
    with pytest.raises(ModelError, match=r"expected package\.module:function or"):
        RecognizerDistance([RecognizerConfig(factory=name.format(file=factory))], RATE)


def test_a_factory_has_to_return_a_module(factory):
    with pytest.raises(ConfigError, match="must return a torch module, got NoneType"):
        RecognizerDistance([RecognizerConfig(factory=f"{factory}:nothing")], RATE)


def test_a_folder_without_whisper_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"model\.bin"):
        RecognizerDistance([RecognizerConfig(whisper=tmp_path)], RATE)
