"""The two protocols of sherpa-onnx's WebSocket servers, without I/O.

Online (`sherpa-onnx-online-websocket-server`): binary messages of float32 samples at a rate that both sides know, then
the text `Done`. The server sends JSON texts while decoding, and finally the text `Done!`; then the next utterance may
follow.

Offline (`sherpa-onnx-offline-websocket-server`): for each utterance a header, the sample rate and the number of bytes
of the samples as int32, then the float32 samples. Messages may be split anywhere except within the header. The server
answers each utterance with one text. The text `Done` ends the connection.

All numbers are little-endian. Source: sherpa-onnx/csrc/{online,offline}-websocket-server-impl.{h,cc}.
"""

from __future__ import annotations

import struct

import numpy as np
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
    shown,
)
from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ
from gtcrn_frontend.audio.types import F32

SAMPLE = np.dtype("<f4")
DONE = "Done"
FINISHED = "Done!"
HEADER = struct.Struct("<ii")


class Float32Framing(Framing):
    """Sends float32 samples, in binary messages without a header."""

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns one message; none without samples."""
        return [samples.astype(SAMPLE, copy=False).tobytes()] if len(samples) else []


class OnlineFraming(Float32Framing):
    """The protocol of the streaming server."""

    names_rate = False

    def __init__(self) -> None:
        self._begun = False
        self._done = False

    @property
    def in_flight(self) -> bool:
        """Whether an utterance has begun whose answer is not complete."""
        return self._begun

    def receive(self, message: Message) -> list[Event]:
        """Returns what a client's message means; raises `BadMessageError` if it may not come here."""
        if self._done:
            raise BadMessageError(
                CloseCode.UNSUPPORTED_DATA, f"expected no message between {DONE!r} and {FINISHED!r}, got one"
            )
        begin: list[Event] = [] if self._begun else [Begin(None, b"")]
        if isinstance(message, str):
            _check_text(message)
            self._begun = self._done = True
            return [*begin, End(DONE)]
        if len(message) % SAMPLE.itemsize:
            raise BadMessageError(
                CloseCode.INVALID_DATA,
                f"expected float32 samples, a multiple of {SAMPLE.itemsize} bytes, got {len(message)} bytes",
            )
        self._begun = True
        return [*begin, Audio(np.frombuffer(message, SAMPLE))]

    def answer(self, message: Message) -> list[Message]:
        """Notes a message of the server, and passes it on."""
        if self._done and message == FINISHED:
            self._begun = self._done = False
        return [message]


class OfflineFraming(Float32Framing):
    """The protocol of the server for whole utterances."""

    def __init__(self) -> None:
        self._missing_bytes = 0
        self._rest = b""  # start of an incomplete sample
        self._unanswered = 0

    @property
    def in_flight(self) -> bool:
        """Whether an utterance has begun whose answer is not complete."""
        return self._unanswered > 0 or self._missing_bytes > 0

    def receive(self, message: Message) -> list[Event]:
        """Returns what a client's message means; raises `BadMessageError` if it may not come here."""
        if isinstance(message, str):
            _check_text(message)
            if self._missing_bytes:
                raise BadMessageError(
                    CloseCode.UNSUPPORTED_DATA, f"expected {self._missing_bytes} more bytes of samples, got {DONE!r}"
                )
            return [Pass(DONE)]
        events: list[Event] = []
        if self._missing_bytes == 0:
            events.append(self._begin(message))
            message = message[HEADER.size :]
        if len(message) > self._missing_bytes:
            raise BadMessageError(
                CloseCode.INVALID_DATA,
                f"expected at most {self._missing_bytes} more bytes of samples, got {len(message)}: "
                "the next utterance begins with a message of its own",
            )
        self._missing_bytes -= len(message)
        message = self._rest + message
        whole = len(message) - len(message) % SAMPLE.itemsize
        self._rest = message[whole:]
        events.append(Audio(np.frombuffer(message, SAMPLE, whole // SAMPLE.itemsize)))
        if self._missing_bytes == 0:
            events.append(End(None))
        return events

    def answer(self, message: Message) -> list[Message]:
        """Notes a message of the server, and passes it on."""
        self._unanswered = max(self._unanswered - 1, 0)
        return [message]

    def _begin(self, message: bytes) -> Begin:
        if len(message) < HEADER.size:
            raise BadMessageError(
                CloseCode.INVALID_DATA,
                f"expected sample rate and byte count as int32, {HEADER.size} bytes, got {len(message)} bytes",
            )
        sample_rate, count = HEADER.unpack_from(message)
        if not MIN_RATE_HZ <= sample_rate <= MAX_RATE_HZ:
            raise BadMessageError(
                CloseCode.INVALID_DATA,
                f"expected a sample rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz in the header, got {sample_rate}",
            )
        if count <= 0 or count % SAMPLE.itemsize:
            raise BadMessageError(
                CloseCode.INVALID_DATA,
                f"expected a byte count above 0 and a multiple of {SAMPLE.itemsize} in the header, got {count}",
            )
        self._missing_bytes = count
        self._unanswered += 1
        return Begin(sample_rate, message[: HEADER.size])


def _check_text(text: str) -> None:
    if text != DONE:
        raise BadMessageError(
            CloseCode.UNSUPPORTED_DATA, f"expected binary messages of samples or the text {DONE!r}, got {shown(text)}"
        )
