"""Direct paths in C, see `engines/direct_path.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import MIN_HOPS_PER_THREAD
from gtcrn_frontend.engines.direct_path import Position
from gtcrn_frontend.native.binding import FLOATS, ffi, for_c, lib, raise_for

_CHUNKS = ffi and ffi.typeof("gtcrn_chunk[]")
_CHUNK = np.dtype([(name, np.uintp) for name in ("path", "samples", "output", "count", "due")])
"""numpy dtype of `gtcrn_chunk`, to fill many at once; a test compares the layouts."""


MIN_TOGETHER = 8
"""Fewer paths are faster sequentially: filling arrays takes 30 us regardless of their length."""


class NativePath:
    """A `DirectPath`.

    Args:
        model: the C model.
        stream: the C stream, with all complete hops processed.
        position: position of the stream.
    """

    __slots__ = ("_auto_strength", "_model", "_path", "_stream")

    def __init__(self, model: Any, stream: Any, position: Position) -> None:
        samples_in, _, _, strength, auto_strength = position
        self._model, self._stream, self._auto_strength = (
            model,
            stream,
            auto_strength,
        )  # keep alive: C holds their addresses
        self._path = ffi.new("gtcrn_path *", {"stream": stream, "taken": samples_in, "strength": strength})
        if auto_strength is not None:
            self._path.auto_strength = auto_strength
        if position.held:
            ffi.memmove(self._path.rest, np.ascontiguousarray(position.recent[-position.held :]), 4 * position.held)

    @property
    def position(self) -> Position:
        """See `DirectPath`."""
        taken, hop = self._path.taken, lib.GTCRN_HOP
        state = np.empty(lib.gtcrn_state_floats(self._model), np.float32)
        raise_for(lib.gtcrn_stream_export(self._stream, ffi.from_buffer(FLOATS, state), len(state)))
        held = taken % hop
        rest = np.frombuffer(ffi.buffer(self._path.rest), np.float32)[:held]
        whole_hop = state[: min(taken - held, hop)]  # a state starts with the last hop
        return Position(taken, np.concatenate([whole_hop, rest]), held, self._path.strength, self._auto_strength)

    @property
    def samples_in(self) -> int:
        """See `DirectPath`."""
        return int(self._path.taken)

    @property
    def samples_out(self) -> int:
        """See `DirectPath`."""
        taken, hop = self.samples_in, lib.GTCRN_HOP
        return int(max(taken - taken % hop - hop, 0))

    def advance(self, samples: F32) -> F32:
        """See `DirectPath`."""
        samples = for_c(samples)
        path, count = self._path, len(samples)
        due = lib.gtcrn_due(path, count)
        output = np.empty(due, np.float32)
        source, target = ffi.from_buffer(FLOATS, samples), ffi.from_buffer(FLOATS, output)
        if status := lib.gtcrn_advance(self._model, path, source, count, target, due):
            raise_for(status)
        return output


class Together:
    """A `DirectPaths` that advances all paths in one call of C.

    Args:
        model: the C model of all paths.
        paths: any number of paths, without duplicates.
        num_threads: number of threads.
    """

    def __init__(self, model: Any, paths: Sequence[NativePath], num_threads: int) -> None:
        self._model, self._num_threads = model, num_threads
        self._kept = paths
        self._chunks = np.zeros(len(paths), _CHUNK)
        self._chunks["path"] = [int(ffi.cast("uintptr_t", path._path)) for path in paths]
        self._pointer = ffi.from_buffer(_CHUNKS, self._chunks)

    def advance(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """See `DirectPaths`."""
        chunks = self._chunks
        chunks["count"] = counts
        chunks["samples"] = _addresses(samples, chunks["count"])
        output = np.empty(lib.gtcrn_set_due(self._pointer, len(chunks)), np.float32)
        chunks["output"] = _addresses(output, chunks["due"])
        threads = min(self._num_threads, len(output) // lib.GTCRN_HOP // MIN_HOPS_PER_THREAD)
        raise_for(lib.gtcrn_advance_many(self._model, self._pointer, len(chunks), threads))
        return output, chunks["due"].tolist()


def _addresses(samples: F32, counts: npt.NDArray[np.uintp]) -> npt.NDArray[np.uintp]:
    """Returns the address of each stream's part, given `counts` samples each."""
    begins = np.cumsum(counts, dtype=np.uintp) - counts
    return np.uintp(samples.ctypes.data) + np.uintp(samples.itemsize) * begins
