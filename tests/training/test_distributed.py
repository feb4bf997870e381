"""Data-parallel training in real processes, started by torchrun."""

import json
import subprocess
import sys

import pytest
import safetensors.numpy
import torch

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.checkpoint import load_checkpoint
from gtcrn_frontend.training.config import OptimConfig
from gtcrn_frontend.training.distributed import SINGLE_PROCESS, ProcessGroup, current_process_group, join_process_group

TRAIN = "import sys; from gtcrn_frontend.cli.main import main; sys.exit(main(sys.argv[1:]))"


def torchrun(script, *arguments, processes=2):
    """Returns what a script prints and logs in so many processes."""
    launch = [sys.executable, "-P", "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    command = [*launch, "--no-python", sys.executable, "-P", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_gradients_are_averaged_and_the_main_process_is_first(tmp_path):
    script = """
import sys, pathlib, torch
from gtcrn_frontend.training.config import OptimConfig
from gtcrn_frontend.training.distributed import join_process_group
with join_process_group(OptimConfig(batch_size=6)) as process_group:
    torch.manual_seed(process_group.rank)
    network = torch.nn.Linear(3, 1)
    parallel = process_group.parallel(network)  # all get the weights of rank 0
    x = torch.arange(3.0) + process_group.rank
    parallel(x).sum().backward()
    torch.manual_seed(0)
    assert torch.equal(network.weight, torch.nn.Linear(3, 1).weight)
    assert network.weight.grad.tolist() == [[1.0, 2.0, 3.0]], network.weight.grad
    assert process_group.mean(torch.tensor(10.0 * process_group.rank)) == 10
    assert process_group.any(process_group.rank == 2) and not process_group.any(False)
    note = pathlib.Path(sys.argv[1])
    with process_group.main_first():
        assert process_group.is_main or note.exists()
        note.write_text("here")
    assert (process_group.size, process_group.share(6), process_group.is_main) == (3, 2, process_group.rank == 0)
"""
    done = torchrun(script, tmp_path / "note", processes=3)
    assert done.returncode == 0, done.stderr


def test_the_processes_together_take_the_step_of_one_process(tmp_path):
    script = """
import sys, torch
from gtcrn_frontend.training.config import LossConfig, OptimConfig
from gtcrn_frontend.training.distributed import join_process_group
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.trainer import new_trainer
optim = OptimConfig(batch_size=4, warmup_steps=0, fused=False, freeze_norm_fraction=1.0)
with join_process_group(optim) as process_group:
    trainer = new_trainer(optim)
    trainer.norms_frozen = True  # otherwise each process normalises by its own examples
    target = 0.1 * torch.sin(torch.arange(6400) * torch.tensor([[0.1], [0.23], [0.31], [0.05]]))
    noisy = target + 0.05 * torch.randn(4, 6400, generator=torch.Generator().manual_seed(0))
    count = process_group.share(4)
    own = slice(process_group.rank * count, (process_group.rank + 1) * count)
    objective = CombinedLoss(LossConfig(), Transform(GTCRN_SPEC))
    parallel = process_group.parallel(trainer.network)
    for _ in range(2):
        trainer.learn(objective, noisy[own], target[own], None, process_group, parallel)
    torch.save(trainer.network.state_dict(), f"{sys.argv[1]}/{process_group.size}-{process_group.rank}.pt")
"""
    for processes in (1, 2):
        done = torchrun(script, tmp_path, processes=processes)
        assert done.returncode == 0, done.stderr
    alone, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name, values in first.items():
        assert torch.equal(values, second[name]), name
        torch.testing.assert_close(values, alone[name], rtol=1e-3, atol=2e-5, msg=name)


def test_two_processes_train_stop_and_resume(settings, write_config, tmp_path):
    config = write_config(settings)
    for arguments in (["--max-seconds", "0"], ["--resume"]):
        done = torchrun(TRAIN, "train", config, *arguments)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() > {"output", "step", "pesq"}  # one line, from the main process
    assert [json.loads(line)["step"] for line in (tmp_path / "run/log.jsonl").read_text().splitlines()] == [
        0,
        0,
        3,
        6,
    ]  # each once: both slices began at 0
    state = load_checkpoint(tmp_path / "run/checkpoint.pt")
    assert state["step"] == settings["optim"]["steps"]
    assert safetensors.numpy.load_file(tmp_path / "run/last.safetensors")


def test_one_that_cannot_begin_ends_all(settings, write_config):
    config = write_config({**settings, "corpora": [{"manifest": "absent.json"}]})
    done = torchrun(TRAIN, "train", config)
    assert done.returncode != 0 and not done.stdout
    assert "absent.json" in done.stderr and "the main process could not begin" in done.stderr


def test_variables_of_other_launchers_mean_nothing(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert current_process_group() == SINGLE_PROCESS


def test_a_batch_that_cannot_be_divided(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "1", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    assert current_process_group() == ProcessGroup(1, 3)
    with (
        pytest.raises(ConfigError, match="batch_size: expected a multiple of the 3 processes, got 4"),
        join_process_group(OptimConfig(batch_size=4)),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="device: several processes train on the cpu only, got cuda"),
        join_process_group(OptimConfig(batch_size=6, device="cuda")),
    ):
        pass


def test_alone_nothing_is_shared():
    assert SINGLE_PROCESS.any(True) and not SINGLE_PROCESS.any(False)
    assert SINGLE_PROCESS.share(5) == 5
