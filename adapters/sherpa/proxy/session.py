"""`Session`: relays between one client and its upstream connection, enhancing the audio."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import ssl
import time

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from gtcrn_frontend.adapters.sherpa.proxy.batching import BatchedPool
from gtcrn_frontend.adapters.sherpa.proxy.close_codes import CloseReason, SessionEnd, end_by_client, end_by_upstream
from gtcrn_frontend.adapters.sherpa.proxy.connections import OPTIONS, close
from gtcrn_frontend.adapters.sherpa.proxy.framing import SAMPLE, Audio, BadMessageError, Begin, End, Event, Text
from gtcrn_frontend.adapters.sherpa.proxy.limits import ByteRate, StreamLength, TooLongError
from gtcrn_frontend.adapters.sherpa.proxy.log_limits import RepeatLimit
from gtcrn_frontend.adapters.sherpa.proxy.metrics import Metrics
from gtcrn_frontend.adapters.sherpa.proxy.settings import ProxySettings
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())

SLICE_S = 0.5
"""Larger messages are split, so that a client with a whole file does not block live ones."""

_EMPTY = np.empty(0, np.float32)


@dataclasses.dataclass(frozen=True)
class Service:
    """Resources shared by all sessions of a proxy."""

    settings: ProxySettings
    pool: BatchedPool
    metrics: Metrics
    upstream_tls: ssl.SSLContext | None


class Session:
    """Relays messages in both directions until one side, a limit or the operator ends the session.

    Backpressure: the next message of a client is read after the results of the previous one have been sent. If the
        recogniser is slow, its connection fills up, and then the client's.

    Args:
        client: its open connection.
        number: of the connection, for the log.
        service: resources shared by all sessions.
        enhancer: rates, strength and bypass for this client.
    """

    def __init__(self, client: ServerConnection, number: int, service: Service, enhancer: EnhancerConfig) -> None:
        self._client = client
        self._number = number
        self._service = service
        self._enhancer = enhancer
        self._framing = service.settings.new_framing()
        self._upstream: ClientConnection | None = None
        self._stream: int | None = None
        self._sample_rate = service.pool.sample_rate
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[SessionEnd] = self._loop.create_future()
        self._finishing = False
        self._byte_rate = ByteRate(service.settings.max_bytes_per_second)
        self._length = StreamLength(service.settings.max_stream_seconds)
        self._last_move_s = self._loop.time()
        self._sending_since_s: dict[Connection, float] = {}

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
        closings = [close(self._client, ending.code, ending.reason)]
        if self._upstream:
            closings.append(close(self._upstream, CloseCode.NORMAL_CLOSURE, ""))
        await asyncio.gather(*closings)

    async def _converse(self) -> None:
        settings = self._service.settings
        try:
            self._upstream = await connect(
                settings.upstream,
                ssl=self._service.upstream_tls,
                open_timeout=settings.connect_seconds,
                max_size=settings.max_message_bytes,
                proxy=None,  # ignore proxy settings of the environment: this is a proxy itself
                **OPTIONS,
            )
        except (OSError, WebSocketException) as error:
            why = str(error) or type(error).__name__
            shown = settings.upstream_shown
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

    async def _to_upstream(self, upstream: ClientConnection) -> None:
        latency = self._service.metrics.latency_seconds
        while True:
            try:
                message = await self._client.recv()
            except ConnectionClosed as closed:
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

    async def _to_client(self, upstream: ClientConnection) -> None:
        while True:
            try:
                message = await upstream.recv()
            except ConnectionClosed as closed:
                return self.end(end_by_upstream(closed))
            self._framing.answer(message)
            try:
                await self._send(self._client, message)
            except ConnectionClosed as closed:
                return self.end(end_by_client(closed))
            if self._finishing:
                self.finish()

    async def _handle(self, event: Event, upstream: ClientConnection) -> None:
        match event:
            case Begin():
                self._open_stream(event.sample_rate)
                if event.header:
                    await self._send(upstream, event.header)
            case Audio():
                await self._enhance(event.samples, upstream)
            case End():
                await self._enhance(_EMPTY, upstream, last=True)
                self._close_stream()
                if event.text is not None:
                    await self._send(upstream, event.text)
            case Text():
                await self._send(upstream, event.text)

    async def _enhance(self, samples: F32, upstream: ClientConnection, *, last: bool = False) -> None:
        check_chunk(samples)  # validate the whole message before enhancing any of it
        pool, metrics, stream = self._service.pool, self._service.metrics, self._stream
        assert stream is not None  # a framing yields Begin before Audio
        self._length.add(len(samples) / self._sample_rate)
        metrics.count_audio(len(samples) / self._sample_rate)
        step = max(1, round(SLICE_S * self._sample_rate))
        for start in range(0, max(len(samples), 1), step):
            enhanced = await pool.process(stream, samples[start : start + step], last=last)
            if len(enhanced):
                await self._send(upstream, enhanced.astype(SAMPLE, copy=False).tobytes())

    def _open_stream(self, sample_rate: int | None) -> None:
        """Opens a stream; an utterance that states its rate keeps it, as the server was told its size in bytes."""
        model_rate = self._service.pool.sample_rate
        rate = sample_rate or self._enhancer.sample_rate or model_rate
        output_rate = sample_rate or self._enhancer.output_sample_rate or model_rate
        self._stream = self._service.pool.open(
            dataclasses.replace(self._enhancer, sample_rate=rate, output_sample_rate=output_rate)
        )
        self._sample_rate = rate
        self._length.reset()
        self._service.metrics.streams.inc()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._service.pool.close(self._stream)
            self._stream = None

    async def _send(self, connection: Connection, message: str | bytes) -> None:
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
