"""Threads of this process that work on many tasks, and the runner that enhances a corpus in them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from threading import Event
from typing import TypeVar

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus.enhance_item import enhance_item
from gtcrn_frontend.corpus.items import Item, Outcome, Runner
from gtcrn_frontend.enhancer import Enhancer

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # tasks per thread that wait: as many as keep the threads busy, not all of a corpus


class Stopped(Exception):  # noqa: N818  not an error
    """To be raised in a task whose `stop` is set."""


def in_threads(work: Callable[[T, Event], R], tasks: Iterable[T], jobs: int) -> Generator[tuple[T, Future[R]]]:
    """Yields each task with its completed future, in the order of completion.

    When the iterator is closed before its end, tasks that wait are dropped, and those that run see that `stop` is set.

    Args:
        work: called with a task and `stop`; its exception is that of the future.
        tasks: in memory are only those that run or are next.
        jobs: number of threads, >= 1.
    """
    stop, running = Event(), dict[Future[R], T]()
    executor = ThreadPoolExecutor(jobs)
    try:
        for task in tasks:
            running[executor.submit(work, task, stop)] = task
            if len(running) >= _AHEAD * jobs:
                yield from _completed(running)
        while running:
            yield from _completed(running)
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def local_runner(jobs: int) -> Runner:
    """Returns a runner that enhances items in threads of this process, which share one model."""

    def run(items: Sequence[Item], config: EnhancerConfig) -> Generator[Outcome]:
        loaded = Enhancer.from_config(config)  # the model stays loaded
        with closing(in_threads(work, ((item, loaded.config) for item in items), jobs)) as results:
            for _, future in results:
                yield future.result()

    def work(task: tuple[Item, EnhancerConfig], stop: Event) -> Outcome:
        def progress(seconds: float) -> None:
            if stop.is_set():
                raise Stopped

        return enhance_item(*task, progress)

    return run


def _completed(running: dict[Future[R], T]) -> Generator[tuple[T, Future[R]]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future
