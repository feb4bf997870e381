"""Handlers that misbehave are modules of their own: a spawned process imports what it runs by name."""

import sys
import time
from pathlib import Path

import pytest

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.worker_pool import FAILURES_BEFORE_SUCCESS, Failure, Work, WorkerPool

HANDLERS = """
import os, subprocess, sys, time

class Make:
    def __init__(self, mood="good"):
        self.mood = mood

    def __call__(self):
        if self.mood == "broken":
            raise ValueError("no such model")
        if self.mood == "dying":
            os._exit(3)
        return handler

def handler(payload, steps):
    for step in steps:
        if step == "hang":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            with open(payload, "w") as file:
                file.write(str(child.pid))
            child.wait()
        if step == "die":
            os._exit(7)
        if step == "raise":
            raise ValueError("not this one")
        print("chatter")
        yield f"{payload} {step}"
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "handlers_of_test.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import handlers_of_test

    yield handlers_of_test.Make
    del sys.modules["handlers_of_test"]


def is_running(process_id: int) -> bool:
    """Whether a process is there and not only a name that nobody has asked about yet."""
    status = Path(f"/proc/{process_id}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_what_misbehaves_costs_one_result_and_all_else_is_done(make, tmp_path: Path, capfd) -> None:
    child = tmp_path / "child"
    works = [
        Work("a", ("1", "die", "2"), 60),
        Work("b", ("raise", "1"), 60),
        Work(str(child), ("hang", "1"), 3),
        Work("c", (), 60),
        *(Work("d", (str(i),), 60) for i in range(5)),
    ]
    with WorkerPool(make(), 2) as processes:
        results = {(work.payload, step): result for work, step, result in processes.run(works)}
        assert [result for _, _, result in processes.run([Work("again", ("1",), 60)])] == ["again 1"]
    assert results == {
        ("a", "1"): "a 1",
        ("a", "die"): Failure("ended its process (exit code 7)"),
        ("a", "2"): "a 2",
        ("b", "raise"): Failure("ValueError: not this one"),
        ("b", "1"): "b 1",
        (str(child), "hang"): Failure("took longer than 3 s: it was stopped"),
        (str(child), "1"): f"{child} 1",
        **{("d", str(i)): f"d {i}" for i in range(5)},
    }
    until = time.monotonic() + 10  # it is killed; a busy system takes its time to end it
    while is_running(int(child.read_text())) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_running(int(child.read_text()))
    assert "chatter" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("mood", "steps", "message"),
    [
        ("broken", ("1",), "cannot be loaded: ValueError: no such model"),
        ("dying", ("1",), r"ended its process \(exit code 3\) while it was loaded"),
        ("good", ("raise",) * FAILURES_BEFORE_SUCCESS, "never succeeded: ValueError: not this one"),
    ],
)
def test_what_cannot_work_at_all_is_said(make, mood: str, steps: tuple[str, ...], message: str) -> None:
    with WorkerPool(make(mood), 1, "the one at work") as processes, pytest.raises(ModelError, match=message) as raised:
        list(processes.run([Work("a", steps, 60)]))
    assert str(raised.value).startswith("the one at work")


def test_a_module_that_workers_cannot_import_is_named(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerPool(make(), 1) as processes:
        monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
        with pytest.raises(ModelError, match=r"cannot be loaded: ModuleNotFoundError: .*handlers_of_test"):
            list(processes.run([Work("a", ("1",), 60)]))


def test_the_first_of_many_failures_is_named(make) -> None:
    steps = ("die", *("raise",) * FAILURES_BEFORE_SUCCESS)
    with WorkerPool(make(), 1) as processes, pytest.raises(ModelError, match=r"never succeeded: ended its process"):
        list(processes.run([Work("a", steps, 60)]))
