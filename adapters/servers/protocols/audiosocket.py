"""Asterisk's AudioSocket, without I/O: a call's audio over TCP, in both directions.

A message is a kind (one byte), the length of its payload (two bytes, big endian) and the payload: 0x01 the UUID of the
call, 0x03 a DTMF digit, 0x10 to 0x18 audio as 16-bit little-endian PCM of the rate that the kind names, 0x00 hang-up,
0xff an error. What Asterisk sends is enhanced; the other direction, and all other messages, pass as they are.

Enhanced audio leaves in messages as long as those that came, so that a call keeps its 20 ms; the first ones are late by
the latency of the enhancer. Before a hang-up, and before audio of another rate, the rest follows.

Source: Asterisk, res/res_audiosocket.c and include/asterisk/res_audiosocket.h.
"""

from __future__ import annotations

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
from gtcrn_frontend.adapters.servers.tcp_link import messages_of
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


def first_message(data: bytes, start: int, max_bytes: int) -> int:
    """Returns the end of a message; see `FirstMessage`."""
    if len(data) - start < HEADER.size:
        return 0
    _, length = HEADER.unpack_from(data, start)
    if HEADER.size + length > max_bytes:
        raise BadMessageError(
            CloseCode.MESSAGE_TOO_BIG, f"expected a message of at most {max_bytes} bytes, got {HEADER.size + length}"
        )
    end: int = start + HEADER.size + length
    return end if end <= len(data) else 0


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
        """Yields what messages of Asterisk mean; their audio is joined as far as it is of one rate."""
        assert isinstance(message, bytes)
        payloads: list[bytes] = []
        for one in messages_of(message, first_message):
            kind, payload = one[0], one[HEADER.size :]
            is_audio = kind in RATES_HZ and bool(payload)
            if payloads and not (is_audio and kind == self._kind):
                yield Audio(self._samples(payloads))
                payloads = []
            if is_audio:
                if kind != self._kind:
                    yield from self._end(None)
                    self._kind, self._ending, self._odd_byte = kind, False, b""
                    yield Begin(RATES_HZ[kind])
                payloads.append(payload)
            elif kind == HANG_UP:
                yield from self._end(one)
            else:
                yield Pass(one)
        if payloads:
            yield Audio(self._samples(payloads))

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns messages as long as those that came, as far as they are complete."""
        self._ready += to_pcm16(samples)
        messages: list[bytes] = []
        assert self._kind is not None  # since `Begin`
        start = 0
        while self._lengths and len(self._ready) - start >= self._lengths[0]:
            end = start + self._lengths.popleft()
            messages.append(message_of(self._kind, self._ready[start:end]))
            start = end
        self._ready = self._ready[start:]
        if self._ending and not more:
            self._kind = None
        return [b"".join(messages)] if messages else []

    def hang_up(self) -> list[Event]:
        """Returns the end of the stream, for a connection that ends without a hang-up message."""
        return self._end(None)

    def farewell(self, reason: str) -> Message:
        """Returns a hang-up."""
        return message_of(HANG_UP)

    def _samples(self, payloads: list[bytes]) -> F32:
        """Returns samples of payloads, whose lengths those of the output will be; a sample may be split."""
        missing = len(self._odd_byte)
        for payload in payloads:
            whole = (missing + len(payload)) // 2 * 2
            missing += len(payload) - whole
            if whole:
                self._lengths.append(whole)
        data = self._odd_byte + b"".join(payloads)
        whole = len(data) - len(data) % 2
        self._odd_byte = data[whole:]
        return from_pcm16(data[:whole])

    def _end(self, message: bytes | None) -> list[Event]:
        if self._kind is None:
            return [] if message is None else [Pass(message)]
        self._ending = True
        return [End(message)]
