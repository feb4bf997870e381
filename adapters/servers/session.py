"""`Session`: relays between one client and its upstream connection, enhancing the audio."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable

import numpy as np
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from gtcrn_frontend.adapters.relay_settings import RelaySettings
from gtcrn_frontend.adapters.servers.batching import BatchedPool
from gtcrn_frontend.adapters.servers.close_codes import CloseReason, SessionEnd, end_by_client, end_by_upstream
from gtcrn_frontend.adapters.servers.connections import Link, close
from gtcrn_frontend.adapters.servers.limits import ByteRate, StreamLength, TooLongError
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.adapters.servers.metrics import Metrics
from gtcrn_frontend.adapters.servers.protocols.base import (
    Audio,
    BadMessageError,
    Begin,
    End,
    Event,
    Framing,
    Message,
    Pass,
)
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())

SLICE_S = 0.5
"""Larger messages are split, so that a client with a whole file does not block live ones."""


@dataclasses.dataclass(frozen=True)
class Service:
    """Resources shared by all sessions of a proxy."""

    settings: RelaySettings
    pool: BatchedPool
    metrics: Metrics


class Session:
    """Relays messages in both directions until one side, a limit or the operator ends the session.

    Backpressure: the next message of a client is read after the results of the previous one have been sent. If the
        recogniser is slow, its connection fills up, and then the client's.

    Args:
        client: its open connection.
        number: of the connection, for the log.
        service: resources shared by all sessions.
        enhancer: rates, strength and bypass for this client.
        framing: the protocol of this connection.
        connect: opens the upstream connection; raises `OSError` or `WebSocketException`.
    """

    def __init__(
        self,
        client: Link,
        number: int,
        service: Service,
        enhancer: EnhancerConfig,
        framing: Framing,
        connect: Callable[[], Awaitable[Link]],
    ) -> None:
        self._client = client
        self._number = number
        self._service = service
        self._enhancer = enhancer
        self._framing = framing
        self._connect = connect
        self._upstream: Link | None = None
        self._stream: int | None = None
        self._channels = 1
        self._empty = np.empty(0, np.float32)  # no samples, of so many channels
        self._sample_rate = service.pool.sample_rate
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[SessionEnd] = self._loop.create_future()
        self._finishing = False
        self._byte_rate = ByteRate(service.settings.max_bytes_per_second)
        self._length = StreamLength(service.settings.max_stream_seconds)
        self._last_move_s = self._loop.time()
        self._sending_since_s: dict[Link, float] = {}

    def end(self, ending: SessionEnd) -> None:
        """Ends the session; the first call determines the close code."""
        if not self._ending.done():
            self._ending.set_result(ending)

    def finish(self) -> None:
        """Ends the session once no utterance is in flight."""
        self._finishing = True
        if not self._framing.in_flight:
            self.end(SessionEnd(CloseCode.GOING_AWAY, "the proxy is shutting down"))

    async def run(self) -> SessionEnd:
        """Runs the session; returns how it ended. Call `close` afterwards."""
        conversation = self._loop.create_task(self._converse())
        conversation.add_done_callback(self._conversation_ended)
        watch = self._loop.create_task(self._watch())
        try:
            return await self._ending
        finally:
            watch.cancel()
            conversation.cancel()
            await asyncio.wait([conversation])
            self._close_stream()

    async def close(self, ending: SessionEnd) -> None:
        """Closes both connections, with code and reason for the client."""
        last_message = self._framing.farewell(ending.reason) if ending.trouble else None
        closings = [close(self._client, ending.code, ending.reason, last_message)]
        if self._upstream:
            closings.append(close(self._upstream, CloseCode.NORMAL_CLOSURE, ""))
        await asyncio.gather(*closings)

    async def _converse(self) -> None:
        try:
            self._upstream = await self._connect()
        except (OSError, WebSocketException) as error:
            why = str(error) or type(error).__name__
            shown = self._service.settings.upstream_shown
            logger.warning("connection %d: cannot reach the recogniser at %s: %s", self._number, shown, why)
            reason = "the recogniser behind the proxy is not reachable"
            self.end(SessionEnd(CloseCode.TRY_AGAIN_LATER, reason, CloseReason.UPSTREAM_REFUSED))
            return
        async with asyncio.TaskGroup() as both_ways:
            both_ways.create_task(self._to_upstream(self._upstream))
            both_ways.create_task(self._to_client(self._upstream))

    def _conversation_ended(self, conversation: asyncio.Task[None]) -> None:
        if not conversation.cancelled() and (error := conversation.exception()):
            logger.error("connection %d: the session failed", self._number, exc_info=error)
            self.end(SessionEnd(CloseCode.INTERNAL_ERROR, "internal error of the proxy", CloseReason.INTERNAL))

    async def _to_upstream(self, upstream: Link) -> None:
        latency = self._service.metrics.latency_seconds
        while True:
            try:
                message = await self._client.recv()
            except ConnectionClosed as closed:
                if closed.sent is None:  # else it broke the protocol
                    await self._hang_up(upstream)
                return self.end(end_by_client(closed))
            started = time.perf_counter()
            if message:  # an empty message is no traffic: it would hold the place of an idle client
                self._last_move_s = self._loop.time()
            try:
                for event in self._framing.receive(message):
                    await self._handle(event, upstream)
            except BadMessageError as error:
                return self.end(SessionEnd(error.code, str(error), CloseReason.BAD_MESSAGE))
            except AudioFormatError as error:
                return self.end(SessionEnd(CloseCode.INVALID_DATA, str(error), CloseReason.BAD_MESSAGE))
            except TooLongError as error:
                return self.end(SessionEnd(CloseCode.POLICY_VIOLATION, str(error), CloseReason.TOO_LONG))
            except ConnectionClosed:  # by upstream: the other direction relays its last messages
                return None
            latency.observe(time.perf_counter() - started)
            if (wait_s := self._byte_rate.wait_s(len(message), self._loop.time())) > 0:
                await asyncio.sleep(wait_s)
                self._last_move_s = self._loop.time()

    async def _to_client(self, upstream: Link) -> None:
        while True:
            try:
                message = await upstream.recv()
            except ConnectionClosed as closed:
                return self.end(end_by_upstream(closed))
            try:
                for answer in self._framing.answer(message):
                    await self._send(self._client, answer)
            except ConnectionClosed as closed:
                return self.end(end_by_client(closed))
            if self._finishing:
                self.finish()

    async def _hang_up(self, upstream: Link) -> None:
        """Delivers what the enhancer still holds when the client has ended the connection."""
        with contextlib.suppress(ConnectionClosed):
            for event in self._framing.hang_up():
                await self._handle(event, upstream)

    async def _handle(self, event: Event, upstream: Link) -> None:
        match event:
            case Begin():
                self._open_stream(event)
                if event.header:
                    await self._send(upstream, event.header)
            case Audio():
                await self._enhance(event.samples, upstream)
            case End():
                await self._enhance(self._empty, upstream, last=True)
                self._close_stream()
                if event.message is not None:
                    await self._send(upstream, event.message)
            case Pass():
                await self._send(upstream, event.message)

    async def _enhance(self, samples: F32, upstream: Link, *, last: bool = False) -> None:
        pool, metrics, stream = self._service.pool, self._service.metrics, self._stream
        assert stream is not None  # a framing yields Begin before Audio
        check_chunk(samples, self._channels)  # validate the whole message before enhancing any of it
        self._length.add(len(samples) / self._sample_rate)
        metrics.count_audio(len(samples) / self._sample_rate)
        step = max(1, round(SLICE_S * self._sample_rate))
        for start in range(0, max(len(samples), 1), step):
            enhanced = await pool.process(stream, samples[start : start + step], last=last)
            for message in self._framing.encode(enhanced, more=start + step < len(samples)):
                await self._send(upstream, message)

    def _open_stream(self, begin: Begin) -> None:
        """Opens a stream; one whose rate is named keeps it, as the server was told the same."""
        default = self._framing.default_rate_hz or self._service.pool.sample_rate
        rate = begin.sample_rate or self._enhancer.sample_rate or default
        output_rate = rate if self._framing.names_rate else self._enhancer.output_sample_rate or default
        config = dataclasses.replace(
            self._enhancer, sample_rate=rate, output_sample_rate=output_rate, channels=begin.channels
        )
        self._stream = self._service.pool.open(config)
        self._channels = begin.channels
        self._empty = np.empty(0 if begin.channels == 1 else (0, begin.channels), np.float32)
        self._sample_rate = rate
        self._length.reset()
        self._service.metrics.streams.inc()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._service.pool.close(self._stream)
            self._stream = None

    async def _send(self, connection: Link, message: Message) -> None:
        self._sending_since_s[connection] = self._loop.time()
        try:
            await connection.send(message)
        finally:
            del self._sending_since_s[connection]
        self._last_move_s = self._loop.time()

    async def _watch(self) -> None:
        """Ends the session on inactivity, or when one side does not read."""
        limit_s = self._service.settings.idle_seconds
        while True:
            now_s = self._loop.time()
            moved_s = min([self._last_move_s, *self._sending_since_s.values()])
            if now_s - moved_s >= limit_s:
                return self.end(self._stuck(limit_s))
            await asyncio.sleep(moved_s + limit_s - now_s)

    def _stuck(self, limit_s: float) -> SessionEnd:
        if self._client in self._sending_since_s:
            reason = f"the client has not taken its results for {limit_s:g} s"
            return SessionEnd(CloseCode.POLICY_VIOLATION, reason, CloseReason.STALLED)
        if self._sending_since_s:
            reason = f"the recogniser behind the proxy has taken no audio for {limit_s:g} s"
            return SessionEnd(CloseCode.TRY_AGAIN_LATER, reason, CloseReason.STALLED)
        return SessionEnd(CloseCode.POLICY_VIOLATION, f"no traffic for {limit_s:g} s", CloseReason.IDLE)
