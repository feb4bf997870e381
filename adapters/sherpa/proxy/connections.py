"""What the two connections of a session have in common: that of the client and that to the recogniser."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

CLOSE_TIMEOUT_S = 3.0

OPTIONS: dict[str, Any] = {
    "max_queue": (2, 0),  # messages read ahead: above the first number reading stops, at the second it goes on
    "close_timeout": CLOSE_TIMEOUT_S,
    "compression": None,  # of noise-like floats it saves little, for much computing
    "ping_interval": None,  # a pong would queue behind the audio; a session finds out who is dead
}


async def close(connection: Connection, code: int, reason: str) -> None:
    """Closes a connection, and throws away what still comes: the answer to the closing lies behind it."""
    closing = asyncio.ensure_future(connection.close(code, reason))
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await connection.recv()
    except TimeoutError:  # the other side does not even take what was sent before
        connection.transport.abort()
    await closing
