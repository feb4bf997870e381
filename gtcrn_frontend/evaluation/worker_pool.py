"""`WorkerPool`: work in several processes, which are killed when they hang and restarted when they die.

A recogniser or a metric is third-party code that may hang or end its process. Here that costs one result, with a
reason, and the other work goes on.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from gtcrn_frontend.errors import ModelError

START_S = 600.0
"""Time limit for a worker to start and to load its models."""
FAILURES_BEFORE_SUCCESS = 8
"""After as many failures and no success the handler is taken not to work at all."""

_END_S = 2.0

Handler = Callable[[Any, Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Work:
    """A job of several steps, each with its own result.

    Attributes:
        payload: what the steps share.
        steps: one argument per step.
        timeout_s: time limit for one step.
    """

    payload: Any
    steps: tuple[Any, ...]
    timeout_s: float


@dataclass(frozen=True)
class Failure:
    """Why a step failed."""

    reason: str


class Pool(Protocol):
    """Workers as `WorkerPool` has them, here or elsewhere."""

    def __enter__(self) -> Pool: ...

    def __exit__(self, *error: object) -> None: ...

    def run(self, works: Iterable[Work]) -> Iterator[tuple[Work, Any, Any]]:
        """Yields work, step, and its result or `Failure`."""


MakePool = Callable[[Callable[[], Handler], int, str], Pool]
"""Makes a pool of a function that returns the handler, a number of workers, and the name of the handler."""


class WorkerPool:
    """Worker processes; a context manager, which ends them.

    Args:
        make: returns the handler, once in each process; must be picklable. The handler is called with a payload and
            steps, and yields a result for each step. An exception of `make` ends all work with a `ModelError`.
        count: number of processes, >= 1.
        name: of the handler in error messages.
    """

    def __init__(self, make: Callable[[], Handler], count: int, name: str = "the recogniser") -> None:
        self._name = name
        self._make = pickle.dumps(make)
        self._count = count
        self._running: list[_Process] = []
        self._successes = self._failures = 0
        self._first_failure = ""

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._running:
            process.end()
        self._running.clear()

    def run(self, works: Iterable[Work]) -> Iterator[tuple[Work, Any, Any]]:
        """Yields work, step, and its result or `Failure`, in the order of completion.

        Raises:
            ModelError: the handler cannot be made, or only failures came; names the first one.
        """
        waiting = deque(work for work in works if work.steps)
        while waiting or any(process.work for process in self._running):
            while len(self._running) < min(self._count, len(waiting) + sum(bool(p.work) for p in self._running)):
                self._running.append(_Process(self._make))
            for process in self._running:
                if process.is_idle and waiting:
                    process.begin(waiting.popleft())
            for process in self._next():
                yield from self._results_of(process, waiting)

    def _next(self) -> list[_Process]:
        """Processes with a message, or past their time limit."""
        now = time.monotonic()
        until_s = min(process.deadline for process in self._running) - now
        ready = wait([p.connection for p in self._running], None if until_s == math.inf else max(until_s, 0))
        now = time.monotonic()
        return [process for process in self._running if process.connection in ready or process.deadline <= now]

    def _results_of(self, process: _Process, waiting: deque[Work]) -> Iterator[tuple[Work, Any, Any]]:
        was_ready = process.is_ready
        try:
            if not process.connection.poll():
                raise TimeoutError
            kind, content = process.connection.recv()
        except (EOFError, OSError) as error:  # TimeoutError is an OSError
            self._running.remove(process)
            is_late = isinstance(error, TimeoutError)
            exit_code = process.end(_END_S if not is_late else 0.0)
            what = "took too long" if is_late else f"ended its process ({_describe_exit(exit_code)})"
            if not was_ready:
                raise ModelError(f"{self._name} {what} while it was loaded") from error
            if process.work:
                work, done = process.work, process.done
                if work.steps[done + 1 :]:
                    waiting.appendleft(Work(work.payload, work.steps[done + 1 :], work.timeout_s))
                late = f"took longer than {work.timeout_s:g} s: it was stopped"
                yield work, work.steps[done], self._counted(Failure(late if is_late else what))
            return
        if kind == "broken":
            raise ModelError(f"{self._name} cannot be loaded: {content}")
        if kind == "ready":
            process.is_ready, process.deadline = True, math.inf
            return
        current, step = process.work, process.done
        if current is None:
            return
        process.advance()
        yield current, current.steps[step], self._counted(Failure(content) if kind == "failed" else content)

    def _counted(self, result: Any) -> Any:
        if not isinstance(result, Failure):
            self._successes += 1
            return result
        self._failures += 1
        self._first_failure = self._first_failure or result.reason
        if not self._successes and self._failures >= FAILURES_BEFORE_SUCCESS:
            raise ModelError(f"{self._name} failed {self._failures} times and never succeeded: {self._first_failure}")
        return result


class _Process:
    """The parent's view of a worker process."""

    def __init__(self, make: bytes) -> None:
        # Not forked: a process with threads of a runtime in it cannot be copied safely.
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(other_end, make), daemon=False)
        self._process.start()
        other_end.close()
        self.is_ready = False
        self.deadline = time.monotonic() + START_S
        self.work: Work | None = None
        self.done = 0

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.work is None

    def begin(self, work: Work) -> None:
        self.work, self.done = work, 0
        self.deadline = time.monotonic() + work.timeout_s
        with suppress(OSError):  # it has died in the meantime, which reading its end of the pipe will show
            self.connection.send((work.payload, work.steps))

    def advance(self) -> None:
        """Counts a step as done; the next one has its own time limit."""
        if self.work is None:
            return
        self.done += 1
        if self.done == len(self.work.steps):
            self.work, self.deadline = None, math.inf
        else:
            self.deadline = time.monotonic() + self.work.timeout_s

    def end(self, patience_s: float = 0.0) -> int | None:
        """Kills the process and its children; returns its exit code if it ended by itself within that time."""
        self._process.join(patience_s)
        exit_code = self._process.exitcode
        if hasattr(os, "killpg") and self._process.pid is not None and self.is_ready:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self.connection.close()
        return exit_code


def _serve(connection: Connection, make: bytes) -> None:
    """Runs in the process: makes the handler, then works until the pipe is closed."""
    if hasattr(os, "setsid"):
        os.setsid()  # a process group of its own, to be killed as a whole; Ctrl-C goes to the parent only
    os.dup2(2, 1)  # a recogniser's output must not mix with the parent's results
    try:
        handler: Handler = pickle.loads(make)()  # noqa: S301  the parent's; here, to report a missing module
    except Exception as error:  # noqa: BLE001  third-party code; the parent reports it
        connection.send(("broken", _in_words(error)))
        return
    connection.send(("ready", None))
    while True:
        try:
            payload, steps = connection.recv()
        except EOFError:
            return
        _work(connection, handler, payload, steps)


def _work(connection: Connection, handler: Handler, payload: Any, steps: Sequence[Any]) -> None:
    done = 0
    while done < len(steps):
        try:
            for result in handler(payload, steps[done:]):
                connection.send(("done", result))
                done += 1
            return
        except BrokenPipeError:  # the parent is gone
            return
        except Exception as error:  # noqa: BLE001  as above
            connection.send(("failed", _in_words(error)))
            done += 1


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
