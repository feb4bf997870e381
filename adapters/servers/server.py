"""`Proxy`: the WebSocket server of the proxy, with health and metrics endpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from gtcrn_frontend.adapters.servers.access import check_descriptors, descriptors_needed
from gtcrn_frontend.adapters.servers.connections import OPTIONS, Link
from gtcrn_frontend.adapters.servers.endpoints import AdminEndpoints, Endpoints
from gtcrn_frontend.adapters.servers.handshakes import Handshakes
from gtcrn_frontend.adapters.servers.relay import Relay, address_of, run_until_stopped, websocket_logger
from gtcrn_frontend.adapters.servers.settings import ProxySettings
from gtcrn_frontend.errors import ConfigError


class Proxy(Relay):
    """Enhances the audio that clients send to a recognition server, and relays the answers.

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
        if settings.protocol == "openai":
            raise ConfigError(
                "expected another protocol than openai, which has HTTP beside WebSockets: use OpenAiProxy"
            )
        self._settings = settings
        check_descriptors(descriptors_needed(settings.max_connections, settings.handshake_limits[0]))
        self._server_tls = settings.server_tls()
        self._upstream_tls = settings.upstream_tls()
        super().__init__(settings)
        self._endpoints = Endpoints(settings, self._metrics, self._connect, lambda: self._draining)
        self._server: Server | None = None

    @property
    def address(self) -> str:
        """The address for clients, with the actual port."""
        if self._server is None:
            raise RuntimeError("expected a listening proxy: enter its `async with` block first")
        return f"{'wss' if self._server_tls else 'ws'}://{address_of(self._server)}"

    @property
    def admin_address(self) -> str:
        """The address of the admin port, `http://...`; that of the clients' port if there is none."""
        if self._admin is None:
            return self.address.replace("ws", "http", 1)
        return super().admin_address

    async def _listen(self) -> None:
        settings = self._settings
        self._server = await serve_websocket(
            self._serve,
            settings.host,
            settings.port,
            process_request=self._endpoints.for_clients,
            origins=settings.origins,
            max_size=settings.max_message_bytes,
            server_header=None,
            logger=websocket_logger,
            backlog=settings.max_connections,
            open_timeout=settings.handshake_seconds,
            create_connection=self._handshakes.new_connection,  # type: ignore[arg-type]  # with TLS, if there is any
            **OPTIONS,
        )

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._handshakes.abort()
            await self._server.wait_closed()

    def _new_handshakes(self) -> Handshakes:
        settings = self._settings
        return Handshakes(
            *settings.handshake_limits,
            self._metrics.dropped_handshakes.inc,
            self._server_tls,
            settings.handshake_seconds,
        )

    def _admin_endpoints(self) -> AdminEndpoints:
        return self._endpoints

    async def _open_admin_port(self, handshake_seconds: float = 10.0) -> None:
        await super()._open_admin_port(self._settings.handshake_seconds)

    async def _serve(self, client: ServerConnection) -> None:
        """Serves one connection, from handshake to close."""
        self._handshakes.end(client)  # type: ignore[arg-type]  # made by `new_connection`
        settings = self._settings
        enhancer = settings.enhancer_for(client.request.path if client.request else "")
        await self._converse(client, enhancer, settings.new_framing(), partial(self._connect, client))

    async def _connect(self, client: ServerConnection | None = None) -> Link:
        settings = self._settings
        return await connect(
            settings.websocket_upstream,
            ssl=self._upstream_tls,
            open_timeout=settings.connect_seconds,
            max_size=settings.max_message_bytes,
            proxy=None,  # ignore proxy settings of the environment: this is a proxy itself
            **OPTIONS,
        )


async def serve(settings: ProxySettings, announce: Callable[[Relay], None]) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal closes all connections.

    Raises the limit of file descriptors of this process if the settings need it, and limits repeated lines of asyncio's
    log while it runs.

    Args:
        settings: those of the proxy.
        announce: called when the proxy listens.

    Raises:
        ConfigError, ModelError, OSError: see `Proxy`.
    """
    check_descriptors(descriptors_needed(settings.max_connections, settings.handshake_limits[0]), raise_limit=True)
    await run_until_stopped(new_proxy(settings), announce)


def new_proxy(settings: ProxySettings) -> Relay:
    """Returns the proxy for a protocol.

    Raises:
        ImportError: the protocol is openai, and aiohttp is not installed.
        ConfigError, ModelError: see `Proxy`.
    """
    if settings.protocol != "openai":
        return Proxy(settings)
    from gtcrn_frontend.adapters.servers.openai import OpenAiProxy  # needs aiohttp

    return OpenAiProxy(settings)
