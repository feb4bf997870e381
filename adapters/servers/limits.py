"""Limits on what one client sends: bytes per second, and the length of an utterance."""

from __future__ import annotations

from gtcrn_frontend.errors import GtcrnFrontendError

BURST_S = 1.0
"""A client may be ahead of its rate by this much: chunks of live audio do not come evenly."""


class TooLongError(GtcrnFrontendError):
    """An utterance has more audio than `max_stream_seconds`."""


class ByteRate:
    """Says how long to wait before reading on, so that a client is not read faster than a rate.

    Args:
        bytes_per_second: the rate; None is no limit.
    """

    def __init__(self, bytes_per_second: int | None) -> None:
        self._rate = bytes_per_second
        self._paid_until_s = float("-inf")

    def wait_s(self, count: int, now_s: float) -> float:
        """Counts bytes that have come; returns the seconds to wait, 0 if the client is slow enough."""
        if self._rate is None:
            return 0.0
        self._paid_until_s = max(self._paid_until_s, now_s) + count / self._rate
        return max(0.0, self._paid_until_s - now_s - BURST_S)


class StreamLength:
    """Counts the audio of an utterance.

    Args:
        limit_s: in seconds; None is no limit.
    """

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._seconds = 0.0

    def reset(self) -> None:
        """Begins an utterance."""
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Counts audio; raises `TooLongError` if that is too much."""
        self._seconds += seconds
        if self._limit_s is not None and self._seconds > self._limit_s:
            raise TooLongError(f"expected at most {self._limit_s:g} s of audio in an utterance, got more")
