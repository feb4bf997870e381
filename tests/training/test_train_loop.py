import dataclasses
import itertools
import json
import os
import signal

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from gtcrn_frontend import Enhancer
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.nets.gtcrn import GTCRN
from gtcrn_frontend.training.checkpoint import load_checkpoint, save_weights
from gtcrn_frontend.training.config import LossConfig, OptimConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.ema import norm_layers, recompute_norms, update_ema
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform, hybrid_loss
from gtcrn_frontend.training.lr_schedule import learning_rate
from gtcrn_frontend.training.signals import stop_on_signals
from gtcrn_frontend.training.train_loop import train
from gtcrn_frontend.training.trainer import Trainer, new_trainer
from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.networks import NETWORKS


def same(left, right):
    """Tells whether two nested states are equal to the bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.mark.parametrize(("network", "fused"), [("gtcrn", False), ("gtcrn", True), ("lite_rtse", True)])
def test_one_step_lowers_the_loss_on_a_fixed_batch(network, fused):
    trainer = new_trainer(OptimConfig(peak_lr=1e-3, warmup_steps=0, fused=fused), network)
    transform = Transform(NETWORKS[network].spec)
    target = 0.1 * torch.sin(torch.arange(8000) * torch.tensor([[0.1], [0.23]]))
    noisy = target + 0.05 * torch.randn(2, 8000)
    before = trainer.learn(CombinedLoss(LossConfig(), transform), noisy, target)
    with torch.no_grad():
        after = hybrid_loss(transform.enhanced(trainer.network, noisy), transform.forward(target), transform)
    assert float(after) < before


class Gain(torch.nn.Module):
    """A network that takes samples."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, samples):
        return self.gain * samples


def test_a_network_of_samples_is_judged_by_the_spectrum_of_its_output():
    transform = Transform(dataclasses.replace(GTCRN_SPEC, domain="waveform", n_fft=0, win_length=16000))
    noisy = torch.randn(2, 8000)
    assert transform.inputs(noisy) is noisy
    enhanced = transform.enhanced(Gain(), noisy)
    torch.testing.assert_close(enhanced, Transform(GTCRN_SPEC).forward(0.5 * noisy))


@pytest.mark.parametrize("network", ["lite_rtse", "ulunas"])
def test_another_network_trains_by_name_and_goes_on_where_it_was(network, settings, write_config, tmp_path):
    config = load_config(write_config({**settings, "network": network}))
    train(config, max_seconds=0)
    scores = train(config, resume=True).scores
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == config.optim.steps
    assert all(map(np.isfinite, scores.values()))
    assert Enhancer(tmp_path / "run/last.safetensors", strength=1).spec.name == network
    gtcrn = load_config(write_config(settings))
    with pytest.raises(ConfigError, match="does not fit this network"):
        train(gtcrn, resume=True)


@pytest.mark.parametrize("name", ["dpcrn", "wavenet", ""])
def test_a_network_that_cannot_be_trained(name, settings, write_config):
    with pytest.raises(ConfigError, match="network: expected one of gtcrn, lite_rtse"):
        load_config(write_config({**settings, "network": name}))


def interrupt_after(monkeypatch, steps):
    """Sends this process SIGTERM in the given step of the next run."""
    learn, calls = Trainer.learn, []

    def counted(self, *arguments):
        calls.append(1)
        if len(calls) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(self, *arguments)

    monkeypatch.setattr(Trainer, "learn", counted)


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(settings, write_config, tmp_path, monkeypatch):
    train(load_config(write_config(settings)))
    sliced = load_config(write_config({**settings, "output": "sliced"}))
    interrupt_after(monkeypatch, 2)
    result = train(sliced)
    assert (result.step, result.interrupted_by, result.is_complete) == (2, signal.SIGTERM, False)
    assert load_checkpoint(tmp_path / "sliced" / "checkpoint.pt")["step"] == 2
    train(sliced, resume=True, max_seconds=0)  # a slice without a step
    interrupt_after(monkeypatch, 3)  # the fifth step, after batch norm is frozen
    train(sliced, resume=True)
    train(sliced, resume=True)
    states = [load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("run", "sliced")]
    assert states[0]["step"] == 6 and states[0]["norms_frozen"]
    assert same(*states)
    weights = [safetensors.numpy.load_file(tmp_path / name / "last.safetensors") for name in ("run", "sliced")]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])


