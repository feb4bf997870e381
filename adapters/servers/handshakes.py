"""Limits connections whose handshake is not complete, in total and per address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection


class Handshakes:
    """The connections that have not completed their handshake, the oldest first.

    Beyond a limit, the oldest one is dropped: a handshake takes milliseconds, so that under a flood of connections that
        say nothing, those who speak still get in.

    Args:
        limit: of all addresses together.
        limit_per_address: of each one.
        on_drop: called for each connection that is dropped.
    """

    def __init__(self, limit: int, limit_per_address: int, on_drop: Callable[[], object]) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._on_drop = on_drop
        self._all: dict[ServerConnection, None] = {}  # dicts keep the order of insertion
        self._by_address: dict[str, dict[ServerConnection, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def begin(self, connection: ServerConnection) -> None:
        """Counts a new connection; drops the oldest one where it is one too many."""
        own = self._by_address.setdefault(_address(connection), {})
        self._all[connection] = own[connection] = None
        if len(own) > self._limit_per_address:
            self._drop(next(iter(own)))
        elif len(self._all) > self._limit:
            self._drop(next(iter(self._all)))

    def end(self, connection: ServerConnection) -> None:
        """Counts a connection no longer: its handshake is complete, or it is lost. May be called again."""
        if connection not in self._all:
            return
        del self._all[connection]
        address = _address(connection)
        own = self._by_address[address]
        del own[connection]
        if not own:
            del self._by_address[address]

    def new_connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        """The `create_connection` of `websockets.asyncio.server.serve`."""
        return _CountedConnection(self, *args, **kwargs)

    def _drop(self, connection: ServerConnection) -> None:
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
        peer = transport.get_extra_info("peername")
        self.peer_address = str(peer[0]) if peer else ""  # kept: a closed socket has none
        self._handshakes.begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._handshakes.end(self)
        super().connection_lost(exc)


def _address(connection: ServerConnection) -> str:
    return connection.peer_address if isinstance(connection, _CountedConnection) else ""
