"""`OpenAiProxy`: a proxy for OpenAI's interface, HTTP and WebSocket on one port."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from gtcrn_frontend.adapters.servers.access import check_descriptors, descriptors_needed, is_token, read_token
from gtcrn_frontend.adapters.servers.close_codes import CloseReason
from gtcrn_frontend.adapters.servers.connections import CLOSE_TIMEOUT_S, OPTIONS, Closable, Link
from gtcrn_frontend.adapters.servers.endpoints import PATHS, AdminEndpoints
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.adapters.servers.metrics import CONTENT_TYPE
from gtcrn_frontend.adapters.servers.relay import Relay
from gtcrn_frontend.adapters.servers.settings import ProxySettings
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.install_hint import install_hint

try:
    from aiohttp import web
except ImportError as error:
    raise ImportError(f"the protocol openai needs aiohttp: {install_hint('openai')}", name=error.name) from error

from gtcrn_frontend.adapters.servers.aiohttp_link import AiohttpLink
from gtcrn_frontend.adapters.servers.handshakes import Handshakes
from gtcrn_frontend.adapters.servers.http_connections import CountedServer
from gtcrn_frontend.adapters.servers.http_forward import HttpForwarder, path_of, problem

logger = logging.getLogger(__name__)
logger.addFilter(RepeatLimit())

REALTIME = "realtime"  # the WebSocket's subprotocol


class OpenAiProxy(Relay):
    """Enhances the audio of OpenAI's interface: files of transcriptions, and the realtime WebSocket.

    Requests for other paths pass as they are, and so do files that cannot be read, unless `on_error` is `raise`. Health
    and metrics are those of `Proxy`.

    Args:
        settings: addresses and limits; a connection without a request in progress counts as a handshake.

    Raises:
        ConfigError: a certificate or the token file is not usable, or the process may not open enough files.
        ModelError: the model or the engine cannot be loaded.
        OSError: the port is taken (on entering the block).
    """

    def __init__(self, settings: ProxySettings) -> None:
        self._settings = settings
        check_descriptors(descriptors_needed(settings.max_connections, settings.handshake_limits[0]))
        self._server_tls = settings.server_tls()
        self._upstream_tls = settings.upstream_tls()
        self._token = read_token(settings.token_file) if settings.token_file else None
        super().__init__(settings)
        self._endpoints = AdminEndpoints(self._metrics, self._probe, lambda: self._draining)
        scheme, colon, rest = settings.websocket_upstream.partition("://")
        self._base = f"{scheme.replace('ws', 'http')}{colon}{rest}".rstrip("/")
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._http: CountedServer | None = None
        self._forwarder: HttpForwarder | None = None

    @property
    def address(self) -> str:
        """The address for clients, with the actual port."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("expected a listening proxy: enter its `async with` block first")
        host, port = self._runner.addresses[0][:2]
        return f"{'https' if self._server_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def admin_address(self) -> str:
        """The address of the admin port, `http://...`; that of the clients' port if there is none."""
        return self.address if self._admin is None else super().admin_address

    def _admin_endpoints(self) -> AdminEndpoints:
        return self._endpoints

    async def _listen(self) -> None:
        settings = self._settings
        self._forwarder = HttpForwarder(settings, self._service, self._base, self._upstream_tls)
        self._http = CountedServer(
            self._serve,
            self._handshakes,
            self._server_tls,
            settings.handshake_seconds,
            handler_cancellation=True,
            keepalive_timeout=settings.idle_seconds,
            access_log=None,
            logger=logger,
        )
        self._runner = web.ServerRunner(self._http)
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError:
            await self._stop_listening()
            raise

    async def _stop_listening(self) -> None:
        if self._runner is not None:
            self._handshakes.abort()
            await self._runner.cleanup()
        if self._forwarder is not None:
            await self._forwarder.close()

    def _new_handshakes(self) -> Handshakes:
        return Handshakes(*self._settings.handshake_limits, self._metrics.dropped_handshakes.inc)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._http is not None
        with self._http.in_progress(request):
            return await self._answer(request)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        settings = self._settings
        is_open = self._token is None or is_token(
            self._token, request.headers.getall("Authorization", []), request.path_qs
        )
        if request.path in PATHS and settings.admin_port is None and (is_open or request.path != "/metrics"):
            status, text = await self._endpoints.answer(request.path)
            kind = CONTENT_TYPE if request.path == "/metrics" else "text/plain"
            return web.Response(status=status, body=text.encode(), headers={"Content-Type": kind})
        if not is_open:
            return problem(401, "expected a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        if self._draining:
            return problem(503, "the proxy is shutting down")
        try:
            enhancer = settings.enhancer_for(request.path_qs)
        except ConfigError as error:
            return problem(400, str(error))
        if len(self._sessions) >= settings.max_connections:
            self._metrics.count_trouble(CloseReason.TOO_MANY)
            reason = f"expected at most {settings.max_connections} requests at a time: try again later"
            return problem(503, reason, {"Retry-After": "1"})
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._realtime(request, enhancer)
        task = asyncio.current_task()
        assert task is not None and self._forwarder is not None
        self._sessions[task] = None
        try:
            return await self._forwarder.forward(request, enhancer)
        finally:
            del self._sessions[task]

    async def _realtime(self, request: web.BaseRequest, enhancer: EnhancerConfig) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if self._settings.origins is not None and origin not in self._settings.origins:
            return problem(403, "expected a page of an origin that --allow-origin names")
        socket = web.WebSocketResponse(
            protocols=(REALTIME,),
            compress=False,
            max_msg_size=self._settings.max_message_bytes,
            timeout=CLOSE_TIMEOUT_S,
        )
        await socket.prepare(request)
        if request.transport is None:  # lost since
            return socket
        link = AiohttpLink(socket, request.transport)
        await self._converse(link, enhancer, self._settings.new_framing(), partial(self._connect, request))
        return socket

    async def _connect(self, request: web.BaseRequest) -> Link:
        settings = self._settings
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower().startswith("openai-") or (name.lower() == "authorization" and self._token is None)
        }
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        return await connect(
            settings.websocket_upstream.rstrip("/") + path_of(request),
            ssl=self._upstream_tls,
            additional_headers=headers,
            subprotocols=[Subprotocol(name) for name in offered if name] or None,
            open_timeout=settings.connect_seconds,
            max_size=settings.max_message_bytes,
            proxy=None,  # ignore proxy settings of the environment: this is a proxy itself
            **OPTIONS,
        )

    async def _probe(self) -> Closable:
        """Opens a plain connection: a WebSocket would need a path and a key."""
        parts = urlsplit(self._base)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(self._settings.connect_seconds):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=self._upstream_tls)
        return _Probe(writer)


class _Probe:
    """A connection that is only opened and closed."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def close(self) -> None:
        """See `Closable`."""
        self._writer.transport.abort()
