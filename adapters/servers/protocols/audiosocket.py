"""Asterisk's AudioSocket, without I/O: a call's audio over TCP, in both directions.

A message is a kind (one byte), the length of its payload (two bytes, big endian) and the payload: 0x01 the UUID of the
call, 0x03 a DTMF digit, 0x10 to 0x18 audio as 16-bit little-endian PCM of the rate that the kind names, 0x00 hang-up,
0xff an error. What Asterisk sends is enhanced; the other direction, and all other messages, pass as they are.

Enhanced audio leaves in messages as long as those that came, so that a call keeps its 20 ms; the first ones are late by
the latency of the enhancer. Before a hang-up, and before audio of another rate, the rest follows.

Source: Asterisk, res/res_audiosocket.c and include/asterisk/res_audiosocket.h.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Iterator

from websockets.frames import CloseCode

from gtcrn_frontend.adapters.servers.protocols.base import (
    Audio,
    BadMessageError,
    Begin,
    End,
    Event,
    Framing,
    Message,
    Pass,
    from_pcm16,
    to_pcm16,
)
from gtcrn_frontend.audio.types import F32

HEADER = struct.Struct(">BH")
HANG_UP, UUID, DTMF, ERROR = 0x00, 0x01, 0x03, 0xFF
RATES_HZ = {
    0x10: 8000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
KINDS = {rate: kind for kind, rate in RATES_HZ.items()}


def message_of(kind: int, payload: bytes = b"") -> bytes:
    """Returns a message; the payload has at most 65,535 bytes."""
    return HEADER.pack(kind, len(payload)) + payload


async def read_message(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    """Reads one message with its header; see `ReadMessage`."""
    header = await reader.readexactly(HEADER.size)
    _, length = HEADER.unpack(header)
    if HEADER.size + length > max_bytes:
        raise BadMessageError(
            CloseCode.MESSAGE_TOO_BIG, f"expected a message of at most {max_bytes} bytes, got {HEADER.size + length}"
        )
    try:
        return header + await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise asyncio.IncompleteReadError(header + error.partial, HEADER.size + length) from error


class AudioSocketFraming(Framing):
    """The protocol of one call."""

    def __init__(self) -> None:
        self._kind: int | None = None  # of the audio of the stream
        self._odd_byte = b""
        self._lengths: deque[int] = deque()  # of the messages of audio that have none of the same length yet
        self._ready = b""
        self._ending = False

    @property
    def in_flight(self) -> bool:
        """Whether the call has audio and has not ended."""
        return self._kind is not None

    def receive(self, message: Message) -> Iterator[Event]:
        """Yields what a message of Asterisk means; each event is to be handled before the next one is asked for."""
        assert isinstance(message, bytes)
        kind, payload = message[0], message[HEADER.size :]
        if kind == HANG_UP:
            yield from self._end(message)
        elif kind in RATES_HZ and payload:
            if kind != self._kind:
                yield from self._end(None)
                self._kind, self._ending, self._odd_byte = kind, False, b""
                yield Begin(RATES_HZ[kind])
            payload = self._odd_byte + payload
            whole = len(payload) - len(payload) % 2
            self._odd_byte = payload[whole:]
            if whole:
                self._lengths.append(whole)
                yield Audio(from_pcm16(payload[:whole]))
        else:
            yield Pass(message)

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns messages as long as those that came, as far as they are complete."""
        self._ready += to_pcm16(samples)
        messages: list[Message] = []
        assert self._kind is not None  # since `Begin`
        while self._lengths and len(self._ready) >= self._lengths[0]:
            length = self._lengths.popleft()
            messages.append(message_of(self._kind, self._ready[:length]))
            self._ready = self._ready[length:]
        if self._ending and not more:
            self._kind = None
        return messages

    def hang_up(self) -> list[Event]:
        """Returns the end of the stream, for a connection that ends without a hang-up message."""
        return self._end(None)

    def farewell(self, reason: str) -> Message:
        """Returns a hang-up."""
        return message_of(HANG_UP)

    def _end(self, message: bytes | None) -> list[Event]:
        if self._kind is None:
            return [] if message is None else [Pass(message)]
        self._ending = True
        return [End(message)]
