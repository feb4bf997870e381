"""The HTTP endpoints of the proxy: `/healthz`, `/readyz`, `/metrics`, and the checks before a WebSocket handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from gtcrn_frontend.adapters.servers.access import has_token, read_token
from gtcrn_frontend.adapters.servers.connections import Closable
from gtcrn_frontend.adapters.servers.metrics import CONTENT_TYPE, Metrics
from gtcrn_frontend.adapters.servers.settings import ProxySettings
from gtcrn_frontend.errors import ConfigError

READY_CACHE_S = 1.0
"""An answer of `/readyz` is used again for so long: many askers must not become many connections to the recogniser."""

PATHS = ("/healthz", "/readyz", "/metrics")


class AdminEndpoints:
    """Answers plain HTTP requests on a port without WebSockets.

    Args:
        metrics: for `/metrics`.
        connect: opens a connection to the recogniser, for `/readyz`.
        is_draining: whether new clients are turned away.
    """

    def __init__(
        self, metrics: Metrics, connect: Callable[[], Awaitable[Closable]], is_draining: Callable[[], bool]
    ) -> None:
        self._metrics = metrics
        self._is_draining = is_draining
        self._upstream = _Upstream(connect)

    async def for_admin(self, client: ServerConnection, request: Request) -> Response:
        """Answers a request on the admin port, where there are no WebSockets."""
        path = request.path.partition("?")[0]
        if path in PATHS:
            return await self._respond(client, path)
        return client.respond(HTTPStatus.NOT_FOUND, f"expected one of {', '.join(PATHS)}\n")

    async def answer(self, path: str) -> tuple[HTTPStatus, str]:
        """Returns status and text for one of `PATHS`."""
        if path == "/metrics":
            return HTTPStatus.OK, self._metrics.exposition()
        if self._is_draining():
            return HTTPStatus.SERVICE_UNAVAILABLE, "draining\n"
        if path == "/readyz" and (problem := await self._upstream.problem()):
            return HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n"
        return HTTPStatus.OK, "ok\n"

    async def _respond(self, client: ServerConnection, path: str) -> Response:
        response = client.respond(*await self.answer(path))
        if path == "/metrics":
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
        return response


class Endpoints(AdminEndpoints):
    """Answers plain HTTP requests, and those for WebSockets that are refused.

    Args:
        settings: those of the proxy.
        metrics, connect, is_draining: see `AdminEndpoints`.

    Raises:
        ConfigError: there is no token in the token file.
    """

    def __init__(
        self,
        settings: ProxySettings,
        metrics: Metrics,
        connect: Callable[[], Awaitable[Closable]],
        is_draining: Callable[[], bool],
    ) -> None:
        super().__init__(metrics, connect, is_draining)
        self._settings = settings
        self._token = read_token(settings.token_file) if settings.token_file else None

    async def for_clients(self, client: ServerConnection, request: Request) -> Response | None:
        """Answers a request on the clients' port; None continues the WebSocket handshake."""
        try:
            path = urlsplit(request.path).path
        except ValueError as error:
            return client.respond(HTTPStatus.BAD_REQUEST, f"expected a path such as /?strength=0.7: {error}\n")
        is_open = self._token is None or has_token(request, self._token)
        if path in PATHS:
            if self._settings.admin_port is not None:
                return client.respond(HTTPStatus.NOT_FOUND, "expected this path on the admin port\n")
            if is_open or path != "/metrics":
                return await self._respond(client, path)
        if not is_open:
            response = client.respond(HTTPStatus.UNAUTHORIZED, "expected a token: Authorization: Bearer TOKEN\n")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if self._is_draining():
            return client.respond(HTTPStatus.SERVICE_UNAVAILABLE, "draining\n")
        try:
            self._settings.enhancer_for(request.path)
        except ConfigError as error:
            return client.respond(HTTPStatus.BAD_REQUEST, f"{error}\n")
        return None


class _Upstream:
    """Whether the recogniser behind the proxy accepts connections."""

    def __init__(self, connect: Callable[[], Awaitable[Closable]]) -> None:
        self._open = connect
        self._lock = asyncio.Lock()
        self._problem: str | None = None
        self._known_until_s = float("-inf")

    async def problem(self) -> str | None:
        """Returns why it does not; None if it does. Not older than `READY_CACHE_S`."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._known_until_s:
                self._problem = await self._connect()
                self._known_until_s = loop.time() + READY_CACHE_S
            return self._problem

    async def _connect(self) -> str | None:
        try:
            connection = await self._open()
        except (OSError, WebSocketException):  # includes TimeoutError
            return "the recogniser behind the proxy is not reachable"
        await connection.close()
        return None
