"""What the protocols of servers have in common: events of a stream, and `Framing`, the parser of one connection."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import INT16_SCALE, restore_type
from gtcrn_frontend.errors import GtcrnFrontendError

Message = str | bytes

_SHOWN = 30  # characters of a client's text quoted in a close reason


class BadMessageError(GtcrnFrontendError):
    """A protocol violation; `code` is the WebSocket close code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Begin:
    """Start of a stream.

    Attributes:
        sample_rate: in Hz, of both sides; None for the configured ones.
        header: message for the server before the samples; empty for none.
        channels: of the samples.
    """

    sample_rate: int | None
    header: Message = b""
    channels: int = 1


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples of the stream, `(n,)` or `(n, channels)`, float32."""

    samples: F32


@dataclass(frozen=True)
class End:
    """End of the stream, with a message to send after its samples, if any."""

    message: Message | None


@dataclass(frozen=True)
class Pass:
    """A message for the server that passes as it is."""

    message: Message


Event = Begin | Audio | End | Pass


class Framing(abc.ABC):
    """The protocol of one connection: how audio, settings, the end of a stream and other messages pass.

    It does no I/O. Each event is handled before the next one is asked for. A protocol is a subclass; what it does not
        override passes as it is.
    """

    default_rate_hz: ClassVar[int | None] = None
    """Sample rate of clients that name none; None for that of the model."""
    names_rate: ClassVar[bool] = True
    """Whether messages name the sample rate, which then holds for both sides."""

    @property
    def in_flight(self) -> bool:
        """Whether a stream has begun, or an answer to it is pending."""
        return False

    def receive(self, message: Message) -> Iterable[Event]:
        """Parses a client's message; raises `BadMessageError` if it is not allowed here."""
        return [Pass(message)]

    @abc.abstractmethod
    def encode(self, samples: F32, *, more: bool) -> list[Message]:
        """Returns enhanced samples as messages for the server.

        Args:
            samples: of the current stream, `(n,)` or `(n, channels)`; may be empty.
            more: others of the same message of the client follow.
        """

    def answer(self, message: Message) -> list[Message]:
        """Returns what the client gets for a message of the server."""
        return [message]

    def hang_up(self) -> Iterable[Event]:
        """Returns what it means that the client has ended the connection."""
        return []

    def farewell(self, reason: str) -> Message | None:
        """Returns the last message to a client whose connection the proxy ends; None for none."""
        return None


def from_pcm16(data: bytes) -> F32:
    """Returns whole samples of 16-bit little-endian PCM as float32."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(INT16_SCALE)


def to_pcm16(samples: F32) -> bytes:
    """Returns samples as 16-bit little-endian PCM, clipped to full scale."""
    return restore_type(samples, np.dtype(np.int16)).astype("<i2", copy=False).tobytes()


def shown(text: str) -> str:
    """Returns the beginning of a client's text, quoted for a close reason."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
