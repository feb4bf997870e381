"""`OneAtATime`: an object whose calls are whole, or have not been: for one thread at a time, and for interrupts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from gtcrn_frontend.errors import StreamBusyError

Result = TypeVar("Result")


class OneAtATime(ABC):
    """Lets one call in, and begins anew what one has left in pieces.

    Python switches threads, and lets signals interrupt, only where functions begin, behind calls of C or of unpacked
    arguments, and where loops go back: neither comes between the check of the flag and its setting, nor between the
    last statement and the return, nor behind a plain call of a method that has ended. (In a build without the global
    lock two threads might pass the check at once; the library in C has a flag of its own.)
    """

    def __init__(self) -> None:
        self._is_busy = False  # a call is in here
        self._is_torn = False  # samples are on their way, or were when a call and what mends it were interrupted

    @abstractmethod
    def _begin(self) -> None:
        """Begins anew, and is torn no more, in one step that nothing can interrupt."""

    def _whole(self, work: Callable[[], Result]) -> Result:
        """Returns what work does that moves samples; if it does not end in a result, all begins anew.

        Some parts have moved on then and others have not, and a gap is better than input and output out of step.

        Raises:
            StreamBusyError: another call has not ended; nothing has changed.
        """
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:
            if self._is_torn:
                self._begin()
            self._is_torn = True
            result = work()
            self._is_torn = False
            return result
        except BaseException:  # an interrupt from the keyboard, too; a second one here leaves the stream torn
            self._begin()
            raise
        finally:
            self._is_busy = False

    def _alone(self, work: Callable[[], Result]) -> Result:
        """Returns what work does that moves no samples: if it fails, nothing has changed; see `_whole`."""
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:
            if self._is_torn:
                self._begin()
            return work()
        finally:
            self._is_busy = False
