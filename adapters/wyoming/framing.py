"""Wyoming's events as messages: `audio-chunk` is enhanced, `info` rewritten, all else passes as it came.

An event is a line of JSON with its type, and with the lengths of what may follow: more data as JSON, and a payload of
bytes. `audio-chunk` names rate, width (bytes per sample) and channels; `audio-stop` ends the stream.

Source: the package wyoming 1.10, wyoming/event.py, wyoming/audio.py and wyoming/info.py.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.frames import CloseCode
from wyoming.audio import AudioChunk, AudioStop
from wyoming.error import Error
from wyoming.event import Event as WyomingEvent
from wyoming.event import read_event, write_event
from wyoming.info import Info

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
from gtcrn_frontend.adapters.servers.tcp_link import messages_of
from gtcrn_frontend.audio.pcm_widths import decode_linear, encode_linear
from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import MAX_CHANNELS

ENCODINGS = {1: "u8", 2: "s16le", 3: "s24le", 4: "s32le"}
"""Sample formats by their width in bytes, those of WAVE files."""


@dataclass(frozen=True)
class _Format:
    rate: int
    width: int
    channels: int

    @property
    def can_be_enhanced(self) -> bool:
        return (
            all(type(value) is int for value in (self.rate, self.width, self.channels))
            and MIN_RATE_HZ <= self.rate <= MAX_RATE_HZ
            and self.width in ENCODINGS
            and 1 <= self.channels <= MAX_CHANNELS
        )


def first_message(data: bytes, start: int, max_bytes: int) -> int:
    """Returns the end of an event; see `FirstMessage`."""
    end = data.find(b"\n", start) + 1
    if not end:
        if len(data) - start > max_bytes:
            raise BadMessageError(CloseCode.MESSAGE_TOO_BIG, f"expected a line of at most {max_bytes} bytes")
        return 0
    header = _header(data[start:end])
    lengths = [header.get(name) or 0 for name in ("data_length", "payload_length")]
    if any(type(length) is not int or length < 0 for length in lengths):
        raise BadMessageError(CloseCode.INVALID_DATA, f"expected lengths in bytes, got {lengths[0]!r}, {lengths[1]!r}")
    end += sum(lengths)
    if end - start > max_bytes:
        raise BadMessageError(
            CloseCode.MESSAGE_TOO_BIG, f"expected an event of at most {max_bytes} bytes, got {end - start}"
        )
    return end if end <= len(data) else 0


def to_bytes(event: WyomingEvent) -> bytes:
    """Returns an event as bytes."""
    buffer = io.BytesIO()
    write_event(event, buffer)
    return buffer.getvalue()


class WyomingFraming(Framing):
    """The protocol of one connection.

    Args:
        description: appended to the descriptions of the speech-to-text programs in `info`.
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._format: _Format | None = None  # of the stream
        self._rest = b""  # of an incomplete frame
        self._pending: list[F32] = []
        self._sent_frames = 0
        self._timestamp_ms: int | None = None  # of the first frame
        self._unanswered = False

    @property
    def in_flight(self) -> bool:
        """Whether audio has come that nothing has answered."""
        return self._format is not None or self._unanswered

    def receive(self, message: Message) -> Iterator[Event]:
        """Yields what events mean."""
        assert isinstance(message, bytes)
        for one in messages_of(message, first_message):
            kind = _header(one)["type"]
            if AudioChunk.is_type(kind):
                yield from self._chunk(one)
            elif AudioStop.is_type(kind):
                self._unanswered = True
                yield from self._end(one)
            else:
                yield Pass(one)

    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns one `audio-chunk` of the format that came; none without samples."""
        self._pending.append(samples)
        if more:
            return []
        samples, self._pending = np.concatenate(self._pending), []
        form = self._format
        if form is None or not len(samples):
            return []
        timestamp_ms = self._timestamp_ms
        if timestamp_ms is not None:
            timestamp_ms += round(1000 * self._sent_frames / form.rate)
        self._sent_frames += len(samples)
        audio = encode_linear(samples, ENCODINGS[form.width])
        return [to_bytes(AudioChunk(form.rate, form.width, form.channels, audio, timestamp_ms).event())]

    def answer(self, message: Message) -> list[Message]:
        """Returns events of the service; in `info`, what the proxy changes is changed."""
        assert isinstance(message, bytes)
        answers: list[Message] = []
        for one in messages_of(message, first_message):
            kind = _header(one)["type"]
            if kind in ("transcript", "error"):
                self._unanswered = False
            answers.append(self._info(one) if kind == "info" else one)
        return answers

    def hang_up(self) -> Iterator[Event]:
        """Yields the end of the stream, for a client that does not send `audio-stop`."""
        yield from self._end(None)

    def farewell(self, reason: str) -> Message:
        """Returns an `error`."""
        return to_bytes(Error(reason, "gtcrn-frontend").event())

    def _chunk(self, message: bytes) -> Iterator[Event]:
        event = _event(message)
        data = event.data if event else {}
        form = _Format(*(data.get(name) for name in ("rate", "width", "channels")))  # type: ignore[arg-type]  # checked
        if form != self._format:
            yield from self._end(None)
        if event is None or not form.can_be_enhanced:
            yield Pass(message)
            return
        if self._format is None:
            self._format, self._rest, self._sent_frames = form, b"", 0
            timestamp = data.get("timestamp")
            self._timestamp_ms = timestamp if type(timestamp) is int else None
            yield Begin(form.rate, channels=form.channels)
        samples, self._rest = decode_linear(self._rest + (event.payload or b""), ENCODINGS[form.width], form.channels)
        yield Audio(samples)

    def _end(self, message: bytes | None) -> Iterator[Event]:
        if self._format is not None:
            yield End(message)
            self._format = None
        elif message is not None:
            yield Pass(message)

    def _info(self, message: bytes) -> bytes:
        event = _event(message)
        if event is None:
            return message
        try:
            info = Info.from_event(event)
        except (AttributeError, KeyError, TypeError, ValueError):  # of another version
            return message
        for program in info.asr:
            program.prefers_noise_reduction_enabled = False
            program.description = ", ".join(filter(None, [program.description, self._description]))
        return to_bytes(info.event())


def _event(message: bytes) -> WyomingEvent | None:
    """Returns an event; None if its data are not an object of JSON."""
    try:
        event = read_event(io.BytesIO(message))
    except (AttributeError, TypeError, RecursionError):
        return None
    return event if event and isinstance(event.data, dict) else None


def _header(message: bytes) -> dict[str, Any]:
    """Returns the line of an event; raises `BadMessageError` if it is none."""
    line, _, _ = message.partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        text = line.decode(errors="replace")
        raise BadMessageError(CloseCode.INVALID_DATA, f"expected a line of JSON with a type, got {shown(text)}")
    return header
