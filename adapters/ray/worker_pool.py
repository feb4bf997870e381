"""`RayPool`: the workers of `evaluate` and `calibrate` on a Ray cluster."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.ray.cluster import connect, imported_ray, prepare_data
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.worker_pool import Failure, Handler, Work, WorkerPool

_RETRIES = 3  # of work whose machine was lost

Rows = dict[str, npt.NDArray[Any]]


class RayPool:
    """A `WorkerPool` whose workers are spread over a cluster; a context manager.

    Each actor of Ray has one worker process, which it kills when it hangs and restarts when it dies, as `WorkerPool`
    does. Actors live as long as a call of `run`. Recogniser, recordings and models have to be under the same paths on
    every machine; the cache is that of the machine that calls.

    Args:
        make: returns the handler, see `WorkerPool`.
        count: number of actors of one CPU each, >= 1.
        name: of the handler in error messages.

    Raises:
        ImportError: Ray is not installed.
    """

    def __init__(self, make: Callable[[], Handler], count: int, name: str = "the recogniser") -> None:
        self._make = pickle.dumps(make)
        self._count = count
        self._name = name
        connect()

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to end: actors end with `run`."""

    def run(self, works: Iterable[Work]) -> Iterator[tuple[Work, Any, Any]]:
        """Yields work, step, and its result or `Failure`, in the order of completion; see `WorkerPool.run`."""
        waiting = dict(enumerate(work for work in works if work.steps))
        if not waiting:
            return
        ray = imported_ray()
        prepare_data()
        rows = [{"number": number, "work": pickle.dumps(work)} for number, work in waiting.items()]
        with warnings.catch_warnings():  # Ray has no other way to limit retries, and no longer wants this one
            warnings.simplefilter("ignore", DeprecationWarning)
            done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _Actor,
                fn_constructor_kwargs={"make": self._make, "name": self._name},
                batch_size=None,
                num_cpus=1,
                concurrency=min(self._count, len(rows)),
                max_task_retries=_RETRIES,
            )
        try:
            for row in done.iter_rows():
                results = pickle.loads(row["results"])  # noqa: S301  of our own actors
                if isinstance(results, ModelError):
                    raise results
                work = waiting.pop(row["number"], None)
                if work is not None:
                    for step, result in zip(work.steps, results, strict=True):
                        yield work, step, result
        except ray.exceptions.RayError as error:
            raise ModelError(f"Ray cannot go on: {error}") from error
        for work in waiting.values():
            for step in work.steps:
                yield work, step, Failure("ended its actor each time")


class _Actor:
    """Runs works in a process of its own, one after the other."""

    def __init__(self, make: bytes, name: str) -> None:
        self._pool = WorkerPool(pickle.loads(make), 1, name)  # noqa: S301  our own

    def __call__(self, batch: Rows) -> Rows:
        """Returns number and pickled results, one for each step, of each work; a `ModelError` instead ends all work."""
        results = [self._results(pickle.loads(work)) for work in batch["work"]]  # noqa: S301  our own
        packed = np.empty(len(results), object)
        packed[:] = [pickle.dumps(result) for result in results]
        return {"number": batch["number"], "results": packed}

    def _results(self, work: Work) -> list[Any] | ModelError:
        try:
            return [result for _, _, result in self._pool.run([work])]
        except ModelError as error:
            return error
