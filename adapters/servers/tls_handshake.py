"""The TLS handshake of a connection, from the moment it is accepted, so that it counts against the limits."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Protocol


class Peer(Protocol):
    """A connection that is counted."""

    @property
    def peer_address(self) -> str:
        """The address of the other side."""

    @property
    def transport(self) -> Any:
        """asyncio's transport of the connection."""


class Counter(Protocol):
    """What counts connections whose handshake is not complete."""

    def begin(self, connection: Peer) -> None:
        """Counts a new connection."""

    def end(self, connection: Peer) -> None:
        """Counts a connection no longer."""


class TlsHandshake(asyncio.Protocol):
    """Stands in for the protocol of a connection until its TLS handshake is complete.

    asyncio's own servers tell nobody about a connection before that, so that a flood of connections that never begin
    TLS could not be limited.

    Args:
        counter: told when the connection begins and when it ends or goes over to `connection`.
        connection: gets the encrypted transport.
        context: TLS settings of the server.
        timeout_s: time for the handshake.
    """

    transport: asyncio.Transport

    def __init__(
        self, counter: Counter, connection: asyncio.Protocol, context: ssl.SSLContext, timeout_s: float
    ) -> None:
        self.peer_address = ""
        self._counter = counter
        self._connection = connection
        self._context = context
        self._timeout_s = timeout_s
        self._received: list[bytes] = []
        self._is_lost = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer_address = address_of(transport)
        self._counter.begin(self)
        loop = asyncio.get_running_loop()
        # Not at once: until the loop's next turn it does not read, and what it has read by then would be lost.
        loop.call_soon(self._start, loop)

    def data_received(self, data: bytes) -> None:
        """Keeps what comes right behind the handshake, before this object hears that it is complete."""
        self._received.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._is_lost = True
        self._counter.end(self)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.transport.is_closing():  # dropped as one too many
            return
        self.transport.pause_reading()
        self._task = loop.create_task(self._shake_hands(loop))

    async def _shake_hands(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            encrypted = await loop.start_tls(
                self.transport, self, self._context, server_side=True, ssl_handshake_timeout=self._timeout_s
            )
        except OSError:  # of the network, of TLS, or a timeout: nobody to tell
            self.transport.abort()
            encrypted = None
        finally:
            self._counter.end(self)
        if encrypted is None or self._is_lost:
            return
        self._connection.connection_made(encrypted)
        encrypted.set_protocol(self._connection)
        for data in self._received:
            self._connection.data_received(data)


def address_of(transport: asyncio.BaseTransport) -> str:
    """Returns the address of the other side; kept early, as a closed socket has none."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""