def test_the_threads_of_the_process_are_as_before(settings, write_config):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        train(load_config(write_config(settings)), max_seconds=0)
        assert torch.get_num_threads() == before + 1
        with pytest.raises(ConfigError):
            train(load_config(write_config(settings)))  # there is a checkpoint
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_resumed_run_may_change_its_loss(settings, write_config, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 3)
    train(load_config(write_config(settings)))
    weights = tmp_path / "teacher.safetensors"
    save_weights(weights, GTCRN(), {})
    loss = {"log_mel": 0.5, "over_suppression": 20.0, "distillation": 0.5, "teachers": ["teacher.safetensors"]}
    sliced = load_config(write_config({**settings, "loss": loss}))
    train(sliced, resume=True, max_seconds=0)
    before = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    train(sliced, resume=True)
    after = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert (before["step"], after["step"]) == (3, 6)
    assert not same(before["network"], after["network"])


def test_a_run_may_start_from_a_model_of_its_network(settings, write_config, tmp_path):
    optim = {**settings["optim"], "steps": 1, "peak_lr": 0.0, "final_lr": 0.0, "freeze_norm_fraction": 1.0}
    started = {**settings, "optim": optim, "start": "gtcrn-asr"}
    train(load_config(write_config(started)))
    before = load_model(model_path("gtcrn-asr")).parameters
    after = safetensors.numpy.load_file(tmp_path / "run" / "last.safetensors")
    for name, array in before.items():
        if "running" not in name:  # statistics of batch norm are those of the new data
            np.testing.assert_array_equal(after[name], array)
    with pytest.raises(
        ConfigError, match=r"start: .* does not fit this network: expected its parameters, got .* gtcrn"
    ):
        train(load_config(write_config({**started, "network": "lite_rtse", "output": "other"})))


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        ({"dnsmos_ovrl": 1.0, "dnsmos_folder": "absent"}, "sig_bak_ovr.onnx"),
        ({"distillation": 1.0, "teachers": ["absent/teacher.safetensors"]}, "teacher.safetensors"),
    ],
)
def test_what_the_loss_lacks_is_told_before_any_data_is_read(settings, write_config, tmp_path, loss, named):
    with pytest.raises(ModelError, match=named):
        train(load_config(write_config({**settings, "loss": loss})))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "split.json").exists()


def test_a_run_may_be_judged_by_dnsmos(settings, write_config, shared):
    loss = {"dnsmos_ovrl": 1.0, "dnsmos_folder": str(shared / "dnsmos")}
    scores = train(load_config(write_config({**settings, "loss": loss}))).scores
    assert np.isfinite(list(scores.values())).all()


def test_a_run_writes_what_it_says(settings, write_config, tmp_path):
    result = train(load_config(write_config(settings)))
    assert (result.output, result.step, result.steps, result.is_complete) == (tmp_path / "run", 6, 6, True)
    assert result.interrupted_by is None
    scores = result.scores
    assert set(scores) == {"si_snr_db", "pesq", "stoi", "log_mel"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 3, 6]
    assert "noisy_pesq" in lines[0] and "pesq" in lines[1]
    for name in ("best", "last"):
        stored = safetensors.numpy.load_file(tmp_path / "run" / f"{name}.safetensors")
        assert {key: array.shape for key, array in stored.items()} == {
            key: tuple(tensor.shape) for key, tensor in GTCRN().state_dict().items()
        }
    with pytest.raises(ConfigError, match="--resume"):
        train(load_config(write_config(settings)))


def test_a_checkpoint_from_before_the_fused_optimizer_is_resumed():
    config = OptimConfig()
    state = new_trainer(config).state()
    for group in state["optimizer"]["param_groups"]:
        group["fused"] = None
    trainer = new_trainer(config)
    trainer.load(state)
    assert all(group["fused"] for group in trainer.optimizer.param_groups)


