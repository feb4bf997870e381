"""The recipe and the inference of `examples/`: a Brain that knows nothing of the front-end in its YAML."""

import logging
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SMALL = """items:
    train: 6
    valid: 3
    test: 3
"""
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def _experiments_leave_no_traces() -> Iterator[None]:
    """SpeechBrain's experiments log into files of theirs, and take over the printing of exceptions."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the example in a folder of its own, with less data; returns the results it prints."""

    def run(epochs: int, *edits: tuple[str, str]) -> str:
        text = (EXAMPLES / "speechbrain_recipe.yaml").read_text()
        text = re.sub(r"items:.*\n(    .*\n)+", SMALL, text)
        for pattern, replacement in edits:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            assert count == 1, pattern
        hparams_file = tmp_path / "hparams.yaml"
        hparams_file.write_text(text)
        overrides = [f"--number_of_epochs={epochs}", f"--output_folder={tmp_path / 'out'}"]
        arguments = [str(hparams_file), *overrides, "--device=cpu", "--noprogressbar"]
        monkeypatch.setattr(sys, "argv", ["speechbrain_recipe.py", *arguments])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / "speechbrain_recipe.py"), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()  # SpeechBrain's log is among them
        return "\n".join(line for line in lines if line.startswith(("epoch", "test")))

    return run


def saved(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """What the last checkpoint holds of the networks."""
    last = max((folder / "out" / "save").iterdir())
    return {name: torch.load(last / f"{name}.ckpt") for name in ("frontend", "model")}


def test_it_trains_checkpoints_resumes_and_evaluates(run: Run, tmp_path: Path) -> None:
    first = run(1)
    assert re.search(r"^epoch 1: training loss [\d.]+, error rate [\d.]+ %\ntest: loss [\d.]+, error rate", first)
    after_one = saved(tmp_path)
    reference = EnhanceFrontend().state_dict()
    assert all(torch.equal(tensor, reference[name]) for name, tensor in after_one["frontend"].items())

    second = run(2)
    assert "epoch 1:" not in second
    assert re.search(r"^epoch 2: .*\ntest: ", second)
    changed = saved(tmp_path)["model"]
    assert any(not torch.equal(tensor, changed[name]) for name, tensor in after_one["model"].items())

    assert run(2).splitlines()[0].startswith("test: "), "nothing is left to train"


def test_the_trained_recogniser_transcribes_with_a_front_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(1)
    wavs = [str(tmp_path / "out" / "data" / "test" / f"{item}.wav") for item in range(3)]
    monkeypatch.setattr(sys, "argv", ["speechbrain_inference.py", str(tmp_path / "out"), *wavs])
    runpy.run_path(str(EXAMPLES / "speechbrain_inference.py"), run_name="__main__")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    assert len(lines) == 3
    assert all(re.search(r"\.wav: raw '[iaue]*', with front-end '[iaue]*'$", line) for line in lines)


def test_it_trains_the_front_end_too(run: Run, tmp_path: Path) -> None:
    run(1, (r"^    train_strength: .*$", "    trainable: True"))
    tuned = saved(tmp_path)["frontend"]
    reference = EnhanceFrontend().state_dict()
    assert set(tuned) == set(reference)
    moved = {name for name in tuned if not torch.equal(tuned[name], reference[name])}
    assert len(moved) > 100
    assert not any("running_" in name or "erb" in name for name in moved)
    assert "test: " in run(1, (r"^    train_strength: .*$", ""))  # the same checkpoint, frozen and in the fast engine
    frontend = EnhanceFrontend()
    frontend.load_state_dict(tuned)
    frontend.save_safetensors(tmp_path / "tuned.safetensors")
    assert Enhancer(model=tmp_path / "tuned.safetensors").enhance(torch.randn(1000).numpy()).shape == (1000,)


def test_the_same_recipe_runs_without_a_front_end(run: Run) -> None:
    without = [
        (r"^frontend: .*\n(    .*\n)+", ""),
        (r"^    frontend: !ref <frontend>\n    fbank", "    fbank"),
        (r"^    frontend: !ref <frontend>\n    normalize", "    normalize"),
        (r"^        frontend: !ref <frontend>\n", ""),
    ]
    assert re.search(r"^epoch 1: .*\ntest: ", run(1, *without))
