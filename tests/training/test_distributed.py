"""Several processes train one network: real ones, started by torchrun."""

import json
import subprocess
import sys

import pytest
import safetensors.numpy

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


def test_all_get_the_same_mean_and_wait_for_the_leader(tmp_path):
    script = """
import sys, pathlib, torch
from gtcrn_frontend.training.config import OptimConfig
from gtcrn_frontend.training.distributed import join_process_group
with join_process_group(OptimConfig(batch_size=6)) as process_group:
    tensors = [torch.full((2, 3), float(process_group.rank)), torch.tensor(10.0 * process_group.rank)]
    process_group.average_(tensors)
    assert [t.tolist() for t in tensors] == [[[1.0] * 3] * 2, 10.0], tensors
    assert process_group.any(process_group.rank == 2) and not process_group.any(False)
    note = pathlib.Path(sys.argv[1])
    with process_group.main_first():
        assert process_group.is_main or note.exists()
        note.write_text("here")
    assert (process_group.size, process_group.share(6), process_group.is_main) == (3, 2, process_group.rank == 0)
"""
    done = torchrun(script, tmp_path / "note", processes=3)
    assert done.returncode == 0, done.stderr


def test_two_processes_train_stop_and_go_on(settings, write_config, tmp_path):
    config = write_config(settings)
    for arguments in (["--max-seconds", "0"], ["--resume"]):
        done = torchrun(TRAIN, "train", config, *arguments)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() > {"output", "pesq"}  # one line: the leader's
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
    assert "absent.json" in done.stderr and "the first process could not begin" in done.stderr


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
