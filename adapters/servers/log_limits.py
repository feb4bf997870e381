"""Filters that keep a log readable when the same thing happens thousands of times."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from websockets.exceptions import WebSocketException

_MAX_KINDS = 256


@dataclass
class _Window:
    began_s: float
    passed: int = 0
    dropped: int = 0


class RepeatLimit(logging.Filter):
    """Passes so many records of a kind per period, and says with the next one how many it has dropped.

    A kind is what was logged with the same message, before its arguments are filled in.

    Args:
        burst: records of a kind that are passed in a period.
        period_s: length of a period in seconds; it begins with a record.
        clock: seconds, monotonic.
    """

    def __init__(self, burst: int = 20, period_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst, self._period_s, self._clock = burst, period_s, clock
        self._windows: dict[tuple[str, int, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the record is passed."""
        key, now_s = (record.name, record.levelno, str(record.msg)), self._clock()
        window = self._windows.get(key)
        if window is None or now_s - window.began_s >= self._period_s:
            if window is not None and window.dropped:
                seconds = now_s - window.began_s
                record.msg = f"{record.msg} [and {window.dropped} more like it in the last {seconds:.0f} s]"
            self._windows.pop(key, None)
            if len(self._windows) >= _MAX_KINDS:
                del self._windows[next(iter(self._windows))]
            window = self._windows[key] = _Window(now_s)
        if window.passed >= self._burst:
            window.dropped += 1
            return False
        window.passed += 1
        return True


class BriefTraceback(logging.Filter):
    """Replaces the traceback of an error that a peer has caused by one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns True."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, (OSError, EOFError, TimeoutError, WebSocketException)):
            root: BaseException = error
            while cause := root.__cause__:
                root = cause
            record.msg, record.args = "%s: %s", (record.getMessage(), str(root) or type(root).__name__)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True
