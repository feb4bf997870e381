"""`ExclusiveCalls`: base of objects whose calls must not overlap, and are reset by a failed call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from gtcrn_frontend.errors import StreamBusyError

Result = TypeVar("Result")


class ExclusiveCalls(ABC):
    """Rejects overlapping calls, and resets the object after a call that failed or was interrupted.

    CPython switches threads and handles signals only at function entry, after calls of C functions or with unpacked
    arguments, and at backward jumps: never between checking and setting the flag, between the last statement and the
    return, or after a plain call of a method that has ended. (In a free-threaded build two threads might pass the check
    at once; the C library has its own flag.)
    """

    def __init__(self) -> None:
        self._is_busy = False  # a call is in progress
        self._is_inconsistent = False  # a transaction is in progress, or both it and its recovery were interrupted

    @abstractmethod
    def _restart(self) -> None:
        """Resets the object and clears `_is_inconsistent`, in one step that cannot be interrupted."""

    def _transaction(self, work: Callable[[], Result]) -> Result:
        """Runs work that processes samples; resets the object if it does not return a result.

        Otherwise some parts would have advanced and others not; a gap is better than misaligned input and output.

        Raises:
            StreamBusyError: another call is in progress; nothing has changed.
        """
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:
            if self._is_inconsistent:
                self._restart()
            self._is_inconsistent = True
            result = work()
            self._is_inconsistent = False
            return result
        except BaseException:  # includes KeyboardInterrupt; a second one here leaves the object inconsistent
            self._restart()
            raise
        finally:
            self._is_busy = False

    def _exclusive(self, work: Callable[[], Result]) -> Result:
        """Runs work that processes no samples and changes nothing if it fails; see `_transaction`."""
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:
            if self._is_inconsistent:
                self._restart()
            return work()
        finally:
            self._is_busy = False
