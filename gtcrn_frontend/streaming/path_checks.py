"""Consistency checks of saved `SignalPath` states: sample ranges, and counts derived from the input's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.polyphase import MAX_GAIN
from gtcrn_frontend.audio.resampler import Resampler
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import MAX_AMPLITUDE, check_magnitude
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import MAX_ENHANCED, ModelSpec
from gtcrn_frontend.streaming.framer import Framer
from gtcrn_frontend.streaming.mixer import Mixer


def split_state(
    state: Mapping[str, npt.NDArray[Any]], stages: Sequence[str], most: int
) -> tuple[dict[str, dict[str, npt.NDArray[Any]]], tuple[int, int]]:
    """Returns the arrays of each stage by name, and both counters: input samples, and output samples to drop.

    Raises:
        StateError: a stage is unknown, or a counter is missing or not within 0 to `most`.
    """
    by_stage: dict[str, dict[str, npt.NDArray[Any]]] = {name: {} for name in stages}
    for key, array in state.items():
        stage, _, name = key.rpartition(".")
        if key == "counters":
            continue
        if stage not in by_stage:
            raise StateError(
                f"expected the state of a path of {sorted(by_stage)}, got {key!r}; was it saved at other rates?"
            )
        by_stage[stage][name] = array
    counters = state.get("counters")
    if counters is None or counters.shape != (2,) or counters.dtype != np.int64:
        raise StateError(f"expected two counters of type int64, got {counters!r}")
    if counters.min() < 0 or counters.max() > most:
        raise StateError(f"expected counters from 0 to {most}, got {counters.tolist()}")
    return by_stage, (int(counters[0]), int(counters[1]))


def check_ranges(
    state: Mapping[str, npt.NDArray[Any]],
    *,
    model_is_filtered: bool,
    output_is_filtered: bool,
    dry_is_filtered: bool,
) -> None:
    """Raises `StateError` for samples beyond what valid input and the network can produce."""
    model_gain, output_gain, dry_gain = (
        MAX_GAIN if is_filtered else 1.0 for is_filtered in (model_is_filtered, output_is_filtered, dry_is_filtered)
    )
    limits = {
        "to_model.pending": MAX_AMPLITUDE,
        "dry_to_output.pending": MAX_AMPLITUDE,
        "framer.rest": model_gain * MAX_AMPLITUDE,
        "auto_strength.past": model_gain * MAX_AMPLITUDE,
        "to_output.pending": MAX_ENHANCED,
        "mixer.dry": dry_gain * MAX_AMPLITUDE,
        "mixer.enhanced": output_gain * MAX_ENHANCED,
    }
    for name, limit in limits.items():
        if name in state and np.issubdtype(state[name].dtype, np.floating):  # stages check the types
            check_magnitude(state[name], limit, name)


def check_counts(
    spec: ModelSpec,
    samples_in: int,
    to_drop: int,
    to_model: Resampler | None,
    to_output: Resampler | None,
    dry_to_output: Resampler | None,
    dry_at_model: Resampler | None,
    framer: Framer,
    mixer: Mixer,
) -> None:
    """Raises `StateError` if the stages are inconsistent with a stream of `samples_in` input samples.

    Args:
        spec: spec of the model.
        samples_in: number of input samples.
        to_drop: engine output samples before the start of the stream, still to be dropped.
        to_model: stages as in `SignalPath`, with loaded states.
        to_output: see `to_model`.
        dry_to_output: see `to_model`.
        dry_at_model: `to_model` where the dry signal is its output.
        framer: see `to_model`.
        mixer: see `to_model`.
    """
    framed = to_model.samples_out if to_model else samples_in
    hops, held = divmod(framed, spec.hop_length)
    enhanced = max(hops * spec.hop_length - spec.delay, 0)
    dry_filter = dry_to_output or dry_at_model
    dry = dry_filter.samples_out if dry_filter else samples_in
    mixable = to_output.samples_out if to_output else enhanced
    out = min(dry, mixable)
    counts = [
        ("held by the framer", held, framer.held),
        ("to drop", max(spec.delay - hops * spec.hop_length, 0), to_drop),
        ("delivered", out, mixer.samples_out),
        ("of the input waiting", dry - out, len(mixer.waiting_dry)),
        ("of the network waiting", mixable - out, mixer.waiting_enhanced),
    ]
    resamplers = [(to_model, samples_in), (dry_to_output, samples_in), (to_output, enhanced)]
    counts += [("in a resampler", expected, stage.samples_in) for stage, expected in resamplers if stage]
    for what, expected, got in counts:
        if got != expected:
            raise StateError(f"expected {expected} samples {what} after {samples_in} of the stream, got {got}")


def check_agreement(
    state: Mapping[str, npt.NDArray[Any]], engine_state: Mapping[str, F32], spec: ModelSpec, output_rate: int
) -> None:
    """Raises `StateError` if arrays that hold the same samples differ.

    Args:
        state: of a path, valid.
        engine_state: canonical arrays of its engine, valid.
        spec: spec of the model.
        output_rate: in Hz.
    """
    ends = [state[name] for name in ("to_model.pending", "dry_to_output.pending") if name in state]
    if len(ends) == 2:
        count = min(map(len, ends))
        if not np.array_equal(ends[0][len(ends[0]) - count :], ends[1][len(ends[1]) - count :]):
            raise StateError("expected the same last samples of the input in both resamplers, got others")
    analysis = engine_state.get("analysis")
    if analysis is None or not spec.delay == spec.hop_length == len(analysis):
        return
    if output_rate == spec.sample_rate:
        dry, rest = state["mixer.dry"], state["framer.rest"]
        known = np.concatenate([analysis, rest])
        if not np.array_equal(dry, known[len(known) - len(dry) :]):
            raise StateError("mixer.dry: expected the last samples at the model's rate, got others")
    if (past := state.get("auto_strength.past")) is None:
        return
    is_begun = state["auto_strength.hops"][3] == 0
    if not np.array_equal(past, analysis if is_begun else np.zeros_like(past)):
        raise StateError("auto_strength.past: expected the last samples that the network has taken, got others")
