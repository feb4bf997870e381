"""`Relay`: what the proxies of all protocols share: sessions, limits, metrics, the admin port, and the shutdown."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import itertools
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio.server import Server
from websockets.asyncio.server import serve as serve_websocket
from websockets.frames import CloseCode

from gtcrn_frontend.adapters.relay_settings import RelaySettings
from gtcrn_frontend.adapters.servers.access import MAX_FAREWELLS
from gtcrn_frontend.adapters.servers.batching import BatchedPool
from gtcrn_frontend.adapters.servers.close_codes import CloseReason, SessionEnd
from gtcrn_frontend.adapters.servers.connections import OPTIONS, Link, close, drop
from gtcrn_frontend.adapters.servers.endpoints import AdminEndpoints
from gtcrn_frontend.adapters.servers.handshakes import Handshakes
from gtcrn_frontend.adapters.servers.log_limits import BriefTraceback, RepeatLimit
from gtcrn_frontend.adapters.servers.metrics import Metrics
from gtcrn_frontend.adapters.servers.protocols.base import Framing
from gtcrn_frontend.adapters.servers.session import Service, Session
from gtcrn_frontend.config import EnhancerConfig

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())
websocket_logger = logging.getLogger(f"{__name__}.websockets")
websocket_logger.addFilter(BriefTraceback())
websocket_logger.addFilter(RepeatLimit())

MAX_ADMIN_HANDSHAKES = 32
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

R = TypeVar("R", bound="Relay")


class Relay(abc.ABC):
    """Relays between clients and a server, and enhances what the clients send.

    Use it as an async context manager; leaving the block calls `close`.

    Args:
        settings: addresses and limits.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._relay_settings = settings
        self._metrics = Metrics()
        pool = BatchedPool(
            settings.enhancer, self._metrics.count_compute, settings.on_error, self._metrics.passed_streams.inc
        )
        self._service = Service(settings, pool, self._metrics)
        self._numbers = itertools.count(1)
        self._sessions: dict[asyncio.Task[Any], Session | None] = {}
        self._farewells: set[Link] = set()
        self._handshakes = self._new_handshakes()
        self._metrics.handshakes.set_function(lambda: len(self._handshakes))
        self._metrics.farewells.set_function(lambda: len(self._farewells))
        self._draining = False
        self._admin: Server | None = None
        self._batching: asyncio.Task[None] | None = None

    @property
    @abc.abstractmethod
    def address(self) -> str:
        """The address for clients, with the actual port."""

    @abc.abstractmethod
    async def _listen(self) -> None:
        """Starts to listen for clients; raises `OSError`."""

    @abc.abstractmethod
    async def _stop_listening(self) -> None:
        """Closes the clients' port."""

    def _new_handshakes(self) -> Handshakes:
        """Returns the limits of connections whose handshake is not complete: here, those of the admin port."""
        return Handshakes(MAX_ADMIN_HANDSHAKES, MAX_ADMIN_HANDSHAKES, self._metrics.dropped_handshakes.inc)

    @abc.abstractmethod
    def _admin_endpoints(self) -> AdminEndpoints:
        """Returns what answers on the admin port."""

    @property
    def admin_address(self) -> str:
        """The address of the admin port, `http://...`."""
        if self._admin is None:
            raise RuntimeError("expected a listening proxy with an admin_port")
        return f"http://{address_of(self._admin)}"

    def abandon(self) -> None:
        """Closes all connections immediately."""
        for task, session in self._sessions.items():
            if session is None:
                task.cancel()
            else:
                session.end(
                    SessionEnd(CloseCode.GOING_AWAY, "the proxy is shutting down: time is up", CloseReason.UNFINISHED)
                )
        for client in self._farewells:
            drop(client)

    async def __aenter__(self) -> Self:
        await self._listen()
        try:
            await self._open_admin_port()
        except OSError:
            await self._stop_listening()
            raise
        self._batching = asyncio.create_task(self._service.pool.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Rejects new clients, waits up to `drain_seconds` for sessions in flight, then closes the rest."""
        self._draining = True
        for session in filter(None, self._sessions.values()):
            session.finish()
        if self._sessions:
            limit_s = self._relay_settings.drain_seconds
            logger.info("draining %d connections within %g s", len(self._sessions), limit_s)
            await asyncio.wait(list(self._sessions), timeout=limit_s)
        self.abandon()
        if self._sessions:
            await asyncio.wait(list(self._sessions))
        if self._batching is not None:
            await self._stop_listening()
            if self._admin is not None:
                self._admin.close()
                self._handshakes.abort()
                await self._admin.wait_closed()
            self._batching.cancel()
            await asyncio.wait([self._batching])

    async def _open_admin_port(self, handshake_seconds: float = 10.0) -> None:
        settings = self._relay_settings
        if settings.admin_port is None:
            return
        self._admin = await serve_websocket(
            _never_called,  # each request is answered
            settings.admin_host,
            settings.admin_port,
            process_request=self._admin_endpoints().for_admin,
            server_header=None,
            logger=websocket_logger,
            open_timeout=handshake_seconds,
            create_connection=self._handshakes.new_admin_connection,  # type: ignore[arg-type]  # as the class is called
            **OPTIONS,
        )

    async def _converse(
        self, client: Link, enhancer: EnhancerConfig, framing: Framing, connect: Callable[[], Awaitable[Link]]
    ) -> None:
        """Serves one connection until it is closed."""
        number = next(self._numbers)
        if len(self._sessions) >= self._relay_settings.max_connections:
            await self._turn_away(client, number, framing)
            return
        task = asyncio.current_task()
        assert task is not None
        session = self._sessions[task] = Session(client, number, self._service, enhancer, framing, connect)
        peer = _peer(client)
        logger.debug("connection %d from %s: open", number, peer)
        started = time.monotonic()
        if self._draining:  # since the handshake
            session.finish()
        self._metrics.connections.inc()
        try:
            ending = await session.run()
            self._note(peer, number, ending, time.monotonic() - started)
            await session.close(ending)
        finally:
            self._metrics.connections.dec()
            del self._sessions[task]

    async def _turn_away(self, client: Link, number: int, framing: Framing) -> None:
        reason = f"expected at most {self._relay_settings.max_connections} connections at a time: try again later"
        ending = SessionEnd(CloseCode.TRY_AGAIN_LATER, reason, CloseReason.TOO_MANY)
        self._note(_peer(client), number, ending, 0.0)
        if len(self._farewells) >= MAX_FAREWELLS:
            drop(client)
            return
        self._farewells.add(client)
        try:
            await close(client, ending.code, ending.reason, framing.farewell(ending.reason))
        finally:
            self._farewells.remove(client)

    def _note(self, peer: str, number: int, ending: SessionEnd, seconds: float) -> None:
        level = logging.DEBUG
        if ending.trouble:
            self._metrics.count_trouble(ending.trouble)
            level = logging.INFO if ending.trouble.is_of_client else logging.WARNING
        # The kind is part of the message: repeated lines are limited for each kind.
        message = f"connection %d from %s: {ending.trouble or 'closed'} after %.1f s (%d %s)"
        logger.log(level, message, number, peer, seconds, ending.code, ending.reason)


def _peer(client: Link) -> str:
    address = client.remote_address
    return f"{address[0]}:{address[1]}" if address else "an address that is gone"


def address_of(server: Server | asyncio.Server) -> str:
    """Returns host and port of a listening server."""
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


async def _never_called(connection: object) -> None:
    raise AssertionError("expected no WebSocket on the admin port")


async def run_until_stopped(relay: R, announce: Callable[[R], None]) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal closes all connections.

    Limits repeated lines of asyncio's log while it runs.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            relay.abandon()
        stop.set()

    for number in STOP_SIGNALS:  # before it listens: what it begins, it also ends
        with contextlib.suppress(NotImplementedError):  # Windows, where asyncio.run cancels this instead
            loop.add_signal_handler(number, on_signal)
    async with _limited_asyncio_log(), relay:
        announce(relay)
        await stop.wait()


@contextlib.asynccontextmanager
async def _limited_asyncio_log() -> AsyncIterator[None]:
    """Limits what the event loop logs, such as each attempt to accept a connection without file descriptors."""
    limit = RepeatLimit()
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.addFilter(limit)
    try:
        yield
    finally:
        asyncio_logger.removeFilter(limit)
