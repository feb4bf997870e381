"""The seam between the signal path and whatever runs a network: `Engine`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_magnitude
from gtcrn_frontend.engines.direct_path import DirectPath, DirectPaths, OneByOne, Position
from gtcrn_frontend.errors import ConfigError, StateError
from gtcrn_frontend.model_spec import ModelSpec

State = TypeVar("State")

_MOST_FRAMES = 2**24
"""Up to here float32 counts one by one."""

MIN_HOPS_PER_THREAD = 16
"""With fewer, waking a thread and running smaller batches costs more than a second core brings."""


class Engine(ABC, Generic[State]):
    """A loaded model: read-only, shared by every stream and every thread.

    What belongs to one stream is in a state, made by `new_state` and changed in place by `process`. All engines give
    the same samples (within 1e-4 of full scale); their states differ, and `export_state` / `import_state` convert to
    and from the canonical arrays of `ModelSpec.cache_shapes`, so that a stream can move between engines.
    """

    name: str
    spec: ModelSpec
    description: str
    """What runs and on what, for people: shown by the command line."""

    @abstractmethod
    def new_state(self) -> State:
        """Returns the state of a stream that begins: silence before its first sample."""

    @abstractmethod
    def process_many(self, streams: Sequence[tuple[F32, State]]) -> list[F32]:
        """Returns the enhanced hops of several streams, in order; each state moves on.

        Args:
            streams: pairs of hops `(n_hops, hop_length) float32`, n_hops >= 0 and different from stream to stream, and
                the stream's state. No state may occur twice.

        Returns:
            For each stream an array of the shape of its hops. They trail the input by `spec.delay` samples: the
            first samples that a new stream delivers lie before its first input sample.
        """

    def process(self, hops: F32, state: State) -> F32:
        """Returns the enhanced hops of one stream, see `process_many`."""
        return self.process_many([(hops, state)])[0]

    def direct_path(self, state: State, position: Position) -> DirectPath | None:
        """Returns a way past `streaming/` for a signal that needs none of them; None if this engine has no such.

        Args:
            state: the engine state of the signal's whole hops, which belongs to the path for as long as that is used.
            position: where the signal is.
        """
        return None

    def direct_paths(self, paths: Sequence[Any], num_threads: int) -> DirectPaths:
        """Returns a way for many signals: one after the other, unless the engine knows better.

        Args:
            paths: what `direct_path` has returned, none of them twice.
            num_threads: threads that may divide the signals among them.
        """
        return OneByOne(paths)

    def for_whole_signals(self) -> Engine[Any]:
        """Returns the engine for signals that are there from begin to end: this one, unless waiting pays."""
        return self

    def with_segment_latency(self, latency_ms: int) -> Engine[Any]:
        """Returns the same network with another latency in a stream; `ConfigError` if it is run frame by frame."""
        raise ConfigError(
            f"segment_latency_ms: expected none, as {self.spec.name} runs frame by frame and always has "
            f"{self.spec.latency_ms:g} ms, got {latency_ms}: it is for networks that run in segments"
        )

    @abstractmethod
    def export_state(self, state: State) -> dict[str, F32]:
        """Returns copies of the state's arrays in canonical form, see `ModelSpec.cache_shapes`."""

    @abstractmethod
    def import_state(self, arrays: Mapping[str, F32]) -> State:
        """Returns a state made from canonical arrays, which are copied.

        Raises:
            StateError: an array is missing, unknown, or of another shape or type.
        """


def check_canonical(arrays: Mapping[str, Any], spec: ModelSpec) -> dict[str, F32]:
    """Returns the arrays if they are a canonical engine state of this model; raises `StateError` if not."""
    if set(arrays) != set(spec.cache_shapes):
        raise StateError(
            f"expected the state of {spec.name} with {sorted(spec.cache_shapes)}, got {sorted(arrays)}; "
            "was it saved for another model?"
        )
    for name, shape in spec.cache_shapes.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != shape:
            got = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise StateError(f"engine state {name}: expected {shape} float32, got {got}")
        check_magnitude(array, spec.cache_limit(name), f"engine state {name}")
    return dict(arrays)


def check_hops(arrays: Mapping[str, F32], spec: ModelSpec, hops: int) -> None:
    """Raises `StateError` if a canonical engine state does not count as many hops as its stream has had."""
    counted, expected = {}, float(hops)
    if spec.segments is not None:
        counted["position"] = float(arrays["position"][0])
        expected = float(hops % (spec.segments.advance // spec.hop_length))
    elif spec.frame_counter:
        counted[spec.frame_counter] = float(arrays[spec.frame_counter][0])
        expected = float(np.float32(min(hops, _MOST_FRAMES)))
    for name, count in counted.items():
        if min(count, _MOST_FRAMES) != expected:
            raise StateError(f"engine state {name}: expected {expected:.0f} after {hops} hops, got {count:.10g}")
