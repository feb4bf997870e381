"""The module `EnhanceFrontend`: what it computes, in both modes, and what it refuses."""

import copy
import os
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speechbrain.augment.augmenter import Augmenter
from speechbrain.lobes.features import Fbank
from speechbrain.nnet.containers import LengthsCapableSequential
from torch import Tensor

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend
from gtcrn_frontend.errors import AudioFormatError, ConfigError, ModelError

Batch = tuple[Tensor, Tensor]


@pytest.fixture(params=["frozen", "learner"])
def either(request: pytest.FixtureRequest) -> EnhanceFrontend:
    frontend: EnhanceFrontend = request.getfixturevalue(request.param)
    return frontend


@torch.no_grad()
def test_a_batch_is_what_the_streaming_engine_makes_of_each_signal(
    either: EnhanceFrontend, batch: Batch, enhanced_batch: Tensor
) -> None:
    torch.testing.assert_close(either(*batch), enhanced_batch, atol=1e-5, rtol=0)
    assert (enhanced_batch - batch[0])[0].abs().max() > 0.01, "the front-end does something here"


@torch.no_grad()
def test_an_item_of_a_padded_batch_equals_the_item_alone_and_padding_is_zero(
    either: EnhanceFrontend, batch: Batch
) -> None:
    wavs, lengths = batch
    enhanced = either(wavs, lengths)
    for row, wav, count in zip(enhanced, wavs, (20000, 12200, 6660), strict=True):
        torch.testing.assert_close(row[:count], either(wav[None, :count])[0], atol=1e-5, rtol=0)
        assert not row[count:].any()


@given(
    counts=st.lists(st.integers(1, 3000), min_size=1, max_size=3),
    channels=st.sampled_from([None, 1, 2]),
    strength=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=15, deadline=None)
