"""`Link`, a connection of messages, and options and closing of those that are WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend.adapters.servers.protocols.base import Message

CLOSE_TIMEOUT_S = 3.0

OPTIONS: dict[str, Any] = {
    "max_queue": (2, 0),  # read-ahead in messages: reading pauses above the first number and resumes at the second
    "close_timeout": CLOSE_TIMEOUT_S,
    "compression": None,  # compression of noise-like floats saves little and costs much
    "ping_interval": None,  # a pong would queue behind the audio; sessions detect dead peers themselves
}


class Closable(Protocol):
    """A connection that can be closed."""

    async def close(self) -> None:
        """Closes it."""


class Link(Protocol):
    """A connection of messages: a `Connection` of websockets, a `TcpLink`, or an `AiohttpLink`."""

    @property
    def remote_address(self) -> Any:
        """Address and port of the peer; None if the socket is gone."""

    @property
    def transport(self) -> Any:
        """asyncio's transport of the connection."""

    async def recv(self) -> Message:
        """Returns the next message; raises websockets' `ConnectionClosed` at the end."""

    async def send(self, message: Message, /) -> None:
        """Sends a message, and waits while the peer does not read; raises `ConnectionClosed`."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection, with a code and a reason where the protocol has such."""


def drop(connection: Link) -> None:
    """Closes a connection at once, without a word."""
    connection.transport.abort()


async def close(connection: Link, code: int, reason: str, last_message: Message | None = None) -> None:
    """Closes a connection, after a last message if there is one; discards what comes until the peer has closed, too."""
    if last_message is not None:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await connection.send(last_message)
    if not isinstance(connection, Connection):
        await connection.close(code, reason)
        return
    closing = asyncio.ensure_future(connection.close(code, reason))
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await connection.recv()
    except TimeoutError:  # the peer does not even read what was sent before
        drop(connection)
    await closing