def test_resume_needs_a_checkpoint(settings, write_config, tmp_path):
    with pytest.raises(ConfigError, match="nothing to resume"):
        train(load_config(write_config(settings)), resume=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ConfigError, match="not a training checkpoint"):
        train(load_config(write_config(settings)), resume=True)


def test_signals_are_noted_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped() == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_rate_rises_then_falls():
    config = OptimConfig(steps=100, warmup_steps=10, peak_lr=1.0, final_lr=0.0)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[9] == 1.0 and rates[0] == 0.1
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0)


def test_recomputed_norms_are_the_mean_over_batches():
    network = GTCRN().eval()
    spectra = [torch.randn(2, 257, 10, 2) for _ in range(3)]
    recompute_norms(network, spectra)
    first = norm_layers(network)[0]
    assert not network.training and first.momentum == 0.1
    features = [network.encoder.en_convs[0].conv(network._features(spec)) for spec in spectra]
    expected = torch.stack([feature.mean((0, 2, 3)) for feature in features]).mean(0)
    torch.testing.assert_close(first.running_mean, expected, atol=1e-5, rtol=1e-4)


def test_the_average_follows_the_weights():
    network, average = GTCRN(), GTCRN()
    target = network.decoder.de_convs[0].point_conv1.weight
    ours = average.decoder.de_convs[0].point_conv1.weight
    distance = (ours - target).norm().item()
    update_ema(average, network, 0.9, step=10_000)
    assert (ours - target).norm().item() == pytest.approx(0.9 * distance, rel=1e-4)
    update_ema(average, network, 0.9, step=0)  # early, the average is nearly the last weights
    assert (ours - target).norm().item() == pytest.approx(0.9 * 0.1 * distance, rel=1e-4)


def test_a_longer_schedule_thaws_batch_norm():
    short = OptimConfig(steps=10, freeze_norm_fraction=0.2)
    trainer = new_trainer(short)
    trainer.step, trainer.norms_frozen = 9, True
    for steps, frozen in ((10, True), (11, True), (100, False)):
        again = new_trainer(dataclasses.replace(short, steps=steps))
        again.load(trainer.state())
        assert again.norms_frozen is frozen


class Loudness(torch.nn.Module):
    """A recogniser that computes one feature: the logarithm of the power in frames."""

    def forward(self, samples):
        frames = samples.unfold(-1, 320, 320).square().mean(-1)
        return [(frames + 1e-6).log()[..., None]]


def loudness(sample_rate):
    return Loudness()


def test_validation_reports_the_recognizer_and_may_choose_by_it(settings, write_config, tmp_path):
    loss = {"recognizers": [{"factory": f"{__file__}:loudness", "weight": 2.0}]}
    validation = {**settings["validation"], "metric": "recognizer", "every_steps": 1}
    config = load_config(write_config({**settings, "loss": loss, "validation": validation}))
    scores = train(config).scores
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[0]["noisy_recognizer"] > 0 and scores["recognizer"] == log[-1]["recognizer"]
    with safetensors.safe_open(tmp_path / "run" / "best.safetensors", "numpy") as file:
        best = file.metadata()
    distances = {line["step"]: line["recognizer"] for line in log[1:]}
    assert float(best["recognizer"]) == min(distances.values()) == distances[int(best["step"])]
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert (state["best_metric"], state["best"]) == ("recognizer", -min(distances.values()))


def test_another_metric_starts_to_choose_anew(settings, write_config, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 4)  # after a validation
    train(load_config(write_config(settings)))
    by_pesq = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    validation = {**settings["validation"], "metric": "log_mel"}
    scores = train(load_config(write_config({**settings, "validation": validation})), resume=True).scores
    by_log_mel = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert (by_pesq["best_metric"], by_log_mel["best_metric"]) == ("pesq", "log_mel")
    assert by_pesq["best"] > 0 and by_log_mel["best"] == -scores["log_mel"]


def test_a_checkpoint_from_before_the_choice_of_a_metric_was_chosen_by_pesq():
    state = new_trainer(OptimConfig()).state()
    del state["best_metric"]
    trainer = new_trainer(OptimConfig())
    trainer.load(state)
    assert trainer.best_metric == "pesq"
