"""`StreamBatch`: the streams of one call of a pool, run as one batch."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import DTYPES, check_chunk, restore_type
from gtcrn_frontend.engines.direct_path import DirectPath
from gtcrn_frontend.engines.loading import LoadedModel
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.streaming.stream import Job, Samples, Stream
from gtcrn_frontend.streaming.thread_pool import ThreadPool


class Checked(NamedTuple):
    """Validated chunks.

    Attributes:
        direct: those of streams on a direct path, concatenated, `(n,)`.
        counts: number of samples per stream in `direct`.
        dtypes: sample types of those streams' chunks.
        others: arguments of `Stream.push` for all other streams.
    """

    direct: F32
    counts: list[int]
    dtypes: list[np.dtype[Any]]
    others: list[tuple[F32, np.dtype[Any]]]


class StreamBatch:
    """The streams of one call: those on a direct path run in one engine call, the others by their jobs.

    Can be reused for the same streams while `is_lasting`, until one of them is changed otherwise.

    Args:
        streams: streams by id, all with the same engine.
        loaded: the model and its engine.
        workers: thread pool for the jobs.
        num_threads: number of threads for direct paths.
        changes: identity token: the batch is valid as long as it is the current one.

    Attributes:
        is_lasting: whether all streams still take the fastest path (a stream can return to it when its strength ramp
            ends).
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
        self._dtypes: list[np.dtype[Any]] = []  # currently set in the streams on direct paths
        self._process_many = functools.partial(workers.process_many, loaded.engine)

    @property
    def is_here(self) -> bool:
        """Whether its engine belongs to this process."""
        return self._loaded.process_id == os.getpid()

    @property
    def streams(self) -> list[Stream]:
        """All streams, in order."""
        return list(self._streams.values())

    def check(self, chunks: Mapping[int, npt.ArrayLike]) -> Checked:
        """Validates chunks for `process`; raises `AudioFormatError` naming the stream of an invalid one."""
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
        """Returns the complete samples of each stream, in order, in the type of its chunk.

        If an engine fails, all streams are reset, see `run_streams`.
        """
        try:
            results = self._process_direct(checked)
            if self._others:
                of_others = self._process_others(checked.others)
                results = {i: (of_others if i in of_others else results)[i] for i in self.ids}
                self.is_lasting = all(stream.direct_path() is None for stream in self._others.values())
            return results
        except BaseException:  # includes KeyboardInterrupt
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

        return dict(zip(streams, run_streams(list(streams.values()), jobs, self._process_many), strict=True))


def run_streams(
    streams: Sequence[Stream],
    jobs: Callable[[], Sequence[list[Job]]],
    process_many: Callable[[list[Job]], list[F32]],
    *,
    last: bool = False,
) -> list[Samples]:
    """Runs the jobs of several streams in one batch; returns the complete mixed samples of each.

    On failure, all these streams are reset, as some have advanced and others have not.

    Args:
        streams: any number of streams with the same engine, none in another call.
        jobs: returns the result of `push` or `finish` for each stream.
        process_many: `Engine.process_many`.
        last: the jobs are those of `finish`.
    """
    try:
        of_streams = jobs()
        enhanced = iter(process_many(list(itertools.chain.from_iterable(of_streams))))
        return [
            stream.mixed(stream.pull(list(itertools.islice(enhanced, len(of_stream))), last=last))
            for stream, of_stream in zip(streams, of_streams, strict=True)
        ]
    except BaseException:  # includes KeyboardInterrupt
        for stream in streams:
            stream.reset()
        raise


def _check_together(chunks: Sequence[Any]) -> tuple[F32, list[int], list[np.dtype[Any]]] | None:
    """Validates mono chunks of one type together; returns None for all others, which may still be valid."""
    try:
        dtypes = {chunk.dtype for chunk in chunks}
        if len(dtypes) != 1 or not dtypes <= _KNOWN_TYPES:
            return None
        samples, dtype = check_chunk(np.concatenate(chunks) if len(chunks) > 1 else chunks[0])
    except (AttributeError, TypeError, ValueError, RuntimeError, AudioFormatError):
        return None
    counts = list(map(len, chunks))
    # Array subclasses could report any length, but the C code relies on it.
    return (samples, counts, [dtype] * len(counts)) if sum(counts) == len(samples) else None


def _parts(samples: Samples, counts: Sequence[int]) -> list[Samples]:
    """Splits samples into copies by count: a view would keep the samples of all streams in memory."""
    if len(counts) == 1:
        return [samples]
    if len(set(counts)) == 1:  # faster for many
        return [row.copy() for row in samples.reshape(len(counts), counts[0])]
    ends = itertools.accumulate(counts)
    return [samples[end - count : end].copy() for end, count in zip(ends, counts, strict=True)]


_KNOWN_TYPES = frozenset(DTYPES)
