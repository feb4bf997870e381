"""What must be true of a saved `SignalPath`: ranges of samples, and counts, which all follow from that of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.polyphase import MAX_GAIN
from gtcrn_frontend.audio.resampler import Resampler
from gtcrn_frontend.audio.validation import MAX_AMPLITUDE, check_magnitude
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import MAX_ENHANCED, ModelSpec
from gtcrn_frontend.streaming.framer import Framer
from gtcrn_frontend.streaming.mixer import Mixer


def check_ranges(
    state: Mapping[str, npt.NDArray[Any]],
    to_model: Resampler | None,
    to_output: Resampler | None,
    dry_to_output: Resampler | None,
) -> None:
    """Raises `StateError` for samples that no chunk can have brought, nor a network have made of it."""
    model_gain, output_gain, dry_gain = (MAX_GAIN if stage else 1.0 for stage in (to_model, to_output, dry_to_output))
    limits = {
        "to_model.pending": MAX_AMPLITUDE,
        "dry_to_output.pending": MAX_AMPLITUDE,
        "framer.rest": model_gain * MAX_AMPLITUDE,
        "guard.past": model_gain * MAX_AMPLITUDE,
        "to_output.pending": MAX_ENHANCED,
        "mixer.dry": dry_gain * MAX_AMPLITUDE,
        "mixer.enhanced": output_gain * MAX_ENHANCED,
    }
    for name, limit in limits.items():
        if name in state and np.issubdtype(state[name].dtype, np.floating):  # which type it is, each stage checks
            check_magnitude(state[name], limit, name)


def check_counts(
    spec: ModelSpec,
    samples_in: int,
    to_drop: int,
    to_model: Resampler | None,
    to_output: Resampler | None,
    dry_to_output: Resampler | None,
    framer: Framer,
    mixer: Mixer,
) -> None:
    """Raises `StateError` if the stages are not all where a stream is that has taken `samples_in` samples.

    Args:
        spec: of the model.
        samples_in: samples of the input.
        to_drop: samples that the engine will deliver of the time before the stream.
        to_model: stages as in `SignalPath`, which have loaded their states.
        to_output: see `to_model`.
        dry_to_output: see `to_model`.
        framer: see `to_model`.
        mixer: see `to_model`.
    """
    framed = to_model.samples_out if to_model else samples_in
    hops, held = divmod(framed, spec.hop_length)
    enhanced = max(hops * spec.hop_length - spec.delay, 0)
    dry = dry_to_output.samples_out if dry_to_output else samples_in
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
