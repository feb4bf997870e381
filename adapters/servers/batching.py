"""`BatchedPool`: a stream pool for asyncio, which batches concurrent requests in a worker thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gtcrn_frontend.adapters.fail_open import DelayedInput, check_on_error
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.audio.resampler import Resampler
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.pool import StreamPool

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())


@dataclass(frozen=True, eq=False)
class _Job:
    samples: F32
    last: bool
    done: asyncio.Future[F32]


class _Bypass:
    """What a stream passes on if the enhancer fails: its input, at the rate and as late as the output."""

    def __init__(self, rate: int, output_rate: int, lag_samples: int) -> None:
        self._input = DelayedInput(lag_samples)
        self._resampler = Resampler(rate, output_rate) if rate != output_rate else None
        self.is_active = False

    def dry(self, samples: F32, *, last: bool) -> F32:
        """Returns input at the output's rate, after which the other methods are called."""
        if self._resampler is None:
            return samples
        pieces = [self._resampler.push(samples), *([self._resampler.flush()] if last else [])]
        return np.concatenate(pieces)

    def enhanced(self, dry: F32, count: int) -> None:
        """Notes that so many samples have been delivered."""
        self._input.enhanced(dry, count)

    def passed(self, dry: F32, *, last: bool) -> F32:
        """Returns the input in place of the output."""
        samples = self._input.passed(dry)
        return np.concatenate([samples, self._input.rest()]) if last else samples


class BatchedPool:
    """Runs a `StreamPool` in a thread: chunks that arrive during a call are batched into the next one.

    A chunk therefore waits for at most one call before its own, and the batches grow with the load. Queues cannot grow:
        a stream has at most one pending chunk.

    After an internal error, the input of the streams of that call passes on unfiltered until each of them is closed;
    with `on_error="raise"`, `process` raises it instead.

    Args:
        config: model, engine, threads, providers and segment latency of the pool.
        on_call: called after each call with its duration in seconds.
        on_error: `pass` or `raise`.
        on_pass: called for each stream that passes on unfiltered.
    """

    def __init__(
        self,
        config: EnhancerConfig,
        on_call: Callable[[float], None],
        on_error: str = "pass",
        on_pass: Callable[[], object] = lambda: None,
    ) -> None:
        self._pool = StreamPool(config.model, config.engine, **config.engine_settings)
        self._on_call = on_call
        self._on_error = check_on_error(on_error)
        self._on_pass = on_pass
        self._bypasses: dict[int, _Bypass] = {}
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
        stream_id = self._pool.open(**config.stream_settings)
        info = self._pool.info(stream_id)
        self._bypasses[stream_id] = _Bypass(info.sample_rate, info.output_sample_rate, info.lag_samples)
        return stream_id

    def close(self, stream_id: int) -> None:
        """Closes a stream, also while its chunk is being processed."""
        self._waiting.pop(stream_id, None)
        self._bypasses.pop(stream_id, None)
        if self._in_call:  # that call may be about to look up this stream
            self._closed_in_call.append(stream_id)
        else:
            self._pool.close(stream_id)

    async def process(self, stream_id: int, samples: F32, *, last: bool = False) -> F32:
        """Returns the complete samples; with `last`, all remaining ones. One call per stream at a time.

        Raises:
            AudioFormatError: the samples are invalid. All streams of that call have been reset: check them before.
            Exception: the engine has failed, with `on_error="raise"`. All streams of that call have been reset.
        """
        bypass = self._bypasses[stream_id]
        dry = bypass.dry(samples, last=last)
        if not bypass.is_active:
            try:
                enhanced = await self._enhanced(stream_id, samples, last=last)
            except AudioFormatError:
                raise
            except Exception:
                if self._on_error == "raise":
                    raise
                logger.exception("the enhancer failed: a stream passes on unfiltered until it ends")
                bypass.is_active = True
                self._on_pass()
            else:
                bypass.enhanced(dry, len(enhanced))
                return enhanced
        return bypass.passed(dry, last=last)

    async def _enhanced(self, stream_id: int, samples: F32, *, last: bool) -> F32:
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
