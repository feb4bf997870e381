"""Training batches made ahead of time by a worker process, in the order of their steps.

The queue is bounded: while training pauses, also after SIGSTOP, the worker soon waits as well.

Not torch's `DataLoader`: its workers end the run when a signal to the process group reaches them, or, if they ignore
it, keep the interpreter from exiting after an error; and they import torch, which mixing does not need.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Sequence
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Protocol

from gtcrn_frontend.training.data.batches import Batch

AHEAD = 6  # batches
POLL_S = 5.0


class Batches(Protocol):
    """Batches by the number of their step; can be pickled."""

    def __getitem__(self, step: int) -> Batch:
        """Returns the batch of a step."""


class Prefetcher:
    """Context manager of the worker process; `next()` returns the batches of the steps in order."""

    def __init__(self, batches: Batches, steps: Sequence[int]) -> None:
        # A fresh interpreter: forking a process that runs torch's threads can deadlock.
        context = multiprocessing.get_context("spawn")
        self._queue: Queue[Batch] = context.Queue(AHEAD)
        self._process = context.Process(target=_work, args=(self._queue, batches, steps), daemon=True)

    def __enter__(self) -> Prefetcher:
        self._process.start()
        return self

    def next(self) -> Batch:
        """Returns the batch of the next step.

        Raises:
            RuntimeError: the worker ended; its traceback is on stderr.
        """
        while True:
            try:
                return self._queue.get(timeout=POLL_S)
            except queue.Empty:
                if not self._process.is_alive():
                    code = self._process.exitcode
                    raise RuntimeError(f"the worker that mixes training data ended with code {code}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it ignores other signals, and has nothing to save
        self._process.join()


def _work(out: Queue[Batch], batches: Batches, steps: Sequence[int]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # terminals send them to the whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    for step in steps:
        batch = batches[step]
        while True:
            try:
                out.put(batch, timeout=POLL_S)
                break
            except queue.Full:
                if parent is None or not parent.is_alive():
                    out.cancel_join_thread()
                    return
