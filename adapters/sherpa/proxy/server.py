"""`Proxy`: the WebSocket server of the proxy, with health and metrics endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from gtcrn_frontend.adapters.sherpa.proxy.batching import BatchedPool
from gtcrn_frontend.adapters.sherpa.proxy.close_codes import CloseReason, SessionEnd
from gtcrn_frontend.adapters.sherpa.proxy.connections import OPTIONS
from gtcrn_frontend.adapters.sherpa.proxy.metrics import CONTENT_TYPE, Metrics
from gtcrn_frontend.adapters.sherpa.proxy.session import Service, Session
from gtcrn_frontend.adapters.sherpa.proxy.settings import ProxySettings
from gtcrn_frontend.errors import ConfigError

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Proxy:
    """Enhances the audio that clients send to a sherpa-onnx server, and relays the answers.

        async with Proxy(ProxySettings(upstream="ws://127.0.0.1:6006")) as proxy:
            print(proxy.address)
            await stop.wait()

    Leaving the block calls `close`: new clients are rejected, and sessions in flight have `drain_seconds` to finish.
    `GET /healthz` answers 200 `ok`, or 503 while draining; `GET /metrics` answers in Prometheus' text format.

    Args:
        settings: addresses, protocol and limits.

    Raises:
        ConfigError: a certificate is not usable.
        ModelError: the model or the engine cannot be loaded.
        OSError: the port is taken (on entering the block).
    """

    def __init__(self, settings: ProxySettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._server_tls = settings.server_tls()
        pool = BatchedPool(settings.enhancer, self._metrics.count_compute)
        self._service = Service(settings, pool, self._metrics, settings.upstream_tls())
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._draining = False
        self._server: Server | None = None
        self._batching: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The address for clients, with the actual port."""
        if self._server is None:
            raise RuntimeError("expected a listening proxy: enter its `async with` block first")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{'wss' if self._server_tls else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}"

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
            ssl=self._server_tls,
            process_request=self._respond,
            max_size=settings.max_message_bytes,
            server_header=None,
            backlog=settings.max_connections,
            **OPTIONS,
        )
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
            self._server.close()
            await self._server.wait_closed()
            self._batching.cancel()
            await asyncio.wait([self._batching])

    async def _converse(self, client: ServerConnection) -> None:
        """Serves one connection, from handshake to close."""
        if len(self._sessions) >= self._settings.max_connections:
            await self._turn_away(client)
            return
        task = asyncio.current_task()
        assert task is not None
        enhancer = self._settings.enhancer_for(client.request.path if client.request else "")
        session = self._sessions[task] = Session(client, self._service, enhancer)
        started = time.monotonic()
        if self._draining:  # since the handshake
            session.finish()
        self._metrics.connections.inc()
        try:
            ending = await session.run()
            self._note(client, ending, time.monotonic() - started)
            await session.close(ending)
        finally:
            self._metrics.connections.dec()
            del self._sessions[task]

    async def _turn_away(self, client: ServerConnection) -> None:
        reason = f"expected at most {self._settings.max_connections} connections at a time: try again later"
        ending = SessionEnd(CloseCode.TRY_AGAIN_LATER, reason, CloseReason.TOO_MANY)
        self._note(client, ending, 0.0)
        await client.close(ending.code, ending.reason)

    def _note(self, client: ServerConnection, ending: SessionEnd, seconds: float) -> None:
        level = logging.DEBUG
        if ending.trouble:
            self._metrics.count_trouble(ending.trouble)
            level = logging.INFO if ending.trouble.is_of_client else logging.WARNING
        logger.log(
            level,
            "client %s: %s after %.1f s (%d %s)",
            client.remote_address,
            ending.trouble or "closed",
            seconds,
            ending.code,
            ending.reason,
        )

    def _respond(self, client: ServerConnection, request: Request) -> Response | None:
        """Answers plain HTTP requests; None continues the WebSocket handshake."""
        path = urlsplit(request.path).path
        if path == "/metrics":
            response = client.respond(HTTPStatus.OK, self._metrics.exposition())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
            return response
        if self._draining:
            return client.respond(HTTPStatus.SERVICE_UNAVAILABLE, "draining\n")
        if path == "/healthz":
            return client.respond(HTTPStatus.OK, "ok\n")
        try:
            self._settings.enhancer_for(request.path)
        except ConfigError as error:
            return client.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        return None


async def serve(settings: ProxySettings, announce: Callable[[Proxy], None]) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal closes all connections.

    Args:
        settings: those of the proxy.
        announce: called when the proxy listens.

    Raises:
        ConfigError, ModelError, OSError: see `Proxy`.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    async with Proxy(settings) as proxy:

        def on_signal() -> None:
            if stop.is_set():
                proxy.abandon()
            stop.set()

        for number in STOP_SIGNALS:
            with contextlib.suppress(NotImplementedError):  # Windows, where asyncio.run cancels this instead
                loop.add_signal_handler(number, on_signal)
        announce(proxy)
        await stop.wait()
