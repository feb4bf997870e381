"""Batches made ahead of time by a real worker process."""

import importlib
import os
import signal
import time

import pytest

from gtcrn_frontend.training.prefetch import AHEAD, Prefetcher

MODULE = """
class Numbers:
    # Items are their numbers; each that is made is written to a file.
    def __init__(self, path):
        self.path = path

    def __getitem__(self, step):
        if step == 99:
            raise ValueError("no such recording")
        with self.path.open("a") as file:
            file.write(f"{step}\\n")
        return (step,)
"""


@pytest.fixture
def made(tmp_path):
    """The file that lists the items made so far."""
    return tmp_path / "made"


@pytest.fixture
def numbers(tmp_path, made, monkeypatch):
    """Batches of a module that the worker can import."""
    (tmp_path / "numbers_of_steps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("numbers_of_steps").Numbers(made)


def count(made, least):
    """Waits until so many have been made, and then for a while; returns how many there are."""
    for _ in range(1200):
        if made.exists() and len(made.read_text().split()) >= least:
            break
        time.sleep(0.05)
    time.sleep(0.5)
    return len(made.read_text().split())


def test_batches_come_in_the_order_of_their_steps(numbers):
    with Prefetcher(numbers, range(5, 17)) as prefetcher:
        assert [prefetcher.next() for _ in range(12)] == [(step,) for step in range(5, 17)]


def test_the_worker_waits_while_training_pauses_and_ignores_signals(numbers, made):
    with Prefetcher(numbers, range(10_000)) as prefetcher:
        assert prefetcher.next() == (0,)
        # Besides those in the queue: the one taken, and one that waits to be put.
        assert AHEAD <= count(made, AHEAD) <= AHEAD + 2
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(prefetcher._process.pid, number)
        assert [prefetcher.next() for _ in range(20)] == [(step,) for step in range(1, 21)]
    assert prefetcher._process.exitcode == -signal.SIGKILL


def test_a_worker_that_fails_ends_the_run(numbers, capfd):
    with Prefetcher(numbers, range(97, 120)) as prefetcher:
        assert [prefetcher.next() for _ in range(2)] == [(97,), (98,)]
        with pytest.raises(RuntimeError, match="the worker that mixes training data ended with code 1"):
            prefetcher.next()
    assert "no such recording" in capfd.readouterr().err
