"""Options and closing shared by client and upstream connections."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

CLOSE_TIMEOUT_S = 3.0

OPTIONS: dict[str, Any] = {
    "max_queue": (2, 0),  # read-ahead in messages: reading pauses above the first number and resumes at the second
    "close_timeout": CLOSE_TIMEOUT_S,
    "compression": None,  # compression of noise-like floats saves little and costs much
    "ping_interval": None,  # a pong would queue behind the audio; sessions detect dead peers themselves
}


async def close(connection: Connection, code: int, reason: str) -> None:
    """Closes a connection; discards incoming messages until the peer's close frame."""
    closing = asyncio.ensure_future(connection.close(code, reason))
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await connection.recv()
    except TimeoutError:  # the peer does not even read what was sent before
        connection.transport.abort()
    await closing
