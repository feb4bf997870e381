"""Batches made ahead of time by a real worker process."""

import importlib
import itertools
import time

import pytest

from gtcrn_frontend.training.prefetch import AHEAD, prefetched

MODULE = """
from torch.utils.data import Dataset

class Numbers(Dataset):
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
    """A data set in a module that the worker can import."""
    (tmp_path / "numbers_dataset.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("numbers_dataset").Numbers(made)


def test_batches_come_in_the_order_of_their_steps(numbers):
    assert [step for (step,) in prefetched(numbers, range(5, 17))] == list(range(5, 17))


def test_the_worker_waits_while_training_pauses(numbers, made):
    batches = prefetched(numbers, range(1000))
    assert next(batches) == (0,)
    for _ in itertools.takewhile(lambda _: len(made.read_text().split()) < AHEAD, range(600)):
        time.sleep(0.05)
    time.sleep(0.3)  # it would make hundreds more
    assert AHEAD <= len(made.read_text().split()) <= AHEAD + 1
    assert next(batches) == (1,)


def test_an_error_in_the_worker_is_raised_with_its_traceback(numbers):
    with pytest.raises(ValueError, match=r"(?s)in __getitem__.*no such recording"):
        next(prefetched(numbers, range(99, 100)))
