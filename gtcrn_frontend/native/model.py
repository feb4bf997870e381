"""`NativeModel`: the weights of a network in C, and runs of the network on hops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError, StateError
from gtcrn_frontend.native.binding import FLOATS, ffi, for_c, lib, raise_for


class NativeModel:
    """Weights for one instruction set; read-only, shared by all streams and threads.

    Args:
        blob: result of `weights.pack.pack_model`, copied.
        instruction_set: one of `binding.instruction_sets()`.

    Raises:
        ModelError: the blob is damaged, or the instruction set is not supported.
    """

    def __init__(self, blob: bytes, instruction_set: str) -> None:
        error = ffi.new("const char **")
        model = lib.gtcrn_model_load(ffi.from_buffer(blob), len(blob), instruction_set.encode(), error)
        if model == ffi.NULL:
            raise ModelError(ffi.string(error[0]).decode())
        self.handle = ffi.gc(model, lib.gtcrn_model_free, len(blob))
        self.instruction_set = instruction_set

    def new_stream(self) -> HopStream:
        """Returns a stream in its initial state."""
        return HopStream(lib.gtcrn_state_floats(self.handle))

    def process(self, hops: F32, stream: HopStream) -> F32:
        """Returns the enhanced hops of one stream, `(n_hops, 256)`; the first one precedes the stream."""
        job = ffi.new("gtcrn_job *")
        hops, enhanced = _fill(job, hops, stream)
        raise_for(lib.gtcrn_process(self.handle, job))
        return enhanced

    def process_many(self, streams: Sequence[tuple[F32, HopStream]], num_threads: int) -> list[F32]:
        """Returns the enhanced hops of several streams, on at most `num_threads` threads."""
        jobs = ffi.new("gtcrn_job[]", len(streams))
        filled = [_fill(job, hops, stream) for job, (hops, stream) in zip(jobs, streams, strict=True)]
        raise_for(lib.gtcrn_process_many(self.handle, jobs, len(streams), num_threads))
        return [enhanced for _, enhanced in filled]

    def prepared(self, hops: F32, stream: HopStream) -> Callable[[], None]:
        """Returns a function that processes the same hops again and again, with nothing around the call of C."""
        job = ffi.new("gtcrn_job *")
        kept = _fill(job, hops, stream), stream, self
        process, handle = lib.gtcrn_process, self.handle

        def run(_kept: object = kept) -> None:
            process(handle, job)

        return run

    def process_measured(self, hops: F32, stream: HopStream) -> tuple[F32, F32]:
        """Returns the enhanced hops, and `(n_hops, 2)` sums of squares of the aligned input and the output."""
        job = ffi.new("gtcrn_job *")
        hops, enhanced = _fill(job, hops, stream)
        energies = np.empty((len(hops), 2), np.float32)
        job.energies = ffi.from_buffer(FLOATS, energies)
        raise_for(lib.gtcrn_process(self.handle, job))
        return enhanced, energies


class HopStream:
    """State of the network for one stream.

    Args:
        state_floats: number of values of its exported state.

    Attributes:
        strength: of the mask, 0 to 1: the enhanced signal is `strength * enhanced + (1 - strength) * input`.
    """

    __slots__ = ("_state_floats", "handle", "strength")

    def __init__(self, state_floats: int) -> None:
        stream = lib.gtcrn_stream_new()
        if stream == ffi.NULL:
            raise MemoryError("no memory for the state of a stream")
        self.handle = ffi.gc(stream, lib.gtcrn_stream_free, lib.gtcrn_stream_bytes())
        self.strength = 1.0
        self._state_floats = state_floats

    def export(self) -> F32:
        """Returns the canonical arrays of `ModelSpec.cache_shapes`, one behind the other."""
        flat = np.empty(self._state_floats, np.float32)
        raise_for(lib.gtcrn_stream_export(self.handle, ffi.from_buffer(FLOATS, flat), len(flat)))
        return flat

    def restore(self, flat: F32) -> None:
        """Takes the state that `export` has returned.

        Raises:
            StateError: the size is wrong or a value is out of range. The stream is unchanged.
        """
        status = lib.gtcrn_stream_import(self.handle, ffi.from_buffer(FLOATS, flat), len(flat))
        if status == lib.GTCRN_REFUSED:
            raise StateError(f"the C library rejects {len(flat)} values as a state of this network")
        raise_for(status)

    def reset(self) -> None:
        """Resets the stream."""
        raise_for(lib.gtcrn_stream_reset(self.handle))


def _fill(job: Any, hops: F32, stream: HopStream) -> tuple[F32, F32]:
    """Sets input and a new output array of a job; returns both, which have to live as long."""
    hops = for_c(hops)
    if hops.ndim != 2 or hops.shape[1] != lib.GTCRN_HOP:
        raise ValueError(f"expected hops of shape (n, {lib.GTCRN_HOP}), got {hops.shape}")
    enhanced = np.empty_like(hops)
    job.stream = stream.handle
    job.input = ffi.from_buffer(FLOATS, hops)
    job.output = ffi.from_buffer(FLOATS, enhanced)
    job.hops = len(hops)
    job.strength = stream.strength
    return hops, enhanced
