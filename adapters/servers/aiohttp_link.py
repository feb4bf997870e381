"""`AiohttpLink`: a client's WebSocket of aiohttp, which looks like one of websockets."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close, CloseCode

from gtcrn_frontend.adapters.servers.protocols.base import Message


class AiohttpLink:
    """A WebSocket that aiohttp has accepted.

    Args:
        socket: after `prepare`.
        transport: of the connection.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._socket = socket
        self.transport = transport
        self.remote_address = transport.get_extra_info("peername")

    async def recv(self) -> Message:
        """Returns the next message; raises websockets' `ConnectionClosed` at the end."""
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: Message = message.data
            return data
        if message.type == WSMsgType.ERROR:
            code = getattr(message.data, "code", CloseCode.PROTOCOL_ERROR)
            raise ConnectionClosedError(None, Close(code, str(message.data)))
        code = self._socket.close_code
        if code is None or code == CloseCode.ABNORMAL_CLOSURE:
            raise ConnectionClosedError(None, None)
        raise ConnectionClosedOK(Close(code, ""), None)

    async def send(self, message: Message) -> None:
        """Sends a message, and waits while the peer does not read; raises `ConnectionClosedError`."""
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (OSError, RuntimeError) as error:  # aiohttp: closing
            raise ConnectionClosedError(None, None) from error

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Closes the connection; discards what comes until the peer has closed, too."""
        await self._socket.close(code=code, message=reason.encode())
