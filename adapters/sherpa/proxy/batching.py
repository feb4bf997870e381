"""`BatchedPool`: a stream pool for asyncio, which batches concurrent requests in a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.pool import StreamPool


@dataclass(frozen=True, eq=False)
class _Job:
    samples: F32
    last: bool
    done: asyncio.Future[F32]


class BatchedPool:
    """Runs a `StreamPool` in a thread: chunks that arrive during a call are batched into the next one.

    A chunk therefore waits for at most one call before its own, and the batches grow with the load. Queues cannot grow:
        a stream has at most one pending chunk.

    Args:
        config: model, engine, threads, providers and segment latency of the pool.
        on_call: called after each call with its duration in seconds.
    """

    def __init__(self, config: EnhancerConfig, on_call: Callable[[float], None]) -> None:
        self._pool = StreamPool(config.model, config.engine, **config.engine_settings)
        self._on_call = on_call
        self._executor = ThreadPoolExecutor(1, "enhance")
        self._waiting: dict[int, _Job] = {}
        self._arrived = asyncio.Event()
        self._in_call = False
        self._closed_in_call: list[int] = []

    @property
    def sample_rate(self) -> int:
        """The model's rate in Hz."""
        return self._pool.spec.sample_rate

    def __len__(self) -> int:
        """The number of streams that are open."""
        return len(self._pool)

    def open(self, config: EnhancerConfig) -> int:
        """Opens a stream with the settings of `config`; returns its id."""
        return self._pool.open(**config.stream_settings)

    def close(self, stream_id: int) -> None:
        """Closes a stream, also while its chunk is being processed."""
        self._waiting.pop(stream_id, None)
        if self._in_call:  # that call may be about to look up this stream
            self._closed_in_call.append(stream_id)
        else:
            self._pool.close(stream_id)

    async def process(self, stream_id: int, samples: F32, *, last: bool = False) -> F32:
        """Returns the complete samples; with `last`, all remaining ones. One call per stream at a time.

        Raises:
            GtcrnFrontendError: the samples are invalid, or the engine has failed; all streams of that call have been
                reset.
        """
        done: asyncio.Future[F32] = asyncio.get_running_loop().create_future()
        self._waiting[stream_id] = _Job(samples, last, done)
        self._arrived.set()
        return await done

    async def run(self) -> None:
        """Serves until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                jobs, self._waiting = self._waiting, {}
                self._in_call = True
                call = loop.run_in_executor(self._executor, self._process, jobs)
                await asyncio.wait([call])
                self._in_call = False
                _deliver(jobs, call)
                for stream_id in self._closed_in_call:
                    self._pool.close(stream_id)
                self._closed_in_call.clear()
        finally:
            self._executor.shutdown(wait=False)

    def _process(self, jobs: dict[int, _Job]) -> dict[int, F32]:
        """Runs in the worker thread."""
        started = time.perf_counter()
        enhanced = self._pool.process({stream_id: job.samples for stream_id, job in jobs.items()})
        for stream_id, job in jobs.items():
            if job.last:
                enhanced[stream_id] = np.concatenate([enhanced[stream_id], self._pool.flush(stream_id)])
        self._on_call(time.perf_counter() - started)
        return enhanced


def _deliver(jobs: dict[int, _Job], call: asyncio.Future[dict[int, F32]]) -> None:
    error = call.exception()
    for stream_id, job in jobs.items():
        if job.done.done():  # cancelled: the client has disconnected
            continue
        if error is None:
            job.done.set_result(call.result()[stream_id])
        else:
            job.done.set_exception(error)