def test_any_lengths_channels_and_strength(
    frozen: EnhanceFrontend,
    learner: EnhanceFrontend,
    counts: list[int],
    channels: int | None,
    strength: float,
) -> None:
    longest = max(counts)
    wavs = torch.randn(len(counts), longest, *([channels] if channels else []), generator=torch.Generator()) / 10
    lengths = torch.tensor(counts) / longest
    enhancer = Enhancer(strength=strength)
    expected = torch.zeros_like(wavs)
    for row, wav, count in zip(expected, wavs, counts, strict=True):
        signals = wav[:count].reshape(count, -1).numpy().T
        enhanced = np.stack([enhancer.enhance(np.ascontiguousarray(signal)) for signal in signals], axis=-1)
        row[:count] = torch.from_numpy(enhanced).reshape(row[:count].shape)
    for frontend in (frozen, learner):
        twin = copy.copy(frontend)
        twin.strength = strength
        with torch.no_grad():
            torch.testing.assert_close(twin(wavs, lengths), expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_strength_zero_returns_the_input_bit_by_bit(batch: Batch) -> None:
    wavs, lengths = batch
    masked = torch.where(torch.arange(wavs.shape[1]) < (lengths * wavs.shape[1]).round()[:, None], wavs, 0.0)
    for trainable in (False, True):
        assert torch.equal(EnhanceFrontend(trainable=trainable, strength=0)(wavs, lengths), masked)


def test_without_lengths_all_samples_count(frozen: EnhanceFrontend, batch: Batch) -> None:
    assert torch.equal(frozen(batch[0]), frozen(batch[0], torch.ones(3)))
    assert torch.equal(frozen.enhance_batch(*batch), frozen(*batch))


@pytest.mark.parametrize("engine", ["native", "onnx", "torch"])
def test_engines_and_threads_agree(engine: str, batch: Batch, enhanced_batch: Tensor) -> None:
    if engine == "native" and Enhancer().engine != "native":
        pytest.skip("the native engine is not built here")
    frontend = EnhanceFrontend(engine=engine, num_threads=2)
    torch.testing.assert_close(frontend(*batch), enhanced_batch, atol=1e-4, rtol=0)
    assert frontend.engine.loaded.engine.name == engine


def test_a_frozen_front_end_runs_the_fastest_engine(frozen: EnhanceFrontend, batch: Batch) -> None:
    assert frozen.engine.loaded.engine.name == Enhancer().engine
    wavs = batch[0].clone().requires_grad_()
    assert not frozen(wavs).requires_grad


def test_another_rate_is_resampled_when_frozen(noisy: np.ndarray) -> None:
    frontend = EnhanceFrontend(sample_rate=8000)
    enhanced = frontend(torch.from_numpy(noisy)[None])[0].numpy()
    np.testing.assert_array_equal(enhanced, Enhancer(sample_rate=8000).enhance(noisy))
    with pytest.raises(ConfigError, match=r"expected waveforms of 16000 Hz for a trainable front-end, got 8000"):
        frontend.trainable = True


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_the_waveforms_is_kept(either: EnhanceFrontend, batch: Batch, dtype: torch.dtype) -> None:
    wavs = batch[0][:1, :4000].to(dtype)
    with torch.no_grad():
        enhanced = either(wavs)
        assert enhanced.dtype == dtype
        assert torch.equal(enhanced, either(wavs.float()).to(dtype))


@torch.no_grad()
def test_random_strength_in_training_only(batch: Batch, enhanced_batch: Tensor) -> None:
    wavs, lengths = batch
    frontend = EnhanceFrontend(train_strength=[0.2, 0.9])
    torch.manual_seed(0)
    first, second = frontend(wavs, lengths), frontend(wavs, lengths)
    assert not torch.equal(first, second)
    for row, wav, enhanced, count in zip(first, wavs, enhanced_batch, (20000, 12200, 6660), strict=True):
        change = (enhanced[:count] - wav[:count]) / EnhancerConfig.strength  # at full strength
        strength = (row[:count] - wav[:count]) @ change / change.square().sum()
        torch.testing.assert_close(row[:count], wav[:count] + strength * change, atol=1e-5, rtol=0)
        assert 0.2 <= strength <= 0.9
    assert torch.equal(frontend.eval()(wavs, lengths), enhanced_batch)
    torch.manual_seed(0)
    assert torch.equal(frontend.train()(wavs, lengths), first), "torch's own generator decides"


@pytest.mark.parametrize("trainable", [False, True])
def test_pickled_and_copied(trainable: bool, batch: Batch) -> None:
    frontend = EnhanceFrontend(trainable=trainable, strength=0.7).eval()
    with torch.no_grad():
        expected = frontend(*batch)
        for twin in (copy.deepcopy(frontend), pickle.loads(pickle.dumps(frontend))):
            assert torch.equal(twin(*batch), expected)
            twin.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in twin.state_dict().items()})
            assert not torch.equal(twin(*batch), expected)
        assert torch.equal(frontend(*batch), expected), "copies have weights of their own"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_goes_on_in_a_forked_child(frozen: EnhanceFrontend, batch: Batch) -> None:
    expected = frozen(*batch)
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(frozen(*batch), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_engine_follows_the_weights(random_checkpoint: Path, batch: Batch) -> None:
    frontend = EnhanceFrontend()
    frontend(*batch)
    frontend.load_weights(random_checkpoint)
    expected = EnhanceFrontend(random_checkpoint)(*batch)
    assert torch.equal(frontend(*batch), expected)
    with torch.no_grad():
        frontend.net.encoder.en_convs[0].conv.bias.add_(0.1)
    assert not torch.equal(frontend(*batch), expected)


def test_in_front_of_features_in_a_sequence(frozen: EnhanceFrontend, batch: Batch, enhanced_batch: Tensor) -> None:
    features = Fbank(n_mels=40)
    sequence = LengthsCapableSequential(frontend=frozen, features=features).eval()
    assert torch.equal(sequence(*batch), features(frozen(*batch)))
    assert torch.equal(sequence(batch[0]), features(frozen(batch[0])))


def test_a_member_of_an_augmenter(frozen: EnhanceFrontend, batch: Batch) -> None:
    wavs, lengths = batch
    augment = Augmenter(concat_original=True, augmentations=[frozen])
    augmented, augmented_lengths = augment(wavs, lengths)
    assert torch.equal(augmented[:3], wavs)
    assert torch.equal(augmented[3:], frozen(wavs, lengths))
    assert torch.equal(augmented_lengths, torch.cat([lengths, lengths]))
    sometimes = Augmenter(augment_prob=0.5, augmentations=[frozen])
    random.seed(0)
    outcomes = [torch.equal(sometimes(wavs, lengths)[0], wavs) for _ in range(20)]
    assert 0 < sum(outcomes) < 20


@pytest.mark.parametrize(
    ("wavs", "message"),
    [
        (torch.zeros(100), r"expected waveforms .*, got shape (100,): pass wavs[None]"),
        (torch.zeros(1, 1, 1, 1), r"got shape (1, 1, 1, 1)"),
        (torch.zeros(2, 100, dtype=torch.int16), r"a tensor of floats, got a tensor of torch.int16"),
        (np.zeros((2, 100)), r"got ndarray"),
    ],
)
def test_other_waveforms_are_refused(either: EnhanceFrontend, wavs: Tensor, message: str) -> None:
    with pytest.raises(AudioFormatError, match=re.escape(message).replace(r"\.\*", ".*")):
        either(wavs)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([1.0]), "expected lengths as a tensor of shape (2,), got (1,)"),
        ([1.0, 1.0], "got list"),
        (torch.tensor([1.0, 0.0]), "in (0, 1], got 0"),
        (torch.tensor([1.0, -0.5]), "got -0.5"),
        (torch.tensor([1.5, 1.0]), "got 1.5"),
        (torch.tensor([100, 50]), "got 100"),
        (torch.tensor([float("nan"), 1.0]), "got nan"),
    ],
)
def test_other_lengths_are_refused(either: EnhanceFrontend, lengths: Tensor, message: str) -> None:
    with pytest.raises(AudioFormatError, match=re.escape(message)):
        either(torch.zeros(2, 100), lengths)


