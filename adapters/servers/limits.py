"""Limits on what clients send: bytes per second, the length of an utterance, and bytes held for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gtcrn_frontend.errors import GtcrnFrontendError

BURST_S = 1.0
"""A client may be ahead of its rate by this much: chunks of live audio do not come evenly."""


class TooLongError(GtcrnFrontendError):
    """A client sends more than it may: an utterance beyond `max_stream_seconds`, or a request beyond its limit."""


class SlowError(GtcrnFrontendError):
    """A client does not send the rest of its request."""


class BusyError(GtcrnFrontendError):
    """The proxy holds as much for other requests as it may."""


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


class ByteBudget:
    """Limits the bytes that are held in memory for all requests together.

    Args:
        limit: number of bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @contextmanager
    def request(self) -> Iterator[Callable[[int], None]]:
        """Yields a function that counts more bytes, until the block ends.

        It raises `BusyError` if they do not fit beside those of others, and `TooLongError` if they never would.
        """
        own = 0

        def hold(count: int) -> None:
            nonlocal own
            if own + count > self._limit:
                raise TooLongError(
                    f"expected a request whose files, also as enhanced, have at most {self._limit} bytes"
                )
            if self._held + count > self._limit:
                raise BusyError(
                    f"expected requests with at most {self._limit} bytes of files at a time: try again later"
                )
            self._held += count
            own += count

        try:
            yield hold
        finally:
            self._held -= own
