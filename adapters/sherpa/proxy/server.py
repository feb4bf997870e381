"""`Proxy`: the WebSocket server of the proxy, with health and metrics endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.frames import CloseCode

from gtcrn_frontend.adapters.sherpa.proxy.access import check_descriptors, descriptors_needed
from gtcrn_frontend.adapters.sherpa.proxy.batching import BatchedPool
from gtcrn_frontend.adapters.sherpa.proxy.close_codes import CloseReason, SessionEnd
from gtcrn_frontend.adapters.sherpa.proxy.connections import OPTIONS
from gtcrn_frontend.adapters.sherpa.proxy.endpoints import Endpoints
from gtcrn_frontend.adapters.sherpa.proxy.handshakes import Handshakes
from gtcrn_frontend.adapters.sherpa.proxy.log_limits import BriefTraceback, RepeatLimit
from gtcrn_frontend.adapters.sherpa.proxy.metrics import Metrics
from gtcrn_frontend.adapters.sherpa.proxy.session import Service, Session
from gtcrn_frontend.adapters.sherpa.proxy.settings import ProxySettings

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())
websocket_logger = logging.getLogger(f"{__name__}.websockets")
websocket_logger.addFilter(BriefTraceback())
websocket_logger.addFilter(RepeatLimit())

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Proxy:
    """Enhances the audio that clients send to a sherpa-onnx server, and relays the answers.

        async with Proxy(ProxySettings(upstream="ws://127.0.0.1:6006")) as proxy:
            print(proxy.address)
            await stop.wait()

    Leaving the block calls `close`: new clients are rejected, and sessions in flight have `drain_seconds` to finish.
    `GET /healthz` answers 200 `ok`, or 503 while draining; `GET /readyz` 503 also if the recogniser cannot be reached;
    `GET /metrics` answers in Prometheus' text format. With an `admin_port`, these are on that port only.

    Args:
        settings: addresses, protocol and limits.

    Raises:
        ConfigError: a certificate or the token file is not usable, or the process may not open enough files.
        ModelError: the model or the engine cannot be loaded.
        OSError: the port is taken (on entering the block).
    """

    def __init__(self, settings: ProxySettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        limits = settings.handshake_limits
        check_descriptors(descriptors_needed(settings.max_connections, limits[0]))
        self._server_tls = settings.server_tls()
        upstream_tls = settings.upstream_tls()
        self._endpoints = Endpoints(settings, self._metrics, upstream_tls, lambda: self._draining)
        self._handshakes = Handshakes(
            *limits, self._metrics.dropped_handshakes.inc, self._server_tls, settings.handshake_seconds
        )
        self._metrics.handshakes.set_function(lambda: len(self._handshakes))
        pool = BatchedPool(settings.enhancer, self._metrics.count_compute)
        self._service = Service(settings, pool, self._metrics, upstream_tls)
        self._numbers = itertools.count(1)
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._draining = False
        self._server: Server | None = None
        self._admin: Server | None = None
        self._batching: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The address for clients, with the actual port."""
        if self._server is None:
            raise RuntimeError("expected a listening proxy: enter its `async with` block first")
        return f"{'wss' if self._server_tls else 'ws'}://{_address_of(self._server)}"

    @property
    def admin_address(self) -> str:
        """The address of the admin port, `http://...`; that of the clients' port if there is none."""
        if self._admin is None:
            return self.address.replace("ws", "http", 1)
        return f"http://{_address_of(self._admin)}"

    def abandon(self) -> None:
        """Closes all connections immediately."""
        for session in self._sessions.values():
            session.end(
                SessionEnd(CloseCode.GOING_AWAY, "the proxy is shutting down: time is up", CloseReason.UNFINISHED)
            )

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._server = await serve_websocket(
            self._converse,
            settings.host,
            settings.port,
            process_request=self._endpoints.for_clients,
            origins=settings.origins,
            open_timeout=settings.handshake_seconds,
            create_connection=self._handshakes.new_connection,  # type: ignore[arg-type]  # with TLS, if there is any
            max_size=settings.max_message_bytes,
            server_header=None,
            logger=websocket_logger,
            backlog=settings.max_connections,
            **OPTIONS,
        )
        try:
            await self._open_admin_port()
        except OSError:
            self._server.close()
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
        for session in self._sessions.values():
            session.finish()
        if self._sessions:
            limit_s = self._settings.drain_seconds
            logger.info("draining %d connections within %g s", len(self._sessions), limit_s)
            await asyncio.wait(list(self._sessions), timeout=limit_s)
        self.abandon()
        if self._sessions:
            await asyncio.wait(list(self._sessions))
        if self._server is not None and self._batching is not None:
            for server in filter(None, (self._server, self._admin)):
                server.close()
                self._handshakes.abort()
                await server.wait_closed()
            self._batching.cancel()
            await asyncio.wait([self._batching])

    async def _open_admin_port(self) -> None:
        settings = self._settings
        if settings.admin_port is None:
            return
        self._admin = await serve_websocket(
            self._converse,  # never called: each request is answered
            settings.admin_host,
            settings.admin_port,
            process_request=self._endpoints.for_admin,
            open_timeout=settings.handshake_seconds,
            create_connection=self._handshakes.new_admin_connection,  # type: ignore[arg-type]  # takes any factory
            server_header=None,
            logger=websocket_logger,
            **OPTIONS,
        )

    async def _converse(self, client: ServerConnection) -> None:
        """Serves one connection, from handshake to close."""
        self._handshakes.end(client)  # type: ignore[arg-type]  # made by `new_connection`
        number = next(self._numbers)
        if len(self._sessions) >= self._settings.max_connections:
            await self._turn_away(client, number)
            return
        task = asyncio.current_task()
        assert task is not None
        enhancer = self._settings.enhancer_for(client.request.path if client.request else "")
        session = self._sessions[task] = Session(client, number, self._service, enhancer)
        logger.debug("connection %d from %s: open", number, _peer(client))
        started = time.monotonic()
        if self._draining:  # since the handshake
            session.finish()
        self._metrics.connections.inc()
        try:
            ending = await session.run()
            self._note(client, number, ending, time.monotonic() - started)
            await session.close(ending)
        finally:
            self._metrics.connections.dec()
            del self._sessions[task]

    async def _turn_away(self, client: ServerConnection, number: int) -> None:
        reason = f"expected at most {self._settings.max_connections} connections at a time: try again later"
        ending = SessionEnd(CloseCode.TRY_AGAIN_LATER, reason, CloseReason.TOO_MANY)
        self._note(client, number, ending, 0.0)
        await client.close(ending.code, ending.reason)

    def _note(self, client: ServerConnection, number: int, ending: SessionEnd, seconds: float) -> None:
        level = logging.DEBUG
        if ending.trouble:
            self._metrics.count_trouble(ending.trouble)
            level = logging.INFO if ending.trouble.is_of_client else logging.WARNING
        # The kind is part of the message: repeated lines are limited for each kind.
        message = f"connection %d from %s: {ending.trouble or 'closed'} after %.1f s (%d %s)"
        logger.log(level, message, number, _peer(client), seconds, ending.code, ending.reason)


def _peer(client: ServerConnection) -> str:
    address = client.remote_address
    return f"{address[0]}:{address[1]}" if address else "an address that is gone"


def _address_of(server: Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


async def serve(settings: ProxySettings, announce: Callable[[Proxy], None]) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal closes all connections.

    Raises the limit of file descriptors of this process if the settings need it, and limits repeated lines of asyncio's
    log while it runs.

    Args:
        settings: those of the proxy.
        announce: called when the proxy listens.

    Raises:
        ConfigError, ModelError, OSError: see `Proxy`.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    check_descriptors(descriptors_needed(settings.max_connections, settings.handshake_limits[0]), raise_limit=True)
    async with _limited_asyncio_log(), Proxy(settings) as proxy:

        def on_signal() -> None:
            if stop.is_set():
                proxy.abandon()
            stop.set()

        for number in STOP_SIGNALS:
            with contextlib.suppress(NotImplementedError):  # Windows, where asyncio.run cancels this instead
                loop.add_signal_handler(number, on_signal)
        announce(proxy)
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
