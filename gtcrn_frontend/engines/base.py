"""`Engine`: the interface of everything that runs a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_magnitude
from gtcrn_frontend.errors import ConfigError, StateError
from gtcrn_frontend.model_spec import ModelSpec

State = TypeVar("State")

_MOST_FRAMES = 2**24
"""Up to here float32 counts one by one."""

MIN_HOPS_PER_THREAD = 16
"""With fewer hops, waking a thread and smaller batches cost more than a second core gains."""


class Engine(ABC, Generic[State]):
    """A loaded model: read-only, shared by all streams and threads.

    The state of a stream is created by `new_state` and updated in place by `process`. All engines compute the same
    samples (within 1e-4 of full scale); their state formats differ, and `export_state` / `import_state` convert to and
    from the canonical arrays of `ModelSpec.cache_shapes`, so that streams can move between engines.
    """

    name: str
    spec: ModelSpec
    description: str
    """Human-readable description of the engine and its device."""

    @abstractmethod
    def new_state(self) -> State:
        """Returns the initial state of a stream: silence before its first sample."""

    @abstractmethod
    def process_many(self, streams: Sequence[tuple[F32, State]]) -> list[F32]:
        """Returns the enhanced hops of several streams, in order; updates their states.

        Args:
            streams: pairs of hops `(n_hops, hop_length) float32`, n_hops >= 0 and different from stream to stream, and
                the stream's state. No state may occur twice.

        Returns:
            For each stream an array of the shape of its hops. The output is delayed by `spec.delay` samples: the first
                output samples of a stream precede its first input sample.
        """

    def process(self, hops: F32, state: State) -> F32:
        """Returns the enhanced hops of one stream, see `process_many`."""
        return self.process_many([(hops, state)])[0]

    def for_whole_signals(self) -> Engine[Any]:
        """Returns the engine for complete signals: this one, unless more latency saves computing."""
        return self

    def with_segment_latency(self, latency_ms: int) -> Engine[Any]:
        """Returns the same network with another streaming latency; `ConfigError` if it runs frame by frame."""
        raise ConfigError(
            f"segment_latency_ms: expected none, as {self.spec.name} runs frame by frame and always has "
            f"{self.spec.latency_ms:g} ms, got {latency_ms}: it is for networks that run in segments"
        )

    @abstractmethod
    def export_state(self, state: State) -> dict[str, F32]:
        """Returns copies of the state's arrays in canonical form, see `ModelSpec.cache_shapes`."""

    @abstractmethod
    def import_state(self, arrays: Mapping[str, F32]) -> State:
        """Creates a state from copies of canonical arrays.

        Raises:
            StateError: an array is missing, unknown, or of another shape or type.
        """


def check_canonical(arrays: Mapping[str, Any], spec: ModelSpec) -> dict[str, F32]:
    """Validates a canonical engine state of this model; raises `StateError`."""
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
    """Raises `StateError` if the frame counter of an engine state differs from the stream's number of hops."""
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
