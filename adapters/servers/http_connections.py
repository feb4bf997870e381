"""`CountedServer`: aiohttp's HTTP server, whose connections without a request in progress are limited."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gtcrn_frontend.adapters.servers.handshakes import Handshakes
from gtcrn_frontend.adapters.servers.tls_handshake import TlsHandshake, address_of


@dataclass(frozen=True, eq=False)
class _Peer:
    """See `tls_handshake.Peer`."""

    peer_address: str
    transport: asyncio.Transport


class CountedServer(web.Server):
    """Counts connections that have not begun their TLS or their first request, or wait for another one.

    Args:
        handler: answers requests, within `in_progress`.
        handshakes: counts and limits those connections.
        tls: TLS settings; None without TLS.
        handshake_seconds: time for the TLS handshake.
        **options: of aiohttp's server.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        handshakes: Handshakes,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._handshakes = handshakes
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._peers: dict[web.RequestHandler, _Peer] = {}

    def __call__(self) -> Any:
        """Returns the protocol of a new connection."""
        protocol = super().__call__()
        if self._tls is None:
            return protocol
        return TlsHandshake(self._handshakes, protocol, self._tls, self._handshake_seconds)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Counts a new connection."""
        super().connection_made(handler, transport)
        peer = self._peers[handler] = _Peer(address_of(transport), transport)
        self._handshakes.begin(peer)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Counts a connection no longer."""
        super().connection_lost(handler, exc)
        if peer := self._peers.pop(handler, None):
            self._handshakes.end(peer)

    @contextlib.contextmanager
    def in_progress(self, request: web.BaseRequest) -> Iterator[None]:
        """Within the block, the connection of a request is not among those that may be dropped."""
        handler = request.protocol
        if peer := self._peers.get(handler):
            self._handshakes.end(peer)
        try:
            yield
        finally:
            if handler in self._peers:
                self._handshakes.begin(self._peers[handler])
