"""Limits connections whose handshake is not complete, in total and per address."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from gtcrn_frontend.adapters.servers.tls_handshake import Peer, TlsHandshake, address_of


class Handshakes:
    """The connections that have not completed their handshake, that of TLS included, the oldest first.

    Beyond a limit, the oldest one is dropped: a handshake takes milliseconds, so that under a flood of connections that
        say nothing, those who speak still get in.

    Args:
        limit: of all addresses together.
        limit_per_address: of each one.
        on_drop: called for each connection that is dropped.
        tls: TLS settings of the server; None without TLS.
        timeout_s: time for the TLS handshake.
    """

    def __init__(
        self,
        limit: int,
        limit_per_address: int,
        on_drop: Callable[[], object],
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._on_drop = on_drop
        self._tls = tls
        self._timeout_s = timeout_s
        self._all: dict[Peer, None] = {}  # dicts keep the order of insertion
        self._by_address: dict[str, dict[Peer, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def begin(self, connection: Peer) -> None:
        """Counts a new connection; drops the oldest one where it is one too many."""
        own = self._by_address.setdefault(connection.peer_address, {})
        self._all[connection] = own[connection] = None
        if len(own) > self._limit_per_address:
            self._drop(next(iter(own)))
        elif len(self._all) > self._limit:
            self._drop(next(iter(self._all)))

    def end(self, connection: Peer) -> None:
        """Counts a connection no longer: its handshake is complete, or it is lost. May be called again."""
        if connection not in self._all:
            return
        del self._all[connection]
        own = self._by_address[connection.peer_address]
        del own[connection]
        if not own:
            del self._by_address[connection.peer_address]

    def new_connection(self, *args: Any, **kwargs: Any) -> ServerConnection | TlsHandshake:
        """The `create_connection` of `websockets.asyncio.server.serve` for clients."""
        connection = _CountedConnection(self, *args, **kwargs)
        return TlsHandshake(self, connection, self._tls, self._timeout_s) if self._tls else connection

    def new_admin_connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        """The same for the admin port, which has no TLS."""
        return _CountedConnection(self, *args, **kwargs)

    def abort(self) -> None:
        """Drops all of them."""
        for connection in list(self._all):
            self.end(connection)
            connection.transport.abort()

    def _drop(self, connection: Peer) -> None:
        self.end(connection)
        self._on_drop()
        connection.transport.abort()


class _CountedConnection(ServerConnection):
    def __init__(self, handshakes: Handshakes, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handshakes = handshakes
        self.peer_address = ""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.peer_address = address_of(transport)
        self._handshakes.begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._handshakes.end(self)
        super().connection_lost(exc)
