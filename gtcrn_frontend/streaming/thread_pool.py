"""`ThreadPool`: runs the streams of one call on several threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import MIN_HOPS_PER_THREAD, Engine

Job = tuple[F32, Any]
"""Hops of one channel, and its engine state."""


class ThreadPool:
    """Runs an engine on several threads; engines release the GIL most of the time.

    The threads end when the object is garbage-collected. They do not survive a fork.

    Args:
        num_threads: number of threads, including the caller's; each processes its share of the streams.
    """

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self._executor = ThreadPoolExecutor(num_threads - 1, "stream-pool") if num_threads > 1 else None

    def process_many(self, engine: Engine[Any], jobs: Sequence[Job]) -> list[F32]:
        """Returns what `engine.process_many` does.

        Raises:
            Exception: the exception of one of the threads, after all have finished.
        """
        if self._executor is None:
            return engine.process_many(jobs)
        parts = _divide([len(hops) for hops, _ in jobs], self.num_threads)
        of_part = [[jobs[i] for i in part] for part in parts]
        futures = [self._executor.submit(engine.process_many, part) for part in of_part[1:]]
        try:
            results = [engine.process_many(of_part[0])]
        finally:
            wait(futures)
        results += [future.result() for future in futures]
        by_index = {
            i: hops
            for part, enhanced in zip(parts, results, strict=True)
            for i, hops in zip(part, enhanced, strict=True)
        }
        return [by_index[i] for i in range(len(jobs))]


def _divide(n_hops: Sequence[int], num_threads: int) -> list[list[int]]:
    """Splits the job indices into at most `num_threads` parts with about equally many hops.

    Jobs with equally many hops stay together where possible: an engine runs them as one batch.
    """
    total = sum(n_hops)
    count = max(1, min(num_threads, total // MIN_HOPS_PER_THREAD))
    parts: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for index in sorted(range(len(n_hops)), key=n_hops.__getitem__):
        parts[min(before * count // max(total, 1), count - 1)].append(index)
        before += n_hops[index]
    return parts
