"""Streaming for non-causal networks: overlapping segments of the stream, cross-faded by overlap-add.

After every `advance` new samples the network runs on the last `length` samples. Of its output, the samples between the
    left context and the right margin are kept: `advance` samples to deliver and `cross_fade` more that fade out while
    those of the next segment fade in. The latency comes from the discarded margin.

    segment     |------- context -------|- cross_fade -|-------- advance --------|--- margin ---|
    kept                                 fades in ............................. fades out
    the next segment, `advance` later    |------- context -------|- cross_fade -|-------- ...

Digital silence at either end of a segment is not passed to the network (at the start, in multiples of the grid): it is
the padding before and after a stream, and would bias averages over time. A signal that fits into one segment is
therefore enhanced exactly as by the network alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine, check_canonical
from gtcrn_frontend.errors import ModelError, StateError
from gtcrn_frontend.model_spec import ModelSpec, Segments, stream_segments

Enhance = Callable[[F32], F32]
"""The network as a function from a signal `(n,)`, n >= 1, to the enhanced signal of the same length."""


@dataclass
class SegmentState:
    """One stream.

    Attributes:
        recent: the last `length` samples of the input; zeros before the first.
        ready: the last `advance` enhanced samples, of which the first `position` hops are delivered.
        fading: the `cross_fade` samples after them.
        position: number of hops since the last run of the network.
    """

    recent: F32
    ready: F32
    fading: F32
    position: int


class SegmentEngine(Engine[SegmentState]):
    """Engine for a network that runs on whole signals.

    Args:
        name: of the engine that runs the network.
        description: see `Engine`.
        spec: with segments.
        enhance: the network; called from any thread.
        long: segments for complete signals, where latency does not matter; None: those of `spec`.
    """

    def __init__(
        self, name: str, description: str, spec: ModelSpec, enhance: Enhance, long: Segments | None = None
    ) -> None:
        if spec.segments is None:
            raise ModelError(f"expected a network that runs in segments, got {spec.name}")
        self.name, self.description, self.spec = name, description, spec
        self._segments = spec.segments
        self._enhance = enhance
        self._long = long

    def for_whole_signals(self) -> Engine[SegmentState]:
        """Returns the same network with longer segments: less overlap, more context, more latency."""
        if self._long is None:
            return self
        return SegmentEngine(self.name, self.description, in_segments(self.spec, self._long), self._enhance)

    def with_segment_latency(self, latency_ms: int) -> Engine[SegmentState]:
        """Returns the same network with segments for another latency."""
        segments = stream_segments(latency_ms * self.spec.sample_rate // 1000)
        return SegmentEngine(self.name, self.description, in_segments(self.spec, segments), self._enhance, self._long)

    def new_state(self) -> SegmentState:
        """Returns the initial state of a stream, see `Engine`."""
        return self.import_state({name: np.zeros(shape, np.float32) for name, shape in self.spec.cache_shapes.items()})

    def process_many(self, streams: Sequence[tuple[F32, SegmentState]]) -> list[F32]:
        """Returns the enhanced hops of several streams; not batched, as each run is large enough by itself."""
        return [self.process(hops, state) for hops, state in streams]

    def process(self, hops: F32, state: SegmentState) -> F32:
        """Returns the enhanced hops of one stream, see `Engine`."""
        enhanced = np.empty_like(hops)
        n_hops, hop = hops.shape
        per_run = self._segments.advance // hop
        recent, ready, fading, position = state.recent, state.ready, state.fading, state.position
        done = 0
        while done < n_hops:
            # Deliver what is ready, up to one hop before the next run; then run the network.
            taken = min(n_hops - done, per_run - 1 - position)
            enhanced[done : done + taken] = ready.reshape(-1, hop)[position + 1 : position + 1 + taken]
            if done + taken < n_hops:
                taken += 1
            recent = np.concatenate([recent, hops[done : done + taken].reshape(-1)])[-len(recent) :]
            position += taken
            done += taken
            if position == per_run:
                ready, fading = self._run(recent, fading)
                position = 0
                enhanced[done - 1] = ready[:hop]
        state.recent, state.ready, state.fading, state.position = recent, ready, fading, position
        return enhanced

    def export_state(self, state: SegmentState) -> dict[str, F32]:
        """Returns copies of the state's arrays in canonical form."""
        return {
            "recent": state.recent.copy(),
            "ready": state.ready.copy(),
            "fading": state.fading.copy(),
            "position": np.array([state.position], np.float32),
        }

    def import_state(self, arrays: Mapping[str, F32]) -> SegmentState:
        """Returns a state made from canonical arrays; `StateError` if they do not fit this model."""
        checked = check_canonical(arrays, self.spec)
        position, per_run = float(checked["position"][0]), self._segments.advance // self.spec.hop_length
        if not position.is_integer() or not 0 <= position < per_run:
            raise StateError(f"engine state position: expected a whole number from 0 to {per_run - 1}, got {position}")
        return SegmentState(checked["recent"].copy(), checked["ready"].copy(), checked["fading"].copy(), int(position))

    def _run(self, segment: F32, fading: F32) -> tuple[F32, F32]:
        """Returns the complete samples, and those after them that the next segment cross-fades with."""
        size = self._segments
        kept = np.zeros(size.cross_fade + size.advance, np.float32)
        part = part_to_run(segment, size)
        if part is not None:
            kept[part.kept] = self._enhance(np.ascontiguousarray(segment[part.shown]))[part.used]
        rise = fade_in(size.cross_fade)
        kept[: size.cross_fade] = rise * kept[: size.cross_fade] + (1 - rise) * fading
        return kept[: size.advance], kept[size.advance :].copy()


class Part(NamedTuple):
    """The slices for one run: `kept[part.kept] = enhance(segment[part.shown])[part.used]`."""

    shown: slice
    used: slice
    kept: slice


def part_to_run(segment: F32, size: Segments) -> Part | None:
    """Returns the slices of a segment `(length,)` to run; None if the part that is kept is silent."""
    first, last = size.context, size.length - size.margin
    sounding = np.flatnonzero(segment)
    if not len(sounding) or sounding[0] >= last or sounding[-1] < first:
        return None
    start, stop = int(sounding[0]) // size.grid * size.grid, int(sounding[-1]) + 1
    begin, end = max(start, first), min(stop, last)
    return Part(slice(start, stop), slice(begin - start, end - start), slice(begin - first, end - first))


def in_segments(spec: ModelSpec, segments: Segments) -> ModelSpec:
    """Returns the spec of a network with other segments."""
    look_ahead = segments.latency - spec.win_length
    return replace(spec, segments=segments, look_ahead=look_ahead, cache_shapes=segments.cache_shapes)


@lru_cache
def fade_in(length: int) -> F32:
    """Returns fade-in weights `(length,)` from 0 to 1, a squared sine; fade-in and reversed fade-out add up to 1."""
    values = np.sin(0.5 * np.pi * (np.arange(length) + 0.5) / length) ** 2
    rise: F32 = values.astype(np.float32)
    rise.setflags(write=False)
    return rise
