"""Reading stdin until it ends, or until SIGINT or SIGTERM."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STDIN = 0

_PIECE_BYTES = 65536  # as much as a pipe holds
# SIGHUP: the terminal was closed, or the connection to it lost.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [getattr(signal, "SIGHUP", None)]))


@contextmanager
def until_stopped() -> Iterator[Iterator[bytes]]:
    """Yields the data of stdin as it arrives, at most 64 KiB at a time, until stdin ends or SIGINT or SIGTERM comes.

    A live stream ends by these signals only, so that the first one just stops the reading, and the stream can be
    flushed. The next one has its usual effect.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    previous_waker = signal.set_wakeup_fd(
        waker
    )  # a signal between two reads writes a byte here, so that it is not missed
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # background jobs of a shell ignore it
            signal.signal(number, lambda *_: restore())
    try:
        yield _pieces(woken)
    finally:
        restore()
        signal.set_wakeup_fd(previous_waker)
        os.close(woken)
        os.close(waker)


def _pieces(woken: int) -> Iterator[bytes]:
    while not _is_stopped(woken):
        piece = os.read(STDIN, _PIECE_BYTES)
        if not piece:
            return
        yield piece


def _is_stopped(woken: int) -> bool:
    """Waits for data or a signal; returns whether a signal came."""
    if os.name == "nt":  # select supports only sockets there, and Ctrl-C also ends the program that feeds the pipe
        return False
    ready, _, _ = select.select([STDIN, woken], [], [])
    return woken in ready
