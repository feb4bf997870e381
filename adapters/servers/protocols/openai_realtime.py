"""The realtime protocol of OpenAI's interface, on its WebSocket `/v1/realtime`, without I/O.

Clients send JSON texts. `input_audio_buffer.append` carries base64 audio, which is enhanced; `commit` and `clear` end
the stream; all else passes. The format of the audio is that of the session: 16-bit PCM of 24 kHz unless
`session.update` names another (`audio.input.format`, or `input_audio_format` as in the beta), or mu-law or A-law of
8 kHz. What cannot be read passes as it is, so that the server explains what is wrong with it.

Source: OpenAI API reference, client events of Realtime; the types of the package openai 3.57, openai/types/realtime.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from gtcrn_frontend.adapters.servers.protocols.base import (
    Audio,
    Begin,
    End,
    Event,
    Framing,
    Message,
    Pass,
)
from gtcrn_frontend.audio.g711 import SAMPLE_RATE_HZ
from gtcrn_frontend.audio.pcm import pcm_bytes, whole_frames
from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk

DEFAULT_RATE_HZ = 24_000
APPEND, COMMIT, CLEAR = (f"input_audio_buffer.{name}" for name in ("append", "commit", "clear"))

_ENCODINGS = {
    "audio/pcm": "s16le",
    "audio/pcmu": "mulaw",
    "audio/pcma": "alaw",
    "pcm16": "s16le",
    "g711_ulaw": "mulaw",
    "g711_alaw": "alaw",
}
_ANSWERS = ("transcription.completed", "transcription.failed", "response.done", "error")


class RealtimeFraming(Framing):
    """The protocol of one realtime connection."""

    default_rate_hz = DEFAULT_RATE_HZ

    def __init__(self) -> None:
        self._encoding: str | None = "s16le"  # None: unknown here, so that the audio passes as it is
        self._stream_encoding = "s16le"  # of the audio that has begun, also after a change
        self._rate_hz: int | None = None
        self._rest = b""  # start of an incomplete sample
        self._event_id: Any = None
        self._begun = False
        self._unanswered = False

    @property
    def in_flight(self) -> bool:
        """Whether there is audio without `commit`, or nothing has been answered since."""
        return self._begun or self._unanswered

    def receive(self, message: Message) -> list[Event]:
        """Returns what a client's message means."""
        content = _parsed(message)
        kind = content.get("type")
        if kind == APPEND:
            return self._append(content) or [Pass(message)]
        if kind in ("session.update", "transcription_session.update") and not self._set_format(content.get("session")):
            return [Pass(message)]
        if kind not in (COMMIT, CLEAR, "session.update", "transcription_session.update"):
            return [Pass(message)]
        self._rest = b""
        if not self._begun:
            return [Pass(message)]
        self._begun, self._event_id = False, None
        self._unanswered = kind == COMMIT
        return [End(message)]

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns one `append`; none without samples."""
        if not len(samples):
            return []
        audio = base64.b64encode(pcm_bytes(samples, self._stream_encoding)).decode()
        event = {"type": APPEND, "audio": audio}
        if self._event_id is not None and not more:
            event["event_id"] = self._event_id
        return [json.dumps(event)]

    def answer(self, message: Message) -> list[Message]:
        """Notes a message of the server, and passes it on."""
        if self._unanswered and str(_parsed(message).get("type")).endswith(_ANSWERS):
            self._unanswered = False
        return [message]

    def _append(self, content: dict[str, Any]) -> list[Event]:
        """Returns the audio; nothing if it cannot be read."""
        try:
            data = base64.b64decode(content.get("audio", ""), validate=True)
        except (TypeError, ValueError, binascii.Error):
            return []
        if self._encoding is None or not data:
            return []
        samples, self._rest = whole_frames(self._rest + data, self._encoding, 1)
        begin: list[Event] = [] if self._begun else [Begin(self._rate_hz)]
        self._begun, self._stream_encoding, self._event_id = True, self._encoding, content.get("event_id")
        return [*begin, Audio(check_chunk(samples, 1)[0])]

    def _set_format(self, session: Any) -> bool:
        """Takes the format of the audio from the settings of a session; returns whether it has changed."""
        before = self._encoding, self._rate_hz
        match session:
            case {"audio": {"input": {"format": {"type": kind, **more}}}}:
                rate = more.get("rate")
            case {"input_audio_format": kind}:
                rate = None
            case _:
                return False
        self._encoding = _ENCODINGS.get(kind) if isinstance(kind, str) else None
        if self._encoding in ("mulaw", "alaw"):
            rate = SAMPLE_RATE_HZ
        if rate is not None and (not isinstance(rate, int) or not MIN_RATE_HZ <= rate <= MAX_RATE_HZ):
            self._encoding = rate = None
        self._rate_hz = rate
        return before != (self._encoding, self._rate_hz)


def _parsed(message: Message) -> dict[str, Any]:
    """Returns the object of a JSON text; an empty one for anything else."""
    try:
        content = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}
