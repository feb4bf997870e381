"""The recipes, on a small corpus made here: they train, save, resume, and what they write streams."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import soundfile
import torch
import yaml

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend
from gtcrn_frontend.adapters.speechbrain.recipes.digits import train as digits
from gtcrn_frontend.adapters.speechbrain.recipes.digits.data import dataio_prepare
from gtcrn_frontend.adapters.speechbrain.recipes.digits.prepare import WORDS, prepare_digits
from gtcrn_frontend.adapters.speechbrain.recipes.gtcrn import train as gtcrn
from gtcrn_frontend.audio.levels import noise_gain
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.checkpoint import load_checkpoint
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.train_loop import train

RATE = 16000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones as digits of three speakers, noise, voices and rooms, with manifest.json."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    entries: list[dict[str, Any]] = []

    def add(path: str, samples: np.ndarray, rate: int, kind: str, **more: str) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / path, samples, rate, subtype="PCM_16")
        entries.append({"path": path, "set": kind, "source": kind, **more})

    t = np.arange(2000) / 8000
    for pitch, speaker in enumerate(("ann", "ben", "cem")):
        for digit, word in enumerate(WORDS):
            for take in (0, 5):
                tone = 0.3 * np.sin(np.pi * t / t[-1]) * np.sin(2 * np.pi * (300 + 20 * pitch) * (1 + digit / 4) * t)
                add(f"digits/{digit}_{speaker}_{take}.flac", tone, 8000, "digits", text=word, speaker=speaker)
    for number in range(4):
        add(f"noise/fan_{number}.wav", 0.1 * rng.standard_normal(2 * RATE), RATE, "noise")
    t = np.arange(2 * RATE) / RATE
    for speaker in range(3):
        harmonics = sum(np.sin(2 * np.pi * k * (100 + 20 * speaker) * t + k) / k for k in range(1, 20))
        voice = 0.1 * harmonics * np.maximum(np.sin(2 * np.pi * 3 * t), 0)
        add(f"speech/{speaker}.wav", voice, RATE, "speech", speaker=str(speaker))
    for room in range(2):
        add(f"rir/{room}.wav", 0.2 * np.exp(-np.arange(3000) / 400) * rng.standard_normal(3000), RATE, "rir")
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Runs a recipe in this process, and undoes what SpeechBrain does to the process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def main(recipe: Any, hparams: str, **overrides: object) -> Any:
        arguments = [f"--{name}={value}" for name, value in overrides.items()]
        return recipe.main([hparams, "--device=cpu", "--noprogressbar", *arguments])

    yield main
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="module")
def small(corpus: Path) -> dict[str, object]:
    """Overrides that make the recipes of digits small."""
    return {
        "data_folder": corpus,
        "cache_folder": corpus / "cache",
        "split_file": corpus / "split.json",
        "test_speakers": "[cem]",
        "test_snrs_db": "[5]",
        "train_strings": 8,
        "valid_strings": 2,
        "test_strings": 2,
        "batch_size": 4,
        "num_workers": 0,
        "number_of_epochs": 1,
    }


@pytest.fixture
def recognizer(run, small, tmp_path) -> Path:
    """A recogniser of digits as `frozen.yaml` begins with."""
    run(digits, "frozen.yaml", **small | {"output_folder": tmp_path / "digits", "number_of_epochs": 0})
    return tmp_path / "digits/recognizer.ckpt"


def logged(folder: Path, key: str) -> list[float]:
    """The values under a name in a run's log, one for each epoch."""
    return [float(value) for value in re.findall(rf"{key}: (\S+?),? ", (folder / "train_log.txt").read_text() + " ")]


