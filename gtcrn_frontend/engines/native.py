"""The native engine: passes hops and states to the C library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine, check_canonical
from gtcrn_frontend.engines.direct_path import DirectPaths, Position
from gtcrn_frontend.engines.native_direct_path import MIN_TOGETHER, NativePath, Together
from gtcrn_frontend.errors import ModelError, StateError
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.native.binding import FLOATS, chosen_instruction_set, ffi, for_c, lib, raise_for
from gtcrn_frontend.weights.model import Model
from gtcrn_frontend.weights.pack import pack_model

_JOB = ffi and ffi.typeof("gtcrn_job *")


class NativeState:
    """One stream's state in C, and `job`, which points to it: a copy is filled in for each call."""

    __slots__ = ("job", "stream")

    def __init__(self) -> None:
        stream = lib.gtcrn_stream_new()
        if stream == ffi.NULL:
            raise MemoryError("no memory for the state of a stream")
        self.stream = ffi.gc(stream, lib.gtcrn_stream_free, lib.gtcrn_stream_bytes())
        self.job = ffi.new("gtcrn_job *")
        self.job.stream = self.stream
        self.job.strength = 1.0


class NativeEngine(Engine[NativeState]):
    """GTCRN or UL-UNAS in C; calls release the GIL and allocate only their result.

    Args:
        model: a checkpoint.
        num_threads: threads for the streams of a `process_many` call.

    Raises:
        ModelError: the model is an ONNX graph or of another network, or the forced instruction set is not supported.
    """

    name = "native"

    def __init__(self, model: Model, num_threads: int = 1) -> None:
        self.spec, parameters = model.weights_for(self.name)
        self.instruction_set = chosen_instruction_set()
        self.description = f"C, {self.instruction_set}"
        self._num_threads = num_threads
        self._model = load_blob(pack_model(self.spec.name, parameters), self.instruction_set)

    def new_state(self) -> NativeState:
        """Returns the initial state of a stream, see `Engine`."""
        return NativeState()

    def process(self, hops: F32, state: NativeState) -> F32:
        """Returns the enhanced hops of one stream, see `Engine`."""
        job = ffi.new(_JOB, state.job[0])
        hops, enhanced = _fill(job, hops, self.spec)
        raise_for(lib.gtcrn_process(self._model, job))
        return enhanced

    def process_many(self, streams: Sequence[tuple[F32, NativeState]]) -> list[F32]:
        """Returns the enhanced hops of several streams, see `Engine`."""
        jobs = ffi.new("gtcrn_job[]", len(streams))
        inputs, outputs = [], []
        for i, (hops, state) in enumerate(streams):
            jobs[i] = state.job[0]
            contiguous, enhanced = _fill(jobs[i], hops, self.spec)
            inputs.append(contiguous)  # keep alive during the call
            outputs.append(enhanced)
        raise_for(lib.gtcrn_process_many(self._model, jobs, len(streams), self._num_threads))
        return outputs

    def direct_path(self, state: NativeState, position: Position) -> NativePath:
        """Returns the direct path of a stream in C, see `Engine`."""
        return NativePath(self._model, state.stream, position)

    def direct_paths(self, paths: Sequence[NativePath], num_threads: int) -> DirectPaths:
        """Returns the direct paths of many streams in C, see `Engine`."""
        if len(paths) < MIN_TOGETHER:
            return super().direct_paths(paths, num_threads)
        return Together(self._model, paths, num_threads)

    def process_measured(self, hops: F32, state: NativeState) -> tuple[F32, F32]:
        """Returns the enhanced hops, and `(n_hops, 2)` sums of squares of the aligned input and the output."""
        job = ffi.new(_JOB, state.job[0])
        hops, enhanced = _fill(job, hops, self.spec)
        energies = np.empty((len(hops), 2), np.float32)
        job.energies = _pointer(energies)
        raise_for(lib.gtcrn_process(self._model, job))
        return enhanced, energies

    def export_state(self, state: NativeState) -> dict[str, F32]:
        """Returns the canonical arrays, see `Engine`."""
        flat = np.empty(lib.gtcrn_state_floats(self._model), np.float32)
        raise_for(lib.gtcrn_stream_export(state.stream, _pointer(flat), len(flat)))
        arrays, start = {}, 0
        for name, shape in self.spec.cache_shapes.items():
            size = int(np.prod(shape))
            arrays[name] = flat[start : start + size].reshape(shape).copy()
            start += size
        return arrays

    def import_state(self, arrays: Mapping[str, F32]) -> NativeState:
        """Creates a state from canonical arrays, see `Engine`."""
        checked = check_canonical(arrays, self.spec)
        flat = np.concatenate([checked[name].reshape(-1) for name in self.spec.cache_shapes])
        state = NativeState()
        if lib.gtcrn_stream_import(state.stream, _pointer(flat), len(flat)) != 0:
            raise StateError(f"the C library rejects {len(flat)} values as a state of {self.spec.name}")
        return state


def load_blob(blob: bytes, instruction_set: str) -> Any:
    """Creates a C model from a weight blob; freed with the last reference.

    Raises:
        ModelError: the blob is damaged, or the instruction set is not supported.
    """
    error = ffi.new("const char **")
    model = lib.gtcrn_model_load(ffi.from_buffer(blob), len(blob), instruction_set.encode(), error)
    if model == ffi.NULL:
        raise ModelError(ffi.string(error[0]).decode())
    return ffi.gc(model, lib.gtcrn_model_free, len(blob))


def _pointer(array: F32) -> Any:
    """Returns a pointer to a contiguous array, valid while the array exists."""
    return ffi.from_buffer(FLOATS, array)


def _fill(job: Any, hops: F32, spec: ModelSpec) -> tuple[F32, F32]:
    """Sets input and a new output array of a job; returns both."""
    hops = for_c(hops)
    if hops.ndim != 2 or hops.shape[1] != spec.hop_length:
        raise ValueError(f"expected hops of shape (n, {spec.hop_length}), got {hops.shape}")
    enhanced = np.empty_like(hops)
    job.input = _pointer(hops)
    job.output = _pointer(enhanced)
    job.hops = len(hops)
    return hops, enhanced
