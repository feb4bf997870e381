"""`TcpProxy`: a proxy for protocols over plain TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from gtcrn_frontend.adapters.relay_settings import RelaySettings
from gtcrn_frontend.adapters.servers.access import check_descriptors, descriptors_needed
from gtcrn_frontend.adapters.servers.connections import Link
from gtcrn_frontend.adapters.servers.endpoints import AdminEndpoints
from gtcrn_frontend.adapters.servers.protocols.base import Framing
from gtcrn_frontend.adapters.servers.relay import Relay, address_of
from gtcrn_frontend.adapters.servers.tcp_link import FirstMessage, TcpLink
from gtcrn_frontend.errors import ConfigError

_BACKLOG = 1024  # hundreds of calls may begin at once


@dataclass(frozen=True)
class TcpProtocol:
    """A protocol over TCP.

    Attributes:
        first_message: finds the end of a message.
        new_framing: returns the parser of one connection, for its settings.
    """

    first_message: FirstMessage
    new_framing: Callable[[RelaySettings], Framing]


class TcpProxy(Relay):
    """Enhances the audio that clients send to a server over TCP, and relays all else.

    Args:
        settings: addresses and limits; the upstream is `tcp://HOST:PORT`.
        protocol: that of clients and server.

    Raises:
        ConfigError: an address is not usable, or the process may not open enough files.
        ModelError: the model or the engine cannot be loaded.
        OSError: the port is taken (on entering the block).
    """

    def __init__(self, settings: RelaySettings, protocol: TcpProtocol) -> None:
        self._upstream = split_tcp_uri(settings.upstream, "upstream")
        check_descriptors(descriptors_needed(settings.max_connections, 0))
        super().__init__(settings)
        self._protocol = protocol
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """The address for clients, with the actual port."""
        if self._server is None:
            raise RuntimeError("expected a listening proxy: enter its `async with` block first")
        return f"tcp://{address_of(self._server)}"

    async def _listen(self) -> None:
        settings = self._relay_settings
        self._server = await asyncio.start_server(self._serve, settings.host, settings.port, backlog=_BACKLOG)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _admin_endpoints(self) -> AdminEndpoints:
        return AdminEndpoints(self._metrics, self._connect, lambda: self._draining)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        settings = self._relay_settings
        framing = self._protocol.new_framing(settings)
        await self._converse(self._link(reader, writer), settings.enhancer, framing, self._connect)

    async def _connect(self) -> Link:
        async with asyncio.timeout(self._relay_settings.connect_seconds):
            return self._link(*await asyncio.open_connection(*self._upstream))

    def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> TcpLink:
        return TcpLink(reader, writer, self._protocol.first_message, self._relay_settings.max_message_bytes)


def split_tcp_uri(text: str, name: str) -> tuple[str, int]:
    """Splits `tcp://HOST:PORT` (IPv6 hosts in brackets); raises `ConfigError`."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme != "tcp" or not host or port is None or parts.path.strip("/"):
        raise ConfigError(f"{name}: expected an address such as tcp://127.0.0.1:9093, got {text!r}")
    return host, port
