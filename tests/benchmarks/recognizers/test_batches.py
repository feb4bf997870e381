from pathlib import Path

import numpy as np
import pytest
import torch

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import CtcRecognizer, RecognizerConfig


def made_task() -> object:
    """A task of made-up utterances: tones."""
    from tasks import Task, Utterance

    def draw(rng: np.random.Generator) -> list[int]:
        return rng.permutation(5).tolist()

    def training(number: int) -> Utterance:
        samples = np.sin(0.1 * np.arange(4000 + 1000 * number)).astype(np.float32) * 0.3
        return Utterance(samples, tuple(range(1, 2 + number)))

    network = RecognizerConfig(n_mels=40, used_mels=40, channels=8, hidden=8, layers=1, symbols=7)
    symbols = ("<blk>", *(f"▁{i}" for i in range(6)))
    return Task("made", symbols, network, "word", draw, training, lambda count: [training(i) for i in range(count)])


def made_batches(prob: float = 0.0) -> object:
    """Batches of made-up utterances, some in white noise."""
    from batches import Background, Batches
    from corpora import Noises

    rng = np.random.default_rng(0)
    recorded = [rng.normal(0, 0.1, 20000).astype(np.float32)]
    return Batches(made_task(), Noises(recorded, recorded, recorded), Background(prob, (0.0, 10.0)), seed=1)


def test_a_batch_depends_on_seed_and_step_only() -> None:

    first, second = (made_batches().draw(3) for _ in range(2))
    assert torch.equal(first.features, second.features)
    assert not torch.equal(first.features[:, :20], made_batches().draw(4).features[:, :20])
    assert sorted(first.counts.tolist()) == [1, 2, 3, 4, 5]
    assert first.frames.tolist() == [25 + round(6.25 * (n - 1) + 0.01) for n in first.counts.tolist()]
    assert len(first.symbols) == 15
    assert first.features.shape == (5, first.frames.max(), 40)


def test_noise_has_its_probability_and_is_the_same_each_time() -> None:
    quiet, noisy, again = (made_batches(prob).draw(0, changed=False) for prob in (0.0, 1.0, 1.0))
    assert torch.equal(noisy.features, again.features)
    assert (noisy.features - quiet.features).abs().mean() > 0.5
    assert torch.equal(noisy.symbols, quiet.symbols)


def test_mixtures_have_their_snr_and_do_not_clip() -> None:
    from corpora import mixture

    rng = np.random.default_rng(0)
    speech = rng.normal(0, 0.1, 16000).astype(np.float32)
    noise = rng.normal(0, 1, 16000).astype(np.float32)
    noise -= speech * float(speech @ noise) / float(speech @ speech)
    mixed = mixture(speech, noise, 10.0)
    assert 10 * np.log10(np.square(speech).mean() / np.square(mixed - speech).mean()) == pytest.approx(10, abs=0.3)
    assert np.abs(mixture(speech * 9, noise, 0.0)).max() <= 1


def test_digital_silence_stays_silent_whatever_the_level() -> None:
    from batches import SILENCE, random_change

    features = torch.full((100, 40), SILENCE)
    features[:50] = -5
    for seed in range(5):
        changed = random_change(features, np.random.default_rng(seed))
        kept = changed[50:]
        blanked = torch.isclose(kept, changed.mean(), atol=3.0)
        assert torch.all(torch.isclose(kept, torch.tensor(SILENCE), atol=1e-3) | blanked)
        assert features[0, 0] == -5  # the input is not changed


def test_statistics_are_those_of_the_features() -> None:
    from batches import set_statistics

    batches = made_batches()
    network = CtcRecognizer(batches.task.network)
    set_statistics(network, batches)
    batch = batches.draw(0, changed=False)
    normalised = torch.cat([
        network.normalise(row[:count]) for row, count in zip(batch.features, batch.frames.tolist(), strict=True)
    ])  # fmt: skip
    assert normalised.mean(dim=0).abs().max() < 0.2


def test_a_network_begins_with_what_another_one_knows_of_the_bands_they_share() -> None:
    from train import begin_with

    torch.manual_seed(0)
    known = CtcRecognizer(RecognizerConfig(40, used_mels=30, channels=8, hidden=8, layers=1, symbols=5))
    known.mean.normal_()
    network = CtcRecognizer(RecognizerConfig(40, used_mels=40, channels=8, hidden=8, layers=1, symbols=7))
    before = network.output.weight.detach().clone()
    begin_with(network, known)
    assert torch.equal(network.conv1.weight[:, :30], known.conv1.weight)
    assert not network.conv1.weight[:, 30:].any()
    assert torch.equal(network.mean[:30], known.mean)
    assert torch.equal(network.recurrent[0].weight_hh_l0, known.recurrent[0].weight_hh_l0)
    assert torch.equal(network.output.weight, before)


def test_training_lowers_the_loss_and_resumes(tmp_path: Path) -> None:
    from train import learn, new_trainer

    from gtcrn_frontend.training.checkpoint import load_checkpoint, save_checkpoint

    torch.manual_seed(0)
    batches = made_batches()
    trainer = new_trainer(CtcRecognizer(batches.task.network), steps=80, rate=0.2)
    losses = [learn(trainer, batches.draw(trainer.step)) for _ in range(20)]
    save_checkpoint(tmp_path / "checkpoint.pt", trainer.state())
    losses += [learn(trainer, batches.draw(trainer.step)) for _ in range(3)]
    resumed = new_trainer(CtcRecognizer(batches.task.network), steps=80, rate=0.2)
    resumed.load(load_checkpoint(tmp_path / "checkpoint.pt"))
    assert resumed.step == 20
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    torch.manual_seed(1)  # dropout is random, hence close instead of equal
    again = [learn(resumed, batches.draw(resumed.step)) for _ in range(3)]
    assert again == pytest.approx(losses[-3:], rel=0.2)
