"""Batches made ahead of time by one worker process, in a fixed order, behind a short queue.

The queue is bounded: when training pauses (also by SIGSTOP), the worker soon waits as well.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from multiprocessing.queues import Queue
from types import TracebackType

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.training.data.mixing import Mixer
from gtcrn_frontend.training.distillation import Teacher

Samples = npt.NDArray[np.float32]
Item = tuple[Samples, ...]

AHEAD = 6  # batches
POLL_S = 5.0


class Prefetcher:
    """Context manager around the worker; `next()` gives the batches of step `first_step`, `first_step + 1`, ...

    With a rank, they are those of one of several processes.
    """

    def __init__(
        self,
        mixer: Mixer,
        batch_size: int,
        seed: int,
        first_step: int,
        teacher: Teacher | None = None,
        rank: int | None = None,
    ) -> None:
        # A fresh interpreter: forking a process that runs torch's threads can deadlock.
        context = multiprocessing.get_context("spawn")
        self._queue: Queue[Item] = context.Queue(AHEAD)
        self._process = context.Process(
            target=_work,
            args=(self._queue, mixer, batch_size, seed, first_step, teacher, rank),
            daemon=True,
        )

    def __enter__(self) -> Prefetcher:
        self._process.start()
        return self

    def next(self) -> Item:
        """Returns noisy, target and, if there is a teacher, its output for the next step, `(batch_size, n) float32`.

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
        self._process.kill()  # it ignores gentler signals, and has nothing to lose
        self._process.join()


def _work(
    out: Queue[Item], mixer: Mixer, batch_size: int, seed: int, step: int, teacher: Teacher | None, rank: int | None
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # they may reach the whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    out.cancel_join_thread()
    parent = multiprocessing.parent_process()
    while True:
        noisy, target = mixer.batch((seed, step) if rank is None else (seed, step, rank), batch_size)
        item = (noisy, target) if teacher is None else (noisy, target, teacher(noisy))
        while True:
            try:
                out.put(item, timeout=POLL_S)
                break
            except queue.Full:
                if parent is None or not parent.is_alive():
                    return
        step += 1
