"""Saved states of streams: collects the arrays of all channels, and validates them before a stream takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.pcm import frame_bytes
from gtcrn_frontend.audio.validation import DTYPES
from gtcrn_frontend.engines.base import Engine, check_hops
from gtcrn_frontend.engines.loading import LoadedModel
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.signal_path import SignalPath

Arrays = dict[str, npt.NDArray[Any]]


def stream_facts(loaded: LoadedModel, sample_rate: int, output_sample_rate: int, channels: int) -> dict[str, Any]:
    """Returns what must be equal where a state is saved and where it is loaded; channels are those of the output."""
    facts: dict[str, Any] = {
        "model": loaded.model.digest,
        "sample_rate": sample_rate,
        "output_sample_rate": output_sample_rate,
        "channels": channels,
    }
    spec = loaded.engine.spec
    if spec.segments is not None:
        facts["segment_latency_ms"] = 1000 * spec.segments.latency // spec.sample_rate
    return facts


def export_stream(
    facts: Mapping[str, Any],
    engine: Engine[Any],
    paths: Sequence[SignalPath],
    states: Sequence[Any],
    pending_bytes: bytes,
    dtype: np.dtype[Any],
) -> StreamState:
    """Returns the state of a stream: copies of all its arrays.

    Args:
        facts: result of `stream_facts`.
        engine: engine of the states.
        paths: signal path of each channel.
        states: engine state of each channel.
        pending_bytes: incomplete frame of 16-bit PCM.
        dtype: sample type of the last chunk.
    """
    arrays: Arrays = {
        "pending_bytes": np.frombuffer(pending_bytes, np.uint8),
        "dtype": np.frombuffer(dtype.name.encode(), np.uint8),
    }
    for channel, (path, state) in enumerate(zip(paths, states, strict=True)):
        exported = engine.export_state(state)
        arrays |= {f"{channel}.engine.{name}": array for name, array in exported.items()}
        arrays |= {f"{channel}.path.{name}": array for name, array in path.state.items()}
    return StreamState(facts, arrays)


def import_stream(
    state: StreamState, facts: Mapping[str, Any], engine: Engine[Any], paths: Sequence[SignalPath], channels: int
) -> tuple[list[Any], bytes, np.dtype[Any]]:
    """Loads a state into new signal paths; returns the engine states, the pending bytes and the sample type.

    Args:
        state: what `export_stream` has returned.
        facts: result of `stream_facts`.
        engine: engine of the stream.
        paths: new signal path of each channel.
        channels: channels of the input.

    Raises:
        StateError: the state belongs to another kind of stream, or is damaged. The paths are then unusable.
    """
    if not isinstance(state, StreamState):
        raise StateError(f"expected a StreamState, got {type(state).__name__}: StreamState.from_bytes reads bytes")
    differing = [
        f"{name} {facts[name]}, got {state.facts.get(name)}" for name in facts if state.facts.get(name) != facts[name]
    ]
    if differing:
        raise StateError(f"expected a state of {'; '.join(differing)}")
    states = []
    for channel, path in enumerate(paths):
        of_engine = _part(state, f"{channel}.engine.")
        states.append(engine.import_state(of_engine))
        path.load_state(_part(state, f"{channel}.path."))
        check_hops(of_engine, engine.spec, path.hops)
        if path.samples_in != paths[0].samples_in:
            raise StateError(
                f"expected equally many samples in all channels, got {paths[0].samples_in} and {path.samples_in}"
            )
    return states, _pending_bytes(state, channels), _dtype(state)


def _pending_bytes(state: StreamState, channels: int) -> bytes:
    pending = state.arrays.get("pending_bytes")
    limit = frame_bytes("s16le", channels)
    if pending is None or pending.ndim != 1 or pending.dtype != np.uint8 or len(pending) >= limit:
        raise StateError(f"expected fewer than {limit} pending bytes, got {pending!r}")
    return pending.tobytes()


def _dtype(state: StreamState) -> np.dtype[Any]:
    name = state.arrays.get("dtype")
    for dtype in DTYPES:
        if name is not None and name.dtype == np.uint8 and name.tobytes() == dtype.name.encode():
            return dtype
    raise StateError(f"expected the name of a sample type in the state, got {name!r}")


def _part(state: StreamState, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in state.arrays.items() if name.startswith(prefix)}
