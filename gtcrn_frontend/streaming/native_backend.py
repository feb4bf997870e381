"""`NativeBackend`: a stream that runs in C as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import Strength
from gtcrn_frontend.engines.native import NativeEngine
from gtcrn_frontend.native.enhancer import NativeBatch, NativeEnhancer
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.backend import Arrays, BackendBatch, StreamBackend
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.stream_parameters import StreamParameters
from gtcrn_frontend.streaming.thread_pool import ThreadPool

MIN_TOGETHER = 8
"""Fewer streams are faster one by one: filling arrays takes 30 us regardless of their length."""


class NativeBackend(StreamBackend):
    """One C object, see native/gtcrn.h.

    Args:
        engine: holds the weights.
        settings: rates, channels and automatic strength.
        strength, bypass: see `set_strength`.
    """

    def __init__(self, engine: NativeEngine, settings: StreamParameters, strength: Strength, *, bypass: bool) -> None:
        fields = {
            "sample_rate": settings.sample_rate,
            "output_sample_rate": settings.output_sample_rate,
            "channels": settings.channels,
            "downmix": settings.downmix,
            "bypass": bypass,
            "strength": _for_c(strength),
            "auto_strength": vars(settings.auto_strength),
        }
        self.enhancer = NativeEnhancer(engine.weights, fields)
        self._settings = settings
        self._shapes = engine.spec.cache_shapes
        # Channels of a stream that is alone may run on several threads.
        self._channels = NativeBatch([self.enhancer], engine.num_threads) if engine.num_threads > 1 else None

    @property
    def samples_in(self) -> int:
        """Input samples per channel so far."""
        return self.enhancer.frames_in

    @property
    def samples_out(self) -> int:
        """Output samples per channel so far."""
        return self.enhancer.frames_out

    @property
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """See `StreamBackend`."""
        reports = map(self.enhancer.report, range(self._settings.paths))
        return tuple(AutoStrengthReport(*report) for report in reports if report is not None)

    def push(self, samples: F32) -> F32:
        """See `StreamBackend`."""
        if self._channels is None or self._settings.paths == 1:
            return self.enhancer.push(samples)
        mixed, _ = self._channels.push(np.ascontiguousarray(samples).reshape(-1), [len(samples)])
        return mixed.reshape(-1, self._settings.paths).copy()

    def push_aligned(self, samples: F32) -> AlignedChunk:
        """See `StreamBackend`."""
        start = self.samples_out
        return AlignedChunk(start, *self.enhancer.push_aligned(samples))

    def finish(self) -> F32:
        """See `StreamBackend`."""
        return self.enhancer.finish()

    def finish_aligned(self) -> AlignedChunk:
        """See `StreamBackend`."""
        start = self.samples_out
        return AlignedChunk(start, *self.enhancer.finish_aligned())

    def reset(self) -> None:
        """See `StreamBackend`."""
        self.enhancer.reset()

    def set_strength(self, strength: Strength, *, bypass: bool) -> None:
        """See `StreamBackend`."""
        self.enhancer.set_strength(_for_c(strength), bypass=bypass)

    def export_state(self) -> Arrays:
        """See `StreamBackend`."""
        arrays = self.enhancer.export_state()
        for name, array in arrays.items():
            shape = self._shapes.get(name.partition(".engine.")[2], () if name.endswith(".samples_in") else array.shape)
            arrays[name] = array.reshape(shape)
        return arrays

    def import_state(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See `StreamBackend`."""
        self.enhancer.import_state(arrays, self._settings.sample_rate, self._settings.output_sample_rate)

    @classmethod
    def batch(cls, backends: Sequence[NativeBackend], workers: ThreadPool) -> BackendBatch:
        """See `StreamBackend`."""
        enhancers = [backend.enhancer for backend in backends]
        if workers.num_threads == 1 and len(backends) < MIN_TOGETHER:
            return _InTurn(enhancers)
        return _Together(enhancers, workers.num_threads)


class _InTurn:
    """A few streams, one after the other."""

    def __init__(self, enhancers: Sequence[NativeEnhancer]) -> None:
        self._enhancers = enhancers

    def push(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """See `BackendBatch`."""
        parts, start = [], 0
        for enhancer, count in zip(self._enhancers, counts, strict=True):
            stop = start + count * enhancer.channels
            chunk = samples[start:stop]
            parts.append(enhancer.push(chunk if enhancer.channels == 1 else chunk.reshape(count, enhancer.channels)))
            start = stop
        return _flat(parts)

    def finish(self) -> tuple[F32, list[int]]:
        """See `BackendBatch`."""
        return _flat([enhancer.finish() for enhancer in self._enhancers])


class _Together(_InTurn):
    """Many streams in one call of C."""

    def __init__(self, enhancers: Sequence[NativeEnhancer], num_threads: int) -> None:
        super().__init__(enhancers)
        self._batch = NativeBatch(enhancers, num_threads)

    def push(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """See `BackendBatch`."""
        return self._batch.push(samples, counts)


def _flat(parts: Sequence[F32]) -> tuple[F32, list[int]]:
    flat = np.concatenate([part.reshape(-1) for part in parts]) if parts else np.empty(0, np.float32)
    return flat, list(map(len, parts))


def _for_c(strength: Strength) -> float:
    return -1.0 if strength == "auto" else strength
