"""Saved states of streams: layout, validation, and conversion from the layout of 0.1.

A state has the arrays of each channel, `CHANNEL.engine.NAME` (see `ModelSpec.cache_shapes`) and
`CHANNEL.path.STAGE.NAME` (see `SignalPath.state`), the incomplete frame of 16-bit PCM, and the sample type of the last
chunk. Every backend exports and imports the arrays of channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.pcm import frame_bytes
from gtcrn_frontend.audio.polyphase import MAX_EXACT_PHASES, filter_bank, half_taps, outputs_per_block
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import DTYPES
from gtcrn_frontend.engines.base import check_canonical, check_hops
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.path_checks import check_agreement
from gtcrn_frontend.streaming.stream_parameters import StreamParameters

Arrays = dict[str, npt.NDArray[Any]]

LAYOUT = 2
"""Version of the arrays' layout. In 1, that of 0.1, resamplers kept more samples, and two stages had other names."""

_OF_STREAM = ("pending_bytes", "dtype")


def stream_facts(model_digest: str, spec: ModelSpec, parameters: StreamParameters) -> dict[str, Any]:
    """Returns what must be equal where a state is saved and where it is loaded; channels are those of the output."""
    facts: dict[str, Any] = {
        "layout": LAYOUT,
        "model": model_digest,
        "sample_rate": parameters.sample_rate,
        "output_sample_rate": parameters.output_sample_rate,
        "channels": parameters.paths,
    }
    if spec.segments is not None:
        facts["segment_latency_ms"] = 1000 * spec.segments.latency // spec.sample_rate
    return facts


def named_arrays(engine_states: Sequence[Mapping[str, F32]], paths: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Arrays:
    """Returns the arrays of all channels by their names in a state."""
    arrays: Arrays = {}
    for channel, (engine_state, path) in enumerate(zip(engine_states, paths, strict=True)):
        arrays |= {f"{channel}.engine.{name}": array for name, array in engine_state.items()}
        arrays |= {f"{channel}.path.{name}": array for name, array in path.items()}
    return arrays


def channel_arrays(arrays: Mapping[str, npt.NDArray[Any]], channel: int, part: str) -> Arrays:
    """Returns the arrays of one channel, `part` is `engine` or `path`, without the prefix of their names."""
    prefix = f"{channel}.{part}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def of_stream(pending_bytes: bytes, dtype: np.dtype[Any]) -> Arrays:
    """Returns the arrays that belong to no channel: incomplete frame of 16-bit PCM, sample type of the last chunk."""
    return {
        "pending_bytes": np.frombuffer(pending_bytes, np.uint8),
        "dtype": np.frombuffer(dtype.name.encode(), np.uint8),
    }


def checked_state(
    state: StreamState, facts: Mapping[str, Any], spec: ModelSpec, parameters: StreamParameters
) -> tuple[Arrays, bytes, np.dtype[Any]]:
    """Returns the arrays for a backend, the pending bytes and the sample type.

    Args:
        state: saved by a stream of this or the previous release.
        facts: result of `stream_facts` for the stream that takes it.
        spec: spec of the model.
        parameters: of the stream that takes it.

    Raises:
        StateError: the state belongs to another kind of stream, or is damaged.
    """
    if not isinstance(state, StreamState):
        raise StateError(f"expected a StreamState, got {type(state).__name__}: StreamState.from_bytes reads bytes")
    got = {"layout": 1} | dict(state.facts)
    if got["layout"] not in (1, LAYOUT):
        raise StateError(f"expected a state of layout {LAYOUT}, got {got['layout']}: start a new stream")
    differing = [
        f"{name} {facts[name]}, got {got.get(name)}"
        for name in facts
        if name != "layout" and got.get(name) != facts[name]
    ]
    if differing:
        raise StateError(f"expected a state of {'; '.join(differing)}")
    arrays = {name: array for name, array in state.arrays.items() if name not in _OF_STREAM}
    if got["layout"] == 1:
        arrays = _from_layout_1(arrays, spec, parameters)
    check_arrays(arrays, spec, parameters)
    return arrays, _pending_bytes(state, parameters.channels), _dtype(state)


def check_arrays(arrays: Mapping[str, npt.NDArray[Any]], spec: ModelSpec, parameters: StreamParameters) -> None:
    """Raises `StateError` unless the arrays are a state that a stream with these parameters can have.

    The stages load them, which compares everything with the number of input samples and the ranges of samples.
    """
    known, samples_in = set[str](), set[int]()
    for channel in range(parameters.paths):
        engine_state, path_state = (channel_arrays(arrays, channel, part) for part in ("engine", "path"))
        check_canonical(engine_state, spec)
        path = parameters.new_path(spec, "auto", bypass=False)  # has all stages that there can be
        path.load_state(path_state)
        check_hops(engine_state, spec, path.hops)
        check_agreement(path_state, engine_state, spec, parameters.output_sample_rate)
        samples_in.add(path.samples_in)
        known |= {f"{channel}.engine.{name}" for name in engine_state} | {
            f"{channel}.path.{name}" for name in path.state
        }
    if len(samples_in) > 1:
        raise StateError(f"expected equally many samples in all channels, got {sorted(samples_in)}")
    if unknown := sorted(set(arrays) - known):
        raise StateError(f"expected the arrays of a stream of {parameters.paths} channels, got {unknown[0]!r} as well")


def _from_layout_1(arrays: Arrays, spec: ModelSpec, parameters: StreamParameters) -> Arrays:
    """Renames stages, and keeps of the resamplers' samples those that are needed."""
    rate, output_rate = parameters.sample_rate, parameters.output_sample_rate
    rates = {
        "to_model": (rate, spec.sample_rate),
        "to_output": (spec.sample_rate, output_rate),
        "dry_to_output": (rate, output_rate),
    }
    converted = {}
    for name, array in arrays.items():
        channel, _, rest = name.partition(".")
        stage = rest.removeprefix("path.").partition(".")[0]
        if stage == "dry_to_output" and output_rate == spec.sample_rate:
            continue  # to_model has the same
        if rest.endswith(".pending") and stage in rates and rates[stage][0] != rates[stage][1]:
            array = _still_needed(array, arrays.get(f"{channel}.path.{stage}.samples_in"), *rates[stage])
        rest = rest.replace("path.guard.", "path.auto_strength.").replace("path.track.", "path.strength_ramp.")
        converted[f"{channel}.{rest}"] = array
    return converted


def _still_needed(
    pending: npt.NDArray[Any], samples_in: npt.NDArray[Any] | None, rate_in: int, rate_out: int
) -> npt.NDArray[Any]:
    """Returns the end of the samples that a resampler of 0.1 has kept, which began with a block of outputs."""
    if samples_in is None or samples_in.shape != () or samples_in.dtype != np.int64 or not 0 <= samples_in < 2**53:
        raise StateError(f"expected one count of samples in a resampler, got {samples_in!r}")
    count, bank = int(samples_in), filter_bank(rate_in, rate_out)
    ready = bank.ready(count)
    block = outputs_per_block(bank.up, half_taps(rate_in)) if bank.up <= MAX_EXACT_PHASES else 1
    if len(pending) != count - bank.begin(ready // block * block):
        raise StateError(f"expected another number of samples in a resampler, got {len(pending)}")
    return pending[len(pending) - (count - bank.begin(ready)) :]


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
