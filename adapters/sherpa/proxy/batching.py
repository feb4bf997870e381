"""`BatchedPool`: a pool of streams off the event loop."""

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
    """Runs a `StreamPool` in a thread: all that has come in while a call was running goes into the next call together.

    So a chunk waits for one call at most before its own, and the busier the proxy, the larger and cheaper the batches.
    Nothing piles up: a stream has at most one chunk here.

    Args:
        config: model, engine, threads, providers and segment latency of the pool.
        on_call: told after each call how many seconds it took.
    """

    def __init__(self, config: EnhancerConfig, on_call: Callable[[float], None]) -> None:
        self._pool = StreamPool(
            config.model,
            config.engine,
            num_threads=config.num_threads,
            providers=config.providers,
            segment_latency_ms=config.segment_latency_ms,
        )
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
        """Returns the id of a new mono stream with the rates, strength and bypass of `config`."""
        return self._pool.open(
            sample_rate=config.sample_rate,
            output_sample_rate=config.output_sample_rate,
            strength=config.strength,
            max_attenuation_db=config.max_attenuation_db,
            bypass=config.bypass,
        )

    def close(self, stream_id: int) -> None:
        """Ends a stream, also while its chunk is on its way."""
        self._waiting.pop(stream_id, None)
        if self._in_call:  # that call may be about to look this stream up
            self._closed_in_call.append(stream_id)
        else:
            self._pool.close(stream_id)

    async def process(self, stream_id: int, samples: F32, *, last: bool = False) -> F32:
        """Returns the samples that are complete; with `last`, all that are left. One call per stream at a time.

        Raises:
            GtcrnFrontendError: the samples are bad, or the engine has failed; every stream of that call has begun anew.
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
        """In the thread."""
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
        if job.done.done():  # cancelled: its client has gone
            continue
        if error is None:
            job.done.set_result(call.result()[stream_id])
        else:
            job.done.set_exception(error)
