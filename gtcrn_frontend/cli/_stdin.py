"""Stdin until it ends, or a signal ends it."""

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
    """Yields the pieces of stdin as they arrive, at most 64 KiB each; they end with it, or with one of `_SIGNALS`.

    A live stream has no other end than these signals, so the first one only stops the reading, and what is on its way
    can be finished. The next one does what it did before.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    previous_waker = signal.set_wakeup_fd(waker)  # a signal between two reads must not be missed: it writes a byte here
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # a shell's background job does not want to know
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
    """Waits until there is something to read, or a signal has come."""
    if os.name == "nt":  # select knows only sockets there, and Ctrl-C ends the program that feeds the pipe as well
        return False
    ready, _, _ = select.select([STDIN, woken], [], [])
    return woken in ready
