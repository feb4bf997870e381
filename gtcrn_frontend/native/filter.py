"""`NativeFilter`: a filter of the resampler in C."""

from __future__ import annotations

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.native.binding import FLOATS, chosen_instruction_set, ffi, instruction_sets, lib


class NativeFilter:
    """Filter of a pair of rates; read-only.

    Args:
        rate_in, rate_out: from 8,000 to 192,000 Hz, different.

    Attributes:
        past: samples before the next one that `run` needs.
        blank: samples behind the last one that it needs; they have no weight.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        handle = lib.gtcrn_filter_new(rate_in, rate_out, chosen_instruction_set().encode())
        if handle == ffi.NULL:
            raise MemoryError(f"no memory for a filter from {rate_in} to {rate_out} Hz")
        self._handle = ffi.gc(handle, lib.gtcrn_filter_free)
        self.past = int(lib.gtcrn_filter_past(handle))
        self.blank = int(lib.gtcrn_filter_blank(handle))

    @staticmethod
    def is_available() -> bool:
        """Whether the C extension was built and runs on this machine."""
        return bool(instruction_sets())

    def run(self, buffer: F32, origin: int, first: int, last: int) -> F32:
        """Returns the outputs `first` to `last - 1`; `buffer` begins at input sample `origin`."""
        output = np.empty(last - first, np.float32)
        status = lib.gtcrn_filter_run(
            self._handle,
            ffi.from_buffer(FLOATS, buffer),
            origin,
            len(buffer),
            first,
            len(output),
            ffi.from_buffer(FLOATS, output),
        )
        if status:
            raise ValueError(f"expected the samples of outputs {first} to {last}, got {len(buffer)} from {origin} on")
        return output
