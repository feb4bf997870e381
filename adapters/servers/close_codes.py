"""How sessions end: WebSocket close codes and reasons for clients, and error kinds for the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

MAX_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, two of them the code

_UNSENDABLE = (CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE, CloseCode.TLS_HANDSHAKE)


class CloseReason(StrEnum):
    """Abnormal ends of a session; the label `kind` of the error metric."""

    BAD_MESSAGE = "bad_message"
    TOO_BIG = "too_big"
    TOO_MANY = "too_many"
    TOO_LONG = "too_long"
    IDLE = "idle"
    STALLED = "stalled"
    CLIENT_LOST = "client_lost"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_LOST = "upstream_lost"
    UPSTREAM_FAILED = "upstream_failed"
    UNFINISHED = "unfinished"
    INTERNAL = "internal"

    @property
    def is_of_client(self) -> bool:
        """Whether the client caused it, so that the operator need not act."""
        return self in _OF_CLIENTS


_OF_CLIENTS = (
    CloseReason.BAD_MESSAGE,
    CloseReason.TOO_BIG,
    CloseReason.TOO_LONG,
    CloseReason.IDLE,
    CloseReason.CLIENT_LOST,
)


@dataclass(frozen=True)
class SessionEnd:
    """The end of a session.

    Attributes:
        code: of the close frame for the client, RFC 6455, 7.4.
        reason: human-readable reason, truncated to the size of a close frame.
        trouble: None for a normal end.
    """

    code: int
    reason: str = ""
    trouble: CloseReason | None = None

    def __post_init__(self) -> None:
        cut = self.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        object.__setattr__(self, "reason", cut)


def end_by_client(closed: ConnectionClosed) -> SessionEnd:
    """Returns the end of a session whose client closed, disconnected, or violated the WebSocket protocol."""
    if closed.rcvd is not None:
        return SessionEnd(CloseCode.NORMAL_CLOSURE)
    if closed.sent is None:
        return SessionEnd(CloseCode.NORMAL_CLOSURE, "connection lost", CloseReason.CLIENT_LOST)
    # Closed by the library: message over the limit, invalid UTF-8, or invalid frames.
    too_big = closed.sent.code == CloseCode.MESSAGE_TOO_BIG
    return SessionEnd(closed.sent.code, closed.sent.reason, CloseReason.TOO_BIG if too_big else CloseReason.BAD_MESSAGE)


def end_by_upstream(closed: ConnectionClosed) -> SessionEnd:
    """Returns the end of a session after its upstream closed: same code and reason, or 1014 if it was lost."""
    if closed.rcvd is None:
        detail = f": {closed.sent.reason}" if closed.sent else ""
        return SessionEnd(
            CloseCode.BAD_GATEWAY, f"the recogniser behind the proxy was lost{detail}", CloseReason.UPSTREAM_LOST
        )
    code = CloseCode.NORMAL_CLOSURE if closed.rcvd.code in _UNSENDABLE else closed.rcvd.code
    return SessionEnd(
        code, closed.rcvd.reason, None if code == CloseCode.NORMAL_CLOSURE else CloseReason.UPSTREAM_FAILED
    )
