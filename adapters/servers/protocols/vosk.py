"""The protocol of vosk-server's WebSocket server, without I/O.

A text `{"config": {"sample_rate": N, ...}}` may come first, then binary messages of 16-bit PCM, and the text
`{"eof": 1}`, or `{"reset": 1}` to go on. The server answers every message but the first with one text, and clients wait
for it before they send the next one. Each message of audio therefore becomes exactly one, which may be empty. Only the
last samples, which the enhancer holds back until the end, take a message of their own; its answer is not passed on, and
words in it are put before those of the final answer.

Source: alphacep/vosk-server, websocket/asr_server.py and websocket/test.py.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

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
    from_pcm16,
    shown,
    to_pcm16,
)
from gtcrn_frontend.adapters.servers.protocols.json_text import object_of, rate_of
from gtcrn_frontend.audio.types import F32

DEFAULT_RATE_HZ = 8000  # asr_server.py, VOSK_SAMPLE_RATE

_EMPTY = np.empty(0, np.float32)


class VoskFraming(Framing):
    """The protocol of one connection to vosk-server."""

    default_rate_hz = DEFAULT_RATE_HZ

    def __init__(self) -> None:
        self._rate_hz: int | None = None
        self._begun = self._ending = False
        self._pending = _EMPTY
        self._is_relayed: deque[bool] = deque()  # of the answers that are to come
        self._held: dict[str, Any] | None = None  # answer that was not passed on

    @property
    def in_flight(self) -> bool:
        """Whether audio has been sent whose final answer has not come."""
        return self._begun or bool(self._is_relayed)

    def receive(self, message: Message) -> list[Event]:
        """Returns what a client's message means; raises `BadMessageError` if it may not come here."""
        if isinstance(message, bytes):
            if len(message) % 2:
                raise BadMessageError(
                    CloseCode.INVALID_DATA, f"expected 16-bit samples, an even number of bytes, got {len(message)}"
                )
            begin: list[Event] = [] if self._begun else [Begin(self._rate_hz)]
            self._begun, self._ending = True, False
            return [*begin, Audio(from_pcm16(message))]
        content = object_of(message, '{"config": ...}, {"eof": 1} or {"reset": 1}')
        if "config" in content:
            if self._begun:
                raise BadMessageError(CloseCode.UNSUPPORTED_DATA, "expected config before the audio, got it after some")
            self._rate_hz = rate_of(content["config"], "sample_rate") or self._rate_hz
            return [Pass(message)]
        if "eof" not in content and "reset" not in content:
            raise BadMessageError(CloseCode.UNSUPPORTED_DATA, f"expected config, eof or reset, got {shown(message)}")
        if not self._begun:
            self._is_relayed.append(True)
            return [Pass(message)]
        self._begun, self._ending = False, True
        return [End(message)]

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns one message for each of the client's, which may be empty."""
        self._pending = np.concatenate([self._pending, samples])
        if more:
            return []
        samples, self._pending = self._pending, _EMPTY
        messages: list[Message] = []
        if not self._ending or len(samples):
            messages.append(to_pcm16(samples))
            self._is_relayed.append(not self._ending)
        if self._ending:  # that of the text which follows
            self._is_relayed.append(True)
        return messages

    def answer(self, message: Message) -> list[Message]:
        """Returns the answer, unless the client has not sent what it answers."""
        if self._is_relayed and not self._is_relayed.popleft():
            self._held = _result(message)
            return []
        held, self._held = self._held, None
        return [_with_words_before(held, message) if held else message]


def _result(message: Message) -> dict[str, Any] | None:
    """Returns a result with words; None for other answers."""
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        return None
    is_result = isinstance(content, dict) and isinstance(content.get("text", ""), str)
    return content if is_result and isinstance(content.get("result", []), list) else None


def _with_words_before(held: dict[str, Any], message: Message) -> Message:
    """Puts a result whose answer was held back before the next one, as if the recogniser had found no pause there."""
    content = _result(message)
    if content is None or not held.get("text"):
        return message
    content["text"] = f"{held['text']} {content.get('text', '')}".strip()
    if words := held.get("result", []) + content.get("result", []):
        content["result"] = words
    return json.dumps(content, ensure_ascii=False)
