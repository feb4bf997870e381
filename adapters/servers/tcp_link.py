"""`TcpLink`: a connection of messages over TCP, whose end looks like that of a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close, CloseCode

from gtcrn_frontend.adapters.servers.connections import CLOSE_TIMEOUT_S
from gtcrn_frontend.adapters.servers.protocols.base import BadMessageError, Message

FirstMessage = Callable[[bytes, int, int], int]
"""Returns where the first message of data ends that begins at a position, or 0 if it is incomplete.

Its third argument is the most bytes of a message; it raises `BadMessageError` for longer ones, and where there is none.
"""

_READ_BYTES = 65_536


def messages_of(data: bytes, first_message: FirstMessage) -> Iterator[bytes]:
    """Yields the messages of data that holds whole ones."""
    start = 0
    while start < len(data):
        end = first_message(data, start, len(data))
        yield data[start:end]
        start = end


class TcpLink:
    """Messages over a TCP connection, as many at a time as have come: under load, they cost less together.

    Args:
        reader, writer: of the connection.
        first_message: the framing of messages.
        max_message_bytes: a longer one ends the connection.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        first_message: FirstMessage,
        max_message_bytes: int,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._first_message = first_message
        self._max_message_bytes = max_message_bytes
        self._rest = b""  # of an incomplete message

    @property
    def remote_address(self) -> Any:
        """Address and port of the peer; None if the socket is gone."""
        return self._writer.get_extra_info("peername")

    @property
    def transport(self) -> asyncio.WriteTransport:
        """See `Link`."""
        return self._writer.transport

    async def recv(self) -> bytes:
        """Returns the next messages, at least one.

        Raises:
            ConnectionClosedOK: the peer has ended the connection after a whole message.
            ConnectionClosedError: the connection was lost, or what came is no message.
        """
        try:
            while True:
                data = await self._reader.read(_READ_BYTES)
                if not data and self._rest:
                    raise ConnectionClosedError(None, None)
                if not data:
                    raise ConnectionClosedOK(Close(CloseCode.NORMAL_CLOSURE, ""), None)
                data = self._rest + data
                end = 0
                try:
                    while next_end := self._first_message(data, end, self._max_message_bytes):
                        end = next_end
                except BadMessageError as error:
                    if not end:
                        raise ConnectionClosedError(None, Close(error.code, str(error))) from error
                self._rest = data[end:]
                if end:
                    return data[:end]
        except OSError as error:
            raise ConnectionClosedError(None, None) from error

    async def send(self, message: Message) -> None:
        """Sends a message, and waits while the peer does not read; raises `ConnectionClosedError`."""
        assert isinstance(message, bytes)  # protocols over TCP have no texts
        try:
            self._writer.write(message)
            await self._writer.drain()
        except OSError as error:
            raise ConnectionClosedError(None, None) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Sends what is left, discards what comes until the peer has closed, too, and closes the connection."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                # Not closed at once: with unread data, the kernel would reset the connection, and the peer lose data.
                self._writer.write_eof()
                while await self._reader.read(65_536):
                    pass
        self.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
