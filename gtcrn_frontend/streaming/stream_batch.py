"""`StreamBatch`: the streams of one call of a pool, through the engine together."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import DTYPES, check_chunk, restore_type
from gtcrn_frontend.engines.direct_path import DirectPath
from gtcrn_frontend.engines.loading import LoadedModel
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.streaming.stream import Job, Samples, Stream, run
from gtcrn_frontend.streaming.thread_pool import ThreadPool


class Checked(NamedTuple):
    """Chunks that are fit to be processed.

    Attributes:
        direct: those of streams on a direct path, one behind the other, `(n,)`.
        counts: how many samples of it each stream has.
        dtypes: the types that the chunks of each came in.
        others: the arguments of `Stream.push`, for all other streams.
    """

    direct: F32
    counts: list[int]
    dtypes: list[np.dtype[Any]]
    others: list[tuple[F32, np.dtype[Any]]]


class StreamBatch:
    """The streams of one call: those on a direct path advance in one call of the engine, the others by their jobs.

    It can be used again for the same streams, until one of them was changed in any other way, or is no longer lasting.

    Args:
        streams: by id; all with the same engine.
        loaded: the model and that engine.
        workers: run the jobs.
        num_threads: divide the streams on direct paths among themselves.
        changes: tells which changes it knows of.

    Attributes:
        is_lasting: it still takes all streams the shortest way; a strength that was on its way is there some time.
    """

    def __init__(
        self, streams: Mapping[int, Stream], loaded: LoadedModel, workers: ThreadPool, num_threads: int, changes: object
    ) -> None:
        self.ids = list(streams)
        self.changes = changes
        self.is_lasting = True
        self._streams, self._loaded = streams, loaded
        direct: dict[int, DirectPath] = {}
        for stream_id, stream in streams.items():
            if (path := stream.direct_path()) is not None:
                direct[stream_id] = path
        self._direct = {stream_id: streams[stream_id] for stream_id in direct}
        self._others = {stream_id: stream for stream_id, stream in streams.items() if stream_id not in direct}
        self._paths = loaded.engine.direct_paths(list(direct.values()), num_threads) if direct else None
        self._dtypes: list[np.dtype[Any]] = []  # that the streams on direct paths know of
        self._process_many = functools.partial(workers.process_many, loaded.engine)

    @property
    def is_here(self) -> bool:
        """Whether its engine can be used in this process."""
        return self._loaded.process_id == os.getpid()

    @property
    def streams(self) -> list[Stream]:
        """All of them, in order."""
        return list(self._streams.values())

    def check(self, chunks: Mapping[int, npt.ArrayLike]) -> Checked:
        """Returns what `process` takes; raises `AudioFormatError` that names the stream for a bad chunk."""
        others = [self._check_one(stream_id, chunks[stream_id]) for stream_id in self._others]
        direct: Sequence[Any] = [chunks[stream_id] for stream_id in self._direct]
        together = _check_together(direct)
        if together is not None:
            return Checked(*together, others)
        checked = [self._check_one(stream_id, chunk) for stream_id, chunk in zip(self._direct, direct, strict=True)]
        samples = [of_stream for of_stream, _ in checked]
        joined = np.concatenate(samples) if samples else np.empty(0, np.float32)
        return Checked(joined, list(map(len, samples)), [dtype for _, dtype in checked], others)

    def process(self, checked: Checked) -> dict[int, Samples]:
        """Returns the samples of each stream that are complete, in order, in the type that they came in.

        If an engine fails, all streams begin anew, see `stream.run`.
        """
        try:
            results = self._process_direct(checked)
            if self._others:
                of_others = self._process_others(checked.others)
                results = {i: (of_others if i in of_others else results)[i] for i in self.ids}
                self.is_lasting = all(stream.direct_path() is None for stream in self._others.values())
            return results
        except BaseException:  # an interrupt from the keyboard, too
            for stream in self._streams.values():
                stream.reset()
            raise

    def _check_one(self, stream_id: int, chunk: npt.ArrayLike) -> tuple[F32, np.dtype[Any]]:
        try:
            return self._streams[stream_id].check(chunk)
        except AudioFormatError as error:
            raise AudioFormatError(f"stream {stream_id}: {error}") from error

    def _process_direct(self, checked: Checked) -> dict[int, Samples]:
        if self._paths is None:
            return {}
        dtypes = checked.dtypes
        if dtypes != self._dtypes:
            for stream, dtype in zip(self._direct.values(), dtypes, strict=True):
                stream.dtype = dtype
            self._dtypes = dtypes
        enhanced, counts = self._paths.advance(checked.direct, checked.counts)
        if dtypes.count(dtypes[0]) == len(dtypes):
            parts = _parts(restore_type(enhanced, dtypes[0]), counts)
        else:
            parts = list(map(restore_type, _parts(enhanced, counts), dtypes))
        return dict(zip(self._direct, parts, strict=True))

    def _process_others(self, checked: list[tuple[F32, np.dtype[Any]]]) -> dict[int, Samples]:
        streams = self._others

        def jobs() -> list[list[Job]]:
            return [stream.push(*of_stream) for stream, of_stream in zip(streams.values(), checked, strict=True)]

        return dict(zip(streams, run(list(streams.values()), jobs, self._process_many), strict=True))


def _check_together(chunks: Sequence[Any]) -> tuple[F32, list[int], list[np.dtype[Any]]] | None:
    """Returns mono chunks of one and the same type, checked in one go; None for any others, which may be good, too."""
    try:
        dtypes = {chunk.dtype for chunk in chunks}
        if len(dtypes) != 1 or not dtypes <= _KNOWN_TYPES:
            return None
        samples, dtype = check_chunk(np.concatenate(chunks) if len(chunks) > 1 else chunks[0])
    except (AttributeError, TypeError, ValueError, RuntimeError, AudioFormatError):
        return None
    counts = list(map(len, chunks))
    # Subclasses of arrays may say what they like; C relies on it.
    return (samples, counts, [dtype] * len(counts)) if sum(counts) == len(samples) else None


def _parts(samples: Samples, counts: Sequence[int]) -> list[Samples]:
    """Returns copies of so many samples each: a view of one stream's would keep those of all in memory."""
    if len(counts) == 1:
        return [samples]
    if len(set(counts)) == 1:  # faster for many
        return [row.copy() for row in samples.reshape(len(counts), counts[0])]
    ends = itertools.accumulate(counts)
    return [samples[end - count : end].copy() for end, count in zip(ends, counts, strict=True)]


_KNOWN_TYPES = frozenset(DTYPES)
