from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest

from gtcrn_frontend.corpus.local import Stopped, in_threads


def test_each_task_once_with_its_result_or_error() -> None:
    def work(task: int, stop: Event) -> int:
        if task % 7 == 3:
            raise ValueError(task)
        return task * task

    results = dict(in_threads(work, iter(range(100)), 3))
    assert results.keys() == set(range(100))
    for task, future in results.items():
        if task % 7 == 3:
            assert isinstance(future.exception(), ValueError)
        else:
            assert future.result() == task * task


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for task in range(1000):
            taken.append(task)
            yield task

    with closing(in_threads(lambda task, stop: task, tasks(), 2)) as results:
        next(results)
        assert len(taken) <= 16
    assert len(taken) <= 16, "nothing was taken after the end"


def test_closing_stops_those_that_run() -> None:
    stopped = []

    def work(task: int, stop: Event) -> None:
        if task == 0:
            return
        if stop.wait(60):
            stopped.append(task)
            raise Stopped

    results = in_threads(work, range(1000), 2)
    next(results)
    results.close()
    assert 1 <= len(stopped) <= 2
    with pytest.raises(StopIteration):
        next(results)
