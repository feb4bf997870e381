"""The protocol of FunASR's WebSocket servers (`funasr_wss_server`), without I/O.

A text `{"mode": ..., "wav_name": ..., "audio_fs": 16000, "is_speaking": true}` begins an utterance, then binary
messages of 16-bit PCM come, and the text `{"is_speaking": false}` ends it. Texts with other settings may come at any
time. The server answers with any number of texts. Audio in another format than `"wav_format": "pcm"` passes unchanged.

Source: modelscope/FunASR, runtime/python/websocket/funasr_wss_client.py and funasr_wss_server.py.
"""

from __future__ import annotations

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
from gtcrn_frontend.adapters.servers.protocols.json_text import object_of, rate_of
from gtcrn_frontend.audio.types import F32

DEFAULT_RATE_HZ = 16_000


class FunasrFraming(Framing):
    """The protocol of one connection to FunASR."""

    default_rate_hz = DEFAULT_RATE_HZ

    def __init__(self) -> None:
        self._rate_hz: int | None = None
        self._is_pcm = True
        self._begun = False
        self._unanswered = False

    @property
    def in_flight(self) -> bool:
        """Whether an utterance has begun, or nothing has been answered since it ended."""
        return self._begun or self._unanswered

    def receive(self, message: Message) -> list[Event]:
        """Returns what a client's message means; raises `BadMessageError` if it may not come here."""
        if isinstance(message, bytes):
            return self._audio(message)
        content = object_of(message, 'settings such as {"is_speaking": true}')
        if not self._begun:
            self._rate_hz = rate_of(content, "audio_fs") or self._rate_hz
            self._is_pcm = str(content.get("wav_format", "pcm")).lower() == "pcm"
        if content.get("is_speaking") is False and self._begun:
            self._begun, self._unanswered = False, True
            return [End(message)]
        return [Pass(message)]

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns one message; none without samples."""
        return [to_pcm16(samples)] if len(samples) else []

    def answer(self, message: Message) -> list[Message]:
        """Notes a message of the server, and passes it on."""
        self._unanswered = False
        return [message]

    def _audio(self, message: bytes) -> list[Event]:
        if not self._is_pcm:
            return [Pass(message)]
        if len(message) % 2:
            raise BadMessageError(
                CloseCode.INVALID_DATA, f"expected 16-bit samples, an even number of bytes, got {len(message)}"
            )
        begin: list[Event] = [] if self._begun else [Begin(self._rate_hz)]
        self._begun = True
        return [*begin, Audio(from_pcm16(message))]
