"""`TcpLink`: a connection of messages over TCP, whose end looks like that of a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close, CloseCode

from gtcrn_frontend.adapters.servers.connections import CLOSE_TIMEOUT_S
from gtcrn_frontend.adapters.servers.protocols.base import BadMessageError, Message

ReadMessage = Callable[[asyncio.StreamReader, int], Awaitable[bytes]]
"""Reads one message of at most so many bytes.

Raises `BadMessageError` where it is none or too long, and `IncompleteReadError` at the end of the stream.
"""


class TcpLink:
    """Messages over a TCP connection.

    Args:
        reader, writer: of the connection.
        read_message: the framing of messages.
        max_message_bytes: a longer one ends the connection.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        read_message: ReadMessage,
        max_message_bytes: int,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._read_message = read_message
        self._max_message_bytes = max_message_bytes

    @property
    def remote_address(self) -> Any:
        """Address and port of the peer; None if the socket is gone."""
        return self._writer.get_extra_info("peername")

    async def recv(self) -> bytes:
        """Returns the next message.

        Raises:
            ConnectionClosedOK: the peer has ended the connection after a whole message.
            ConnectionClosedError: the connection was lost, or what came is no message.
        """
        try:
            return await self._read_message(self._reader, self._max_message_bytes)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise ConnectionClosedError(None, None) from error
            raise ConnectionClosedOK(Close(CloseCode.NORMAL_CLOSURE, ""), None) from error
        except OSError as error:
            raise ConnectionClosedError(None, None) from error
        except BadMessageError as error:
            raise ConnectionClosedError(None, Close(error.code, str(error))) from error

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
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