def test_digits_train_behind_the_frozen_front_end_and_then_with_it(run, small, tmp_path):
    frozen, joint = tmp_path / "frozen", tmp_path / "joint"
    for epochs in (1, 2):  # the second run goes on
        rows = run(digits, "frozen.yaml", **small | {"output_folder": frozen, "number_of_epochs": epochs})
        assert logged(frozen, "epoch") == list(range(1, epochs + 1))
    losses = logged(frozen, "train loss")
    assert losses[1] < losses[0]
    assert list(rows) == ["raw", "front-end"]
    assert all(list(counts) == ["5 dB", "clean"] for counts in rows.values())
    assert all(len(of_utterances) == 2 for counts in rows.values() for of_utterances in counts.values())
    lines = (frozen / "wer.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["WER %", "-" * 11, "raw", "front-end"]
    weights = [torch.load(path, weights_only=True) for path in sorted((frozen / "save").glob("*/frontend.ckpt"))]
    untouched = EnhanceFrontend().state_dict()
    assert weights and all(torch.equal(tensor, untouched[name]) for name, tensor in weights[0].items())

    recognizer = frozen / "recognizer.ckpt"
    settings = small | {"pretrained_recognizer": recognizer, "fused": False}
    for epochs in (1, 2):
        rows = run(digits, "joint.yaml", **settings | {"output_folder": joint, "number_of_epochs": epochs})
    losses = logged(joint, "train loss")
    assert logged(joint, "epoch") == [1, 2] and losses[1] < losses[0]
    assert list(rows) == ["raw", "front-end", "joint"]
    before, after = (torch.load(path, weights_only=True) for path in (recognizer, joint / "recognizer.ckpt"))
    assert all(torch.equal(before[name], after[name]) for name in before)

    path = joint / "gtcrn-joint.safetensors"
    network = EnhanceFrontend(path, trainable=True).eval()
    assert not torch.equal(network.net.dpgrnn1.intra_fc.weight, untouched["net.dpgrnn1.intra_fc.weight"])
    noisy = np.random.default_rng(1).normal(0, 0.1, 5000).astype(np.float32)
    enhancer = Enhancer(model=path)
    chunks = [enhancer.process_chunk(chunk) for chunk in np.array_split(noisy, 7)]
    streamed = np.concatenate([*chunks, enhancer.flush()])
    with torch.no_grad():
        offline = network(torch.from_numpy(noisy)[None])[0].numpy()
    np.testing.assert_allclose(streamed, offline, atol=1e-4)


def test_recogniser_and_front_end_train_together(run, small, recognizer, tmp_path):
    joint = tmp_path / "joint"
    overrides = {"pretrained_recognizer": recognizer, "train_recognizer": True, "train_strings": 4}
    run(digits, "joint.yaml", **small | overrides | {"output_folder": joint, "fused": False})
    before, after = (torch.load(path, weights_only=True) for path in (recognizer, joint / "recognizer.ckpt"))
    assert not torch.equal(before["output.weight"], after["output.weight"])
    trained = EnhanceFrontend(joint / "gtcrn-joint.safetensors").state_dict()["net.dpgrnn1.intra_fc.weight"]
    assert not torch.equal(EnhanceFrontend().net.dpgrnn1.intra_fc.weight, trained)


def test_the_recipe_is_one_command(small, tmp_path):
    overrides = small | {"output_folder": tmp_path, "number_of_epochs": 0, "test_strings": 1}
    command = [sys.executable, "-m", "gtcrn_frontend.adapters.speechbrain.recipes.digits.train", "frozen.yaml"]
    arguments = [f"--{name}={value}" for name, value in overrides.items()]
    done = subprocess.run([*command, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (tmp_path / "wer.md").read_text() in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frozen.yaml", "--data_folder=absent"], "error: absent/manifest.json: expected a manifest"),
        (["cold.yaml"], "error: expected a hyperparameter file, or one of frozen.yaml, joint.yaml, got cold.yaml"),
    ],
)
def test_mistakes_end_it_without_a_traceback(arguments, message, tmp_path):
    command = [sys.executable, "-m", "gtcrn_frontend.adapters.speechbrain.recipes.digits.train", *arguments]
    done = subprocess.run([*command, f"--output_folder={tmp_path}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(message)
    assert "Traceback" not in done.stderr


def test_manifests_keep_speakers_takes_and_noises_apart(corpus, tmp_path):
    arguments: dict[str, Any] = {
        "split_file": tmp_path / "split.json",
        "noise_group": None,
        "test_speakers": ["cem"],
        "snr_db": [0, 10],
        "test_snrs_db": [5],
        "strings": {"train": 30, "valid": 30, "test": 10},
        "seed": 1,
    }
    prepare_digits(corpus, tmp_path, **arguments)
    parts = {part: json.loads((tmp_path / f"{part}.json").read_text()) for part in ("train", "valid", "test")}
    assert {part: len(entries) for part, entries in parts.items()} == {"train": 30, "valid": 30, "test": 20}
    used = {
        part: {
            "speakers": {entry["speaker"] for entry in entries.values()},
            "takes": {take for entry in entries.values() for take in entry["takes"]},
            "noises": {entry["noise"] for entry in entries.values()} - {None},
        }
        for part, entries in parts.items()
    }
    assert used["test"]["speakers"] == {"cem"} and used["train"]["speakers"] == {"ann", "ben"}
    assert not used["train"]["takes"] & used["valid"]["takes"]
    assert not used["test"]["noises"] & (used["train"]["noises"] | used["valid"]["noises"])
    written = (tmp_path / "train.json").read_bytes()
    prepare_digits(corpus, tmp_path, **arguments)
    assert (tmp_path / "train.json").read_bytes() == written
    with pytest.raises(ConfigError, match="no digits or no noise for the part 'test'"):
        prepare_digits(corpus, tmp_path, **arguments | {"test_speakers": []})
    with pytest.raises(ConfigError, match="expected a manifest, found nothing there"):
        prepare_digits(tmp_path / "absent", tmp_path, **arguments)


def test_a_mixture_is_what_its_entry_says(corpus, tmp_path):
    entry = {
        "words": "two zero",
        "takes": ["{data_root}/digits/2_ann_5.flac", "{data_root}/digits/0_ann_5.flac"],
        "peaks": [0.5, 0.25],
        "gaps_s": [0.1, 0.2, 0.3],
        "speed_percent": 100,
        "room_db": None,
        "seed": 3,
    }
    noise = {"noise": "{data_root}/noise/fan_0.wav", "snr_db": 6.0, "condition": "6 dB"}
    clean = {"noise": None, "snr_db": None, "condition": "clean"}
    entries = {"a": entry | noise, "b": entry | clean, "c": entry | noise | {"speed_percent": 80, "room_db": -60.0}}
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.json").write_text(json.dumps(entries))
    items = list(dataio_prepare(tmp_path, corpus, tmp_path / "cache")["train"])
    assert items[0]["tokens"].tolist() == [3, 1]
    assert [item["condition"] for item in items] == ["6 dB", "clean", "6 dB"]
    assert len(items[0]["sig"]) == len(items[0]["clean"]) == round(0.6 * RATE) + 2 * 4000
    assert torch.equal(items[1]["sig"], items[0]["clean"]) and torch.equal(items[1]["sig"], items[1]["clean"])
    speech = items[0]["clean"].numpy()
    assert not speech[: RATE // 10].any() and not speech[-3 * RATE // 10 :].any()
    assert speech[:6000].max() == pytest.approx(0.5, abs=1e-3) and speech[6000:].max() == pytest.approx(0.25, abs=1e-3)
    assert noise_gain(speech, items[0]["sig"].numpy() - speech, 6.0) == pytest.approx(1, rel=1e-3)
    assert len(items[2]["sig"]) == pytest.approx(len(speech) / 0.8, abs=1)


@pytest.fixture
def gtcrn_settings(corpus: Path) -> dict[str, object]:
    return {
        "data_folder": corpus,
        "cache_folder": corpus / "cache",
        "number_of_epochs": 2,
        "steps_per_epoch": 4,
        "batch_size": 2,
        "segment_s": 0.5,
        "warmup_steps": 0,
        "freeze_norm_fraction": 0.26,
        "norm_batches": 2,
        "validation_mixtures": 2,
        "validation_s": 2.0,
        "fused": False,
        "num_workers": 0,
        "ckpt_interval_minutes": 0,
        "pretrained_recognizer": "null",
    }


@pytest.mark.parametrize("network", ["lite_rtse", "wavecrn"])
def test_another_network_trains_by_name(run, gtcrn_settings, network, tmp_path):
    settings = gtcrn_settings | {"number_of_epochs": 1, "steps_per_epoch": 2, "network": network}
    for epochs in (1, 2):  # the second run goes on
        scores = run(gtcrn, "gtcrn.yaml", **settings | {"number_of_epochs": epochs, "output_folder": tmp_path})
        assert logged(tmp_path, "epoch") == list(range(1, epochs + 1))
    assert all(np.isfinite(value) for value in scores.values())
    assert Enhancer(tmp_path / f"{network}.safetensors").spec.name == network
    assert not (tmp_path / "wer.md").exists()


def test_what_was_trained_is_judged_by_the_recogniser_of_digits(
    run, small, gtcrn_settings, recognizer, tmp_path, monkeypatch
):
    """As `frozen.yaml` judges it, in noise that is held out from this training."""
    named = {name: small[name] for name in ("split_file", "test_speakers", "test_snrs_db", "test_strings")}
    output = tmp_path / "lite_rtse"
    settings = gtcrn_settings | named | {"pretrained_recognizer": recognizer, "output_folder": output}
    settings |= {"number_of_epochs": 1, "steps_per_epoch": 2, "network": "lite_rtse"}
    run(gtcrn, "gtcrn.yaml", **settings)
    expected = {"pretrained_recognizer": recognizer, "model": output / "lite_rtse.safetensors", "number_of_epochs": 0}
    run(digits, "frozen.yaml", **small | expected | {"output_folder": tmp_path / "again"})
    table = (output / "wer.md").read_text()
    assert table == (tmp_path / "again/wer.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines()][2:] == ["raw", "front-end"]

    def untouched(*_: object) -> None:
        raise AssertionError("trained before it was known that nothing can be judged")

    monkeypatch.setattr(gtcrn.GtcrnBrain, "fit", untouched)
    with pytest.raises(ConfigError, match=r"expected a trained recogniser, got .*absent\.ckpt.*frozen\.yaml"):
        run(gtcrn, "gtcrn.yaml", **settings | {"pretrained_recognizer": tmp_path / "absent.ckpt"})
    with pytest.raises(ConfigError, match="no digits or no noise for the part 'test'"):
        run(gtcrn, "gtcrn.yaml", **settings | {"test_speakers": "[]"})


def test_gtcrn_trains_resumes_to_the_bit_and_equals_the_command(run, gtcrn_settings, corpus, tmp_path, monkeypatch):
    whole, parts, command = tmp_path / "whole", tmp_path / "parts", tmp_path / "command"
    gtcrn_settings["split_file"] = tmp_path / "split.json"
    scores = run(gtcrn, "gtcrn.yaml", **gtcrn_settings, output_folder=whole)
    assert set(scores) == {"si_snr_db", "pesq", "stoi", "log_mel"}
    losses = logged(whole, "train loss")
    assert len(losses) == 2 and losses[1] < losses[0]

    end = gtcrn.GtcrnBrain.on_fit_batch_end

    def stop(brain: Any, *arguments: Any) -> None:
        end(brain, *arguments)
        if brain.optimizer_step == 6:
            raise KeyboardInterrupt

    # Every step is saved but the one that is interrupted: the second run begins in the middle of an epoch.
    monkeypatch.setattr(gtcrn.GtcrnBrain, "on_fit_batch_end", stop)
    often = {"output_folder": parts, "ckpt_interval_steps": 1}
    with pytest.raises(KeyboardInterrupt):
        run(gtcrn, "gtcrn.yaml", **gtcrn_settings, **often)
    monkeypatch.setattr(gtcrn.GtcrnBrain, "on_fit_batch_end", end)
    assert run(gtcrn, "gtcrn.yaml", **gtcrn_settings, **often) == scores
    written = [safetensors.numpy.load_file(folder / "gtcrn.safetensors") for folder in (whole, parts)]
    for name, array in written[0].items():
        np.testing.assert_array_equal(array, written[1][name])
    assert len(Enhancer(model=whole / "gtcrn.safetensors").enhance(np.zeros(1000, np.float32))) == 1000

    settings = {
        "output": str(command),
        "cache": str(corpus / "cache"),
        "corpora": [{"manifest": str(corpus / "manifest.json")}],
        "held_out": {"file": str(tmp_path / "split.json")},
        "mixing": {"segment_s": 0.5},
        "optim": {
            "steps": 8,
            "batch_size": 2,
            "warmup_steps": 0,
            "norm_batches": 2,
            "freeze_norm_fraction": 0.26,
            "fused": False,
        },
        "validation": {"every_steps": 4, "mixtures": 2, "seconds": 2.0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    train(load_config(tmp_path / "config.yaml"))
    trained = load_checkpoint(command / "checkpoint.pt")["network"]
    last = max((whole / "save").glob("CKPT*"), key=lambda path: path.name)
    for name, tensor in torch.load(last / "network.ckpt", weights_only=True).items():
        torch.testing.assert_close(tensor, trained[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("variable", "threads"), [(None, 1), ("2", 2)])
def test_a_recipe_computes_in_one_thread_unless_told_otherwise(variable: str | None, threads: int) -> None:
    program = "import torch; from gtcrn_frontend.adapters.speechbrain.recipes.common import run_as_command; "
    program += "run_as_command(lambda arguments: print(torch.get_num_threads()))"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": variable} if variable else {}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == [str(threads)], done.stderr
