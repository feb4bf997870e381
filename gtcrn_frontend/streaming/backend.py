"""`StreamBackend`: the seam between a stream and what processes its samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import Strength
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.thread_pool import ThreadPool

Arrays = dict[str, npt.NDArray[Any]]


class StreamBackend(ABC):
    """All of one stream between validated input samples and float32 output; chosen when the stream opens.

    `NativeBackend` does everything in one C object, `PythonBackend` composes stages around any engine. Both deliver the
    same samples within 1e-5 of full scale, and their states are interchangeable.

    Samples are `(n,)`, or `(n, channels)` for several channels, float32. Calls must not overlap, except for
    `set_strength` and the properties. A call that raises has changed nothing, or leaves the stream for `reset`.
    """

    @property
    @abstractmethod
    def samples_in(self) -> int:
        """Input samples per channel so far."""

    @property
    @abstractmethod
    def samples_out(self) -> int:
        """Output samples per channel so far."""

    @property
    @abstractmethod
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """State of the automatic strength per channel; empty if it was off in the last call."""

    @abstractmethod
    def push(self, samples: F32) -> F32:
        """Returns the complete mixed samples, in memory of their own."""

    @abstractmethod
    def push_aligned(self, samples: F32) -> AlignedChunk:
        """Returns all signals of the complete samples, in memory of their own."""

    @abstractmethod
    def finish(self) -> F32:
        """Returns the remaining mixed samples; resets the stream."""

    @abstractmethod
    def finish_aligned(self) -> AlignedChunk:
        """Returns all signals of the remaining samples; resets the stream."""

    @abstractmethod
    def reset(self) -> None:
        """Resets the stream in one step that cannot be interrupted."""

    @abstractmethod
    def set_strength(self, strength: Strength, *, bypass: bool) -> None:
        """Sets strength and bypass for the next samples; changes ramp over one hop."""

    @abstractmethod
    def export_state(self) -> Arrays:
        """Returns copies of the canonical arrays, see `stream_state`."""

    @abstractmethod
    def import_state(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores canonical arrays that `stream_state.check_arrays` has accepted, in one step."""

    @classmethod
    @abstractmethod
    def batch(cls, backends: Sequence[Self], workers: ThreadPool) -> BackendBatch:
        """Returns an object that processes several streams of one model together.

        Args:
            backends: without duplicates.
            workers: threads that share the streams.
        """


class BackendBatch(Protocol):
    """Several streams that are processed together. After a call that raises, all of them have to be reset."""

    def push(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """Returns the complete mixed samples of all streams, one behind the other and flat, and their frame counts.

        Args:
            samples: the next samples of all streams in the same form.
            counts: frames of each stream.
        """

    def finish(self) -> tuple[F32, list[int]]:
        """Returns the remaining mixed samples in the same form; resets the streams."""