def test_lengths_may_be_off_by_rounding(either: EnhanceFrontend, batch: Batch) -> None:
    with torch.no_grad():
        assert torch.equal(either(batch[0], torch.full((3,), 1 + 1e-6)), either(batch[0]))


def test_bad_samples_are_refused_by_the_frozen_one(frozen: EnhanceFrontend) -> None:
    wavs = torch.zeros(2, 100)
    wavs[1, 50] = 1000
    with pytest.raises(AudioFormatError, match=r"signal 1 of the batch: .*divide by 32768"):
        frozen(wavs)
    assert not frozen(wavs, torch.tensor([1.0, 0.5])).any(), "what lies in the padding does not count"


def test_empty_batches_stay_empty(either: EnhanceFrontend) -> None:
    assert either(torch.zeros(0, 100)).shape == (0, 100)
    assert either(torch.zeros(2, 0)).shape == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": 1.1}, "strength: expected auto, or a number from 0 to 1, got 1.1"),
        ({"train_strength": [0.5, 0.2]}, "expected a number or a pair (low, high)"),
        ({"train_strength": [0.1, 0.2, 0.3]}, "expected a number or a pair (low, high)"),
        ({"train_strength": [0.5, 2]}, "strength: expected auto, or a number from 0 to 1, got 2"),
        ({"trainable": "yes"}, "trainable: expected true or false, got 'yes'"),
        ({"sample_rate": 10}, "sample_rate: expected a whole number"),
        ({"sample_rate": None}, "sample_rate: expected the rate"),
        ({"trainable": True, "sample_rate": 8000}, "expected waveforms of 16000 Hz"),
        ({"num_threads": 0}, "num_threads"),
        ({"engine": "tensor"}, "engine: expected one of auto, native"),
    ],
)
def test_other_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        EnhanceFrontend(**arguments)


def test_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a model name \(gtcrn-asr, .*did you mean 'gtcrn-asr'"):
        EnhanceFrontend("gtcrn-as")
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"")
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        EnhanceFrontend(graph)
    torch.save({"net.weight": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(ModelError, match=r"other.ckpt: expected the tensors of gtcrn .*, lite_rtse "):
        EnhanceFrontend(tmp_path / "other.ckpt")
