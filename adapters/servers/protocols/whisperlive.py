"""The protocol of WhisperLive's WebSocket server, without I/O.

A text of options as JSON comes first, then binary messages of samples at 16 kHz, float32 unless the option
`audio_format` is `int16` or `uint8`, and the binary message `END_OF_AUDIO`. The server sends texts at any time.

Source: the package whisper-live 0.10, whisper_live/client.py and whisper_live/server.py.
"""

from __future__ import annotations

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
from gtcrn_frontend.adapters.servers.protocols.json_text import object_of
from gtcrn_frontend.audio.pcm_widths import decode_linear, encode_linear
from gtcrn_frontend.audio.types import F32

END_OF_AUDIO = b"END_OF_AUDIO"
SAMPLE_RATE_HZ = 16_000
FORMATS = {"float32": "f32le", "int16": "s16le", "uint8": "u8"}


class WhisperLiveFraming(Framing):
    """The protocol of one connection to WhisperLive."""

    default_rate_hz = SAMPLE_RATE_HZ
    names_rate = False

    def __init__(self) -> None:
        self._format: str | None = None
        self._begun = self._ended = False

    @property
    def in_flight(self) -> bool:
        """Whether audio has come; the server closes the connection after its last answer."""
        return self._begun or self._ended

    def receive(self, message: Message) -> list[Event]:
        """Returns what a client's message means; raises `BadMessageError` if it may not come here."""
        if self._format is None:  # the server reads options from a binary message, too
            name = object_of(message, "options").get("audio_format", "float32")
            if name not in tuple(FORMATS):  # of any type
                raise BadMessageError(
                    CloseCode.UNSUPPORTED_DATA,
                    f"audio_format: expected one of {', '.join(FORMATS)}, got {shown(str(name))}",
                )
            self._format = FORMATS[name]
            return [Pass(message)]
        if isinstance(message, str):
            return [Pass(message)]
        if message == END_OF_AUDIO:
            if not self._begun:
                return [Pass(message)]
            self._begun, self._ended = False, True
            return [End(message)]
        samples, rest = decode_linear(message, self._format, 1)
        if rest:
            raise BadMessageError(
                CloseCode.INVALID_DATA, f"expected whole samples of {self._format}, got {len(message)} bytes"
            )
        begin: list[Event] = [] if self._begun else [Begin(None)]
        self._begun = True
        return [*begin, Audio(np.asarray(samples, np.float32))]

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns one message; none without samples."""
        return [encode_linear(samples, self._format or "f32le")] if len(samples) else []
