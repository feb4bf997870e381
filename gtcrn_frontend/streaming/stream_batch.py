"""`StreamBatch`: several streams that are processed together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import DTYPES, check_chunk, restore_type
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.streaming.stream import Samples, Stream
from gtcrn_frontend.streaming.thread_pool import ThreadPool


class Checked(NamedTuple):
    """Validated chunks.

    Attributes:
        samples: of all streams, one behind the other and flat.
        counts: frames of each stream.
        dtypes: sample type of each stream's chunk.
    """

    samples: F32
    counts: list[int]
    dtypes: list[np.dtype[Any]]


class StreamBatch:
    """Streams of one model, none of which is in another call.

    Args:
        streams: any number, without duplicates.
        workers: threads that share them.

    Attributes:
        streams: the streams.
    """

    def __init__(self, streams: Sequence[Stream], workers: ThreadPool) -> None:
        self.streams = streams
        self._paths = [stream.paths for stream in streams]
        self._is_mono = all(stream.config.channels == 1 for stream in streams)
        backends = [stream.backend for stream in streams]
        self._batch = type(backends[0]).batch(backends, workers) if backends else None

    def check(self, chunks: Sequence[npt.ArrayLike], names: Iterable[object], what: str = "stream {}") -> Checked:
        """Validates a chunk per stream; raises `AudioFormatError` for an invalid one, which names it as `what`."""
        if self._is_mono and (together := _check_together(chunks)):
            return together
        checked = []
        for stream, chunk, name in zip(self.streams, chunks, names, strict=True):
            try:
                checked.append(stream.check(chunk))
            except AudioFormatError as error:
                raise AudioFormatError(f"{what.format(name)}: {error}") from error
        flat = [samples.reshape(-1) for samples, _ in checked]
        joined = np.concatenate(flat) if flat else np.empty(0, np.float32)
        return Checked(joined, [len(samples) for samples, _ in checked], [dtype for _, dtype in checked])

    def process(self, checked: Checked) -> list[Samples]:
        """Returns the complete mixed samples of each stream, in the type of its chunk.

        If it fails, all streams are reset, as some have advanced and others not.
        """
        batch = self._batch
        if batch is None:
            return []
        for stream, dtype in zip(self.streams, checked.dtypes, strict=True):
            stream.dtype = dtype
        return self._run(lambda: batch.push(checked.samples, checked.counts))

    def finish(self) -> list[Samples]:
        """Returns the remaining mixed samples of each stream, in the type of its last chunk; resets them."""
        return [] if self._batch is None else self._run(self._batch.finish)

    def _run(self, work: Callable[[], tuple[F32, list[int]]]) -> list[Samples]:
        try:
            mixed, counts = work()
            return self._divided(mixed, counts)
        except BaseException:  # includes KeyboardInterrupt
            for stream in self.streams:
                stream.reset()
            raise

    def _divided(self, mixed: F32, counts: list[int]) -> list[Samples]:
        dtypes = [stream.dtype for stream in self.streams]
        if dtypes.count(dtypes[0]) == len(dtypes):
            return _parts(restore_type(mixed, dtypes[0]), counts, self._paths)
        return list(map(restore_type, _parts(mixed, counts, self._paths), dtypes))


def _check_together(chunks: Sequence[Any]) -> Checked | None:
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
    return Checked(samples, counts, [dtype] * len(counts)) if sum(counts) == len(samples) else None


def _parts(samples: Samples, counts: list[int], paths: list[int]) -> list[Samples]:
    """Divides the samples of all streams into copies: a view would keep all of them in memory."""
    if len(set(counts)) == 1 and paths.count(1) == len(paths):  # faster for many
        return [row.copy() for row in samples.reshape(len(counts), counts[0])]
    sizes = [count * channels for count, channels in zip(counts, paths, strict=True)]
    ends = itertools.accumulate(sizes)
    flat = [samples[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return [(part if n == 1 else part.reshape(-1, n)).copy() for part, n in zip(flat, paths, strict=True)]


_KNOWN_TYPES = frozenset(DTYPES)
