"""Differentiable enhancement of complete signals with a torch network, equal to the engines' output."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.engines.overlap_add import Part, fade_in, part_to_run
from gtcrn_frontend.model_spec import WHOLE_SEGMENTS, ModelSpec
from gtcrn_frontend.nets.threads import run_on_one_thread
from gtcrn_frontend.training.losses.hybrid import Transform


def enhanced(net: nn.Module, spec: ModelSpec, signals: Tensor) -> Tensor:
    """Enhances signals `(N, n)` float32; each is surrounded by silence, including zero padding at its end.

    Args:
        net: see `gtcrn_frontend.nets`.
        spec: spec of the network.
        signals: at its rate, n >= 1.
    """
    return _by_frames(net, spec, signals) if spec.segments is None else _in_segments(net, signals)


def _by_frames(net: nn.Module, spec: ModelSpec, signals: Tensor) -> Tensor:
    samples = signals.shape[1]
    # Pad to whole hops, so that each sample is in two frames as in a flushed stream, plus the look-ahead.
    padded = functional.pad(signals, (0, -samples % spec.hop_length + spec.look_ahead))
    transform = Transform(spec, signals.device)
    return transform.inverse(transform.enhanced(net, padded), padded.shape[1])[:, :samples]


def _in_segments(net: Any, signals: Tensor) -> Tensor:
    """Overlap-add as in `engines.overlap_add`, with all segments of equal length in one run of the network."""
    size = WHOLE_SEGMENTS
    count, samples = signals.shape
    waiting = size.cross_fade + size.margin
    runs = -(-(samples + waiting) // size.advance)
    padded = functional.pad(signals, (size.length - size.advance, runs * size.advance - samples))
    segments = padded.unfold(1, size.length, size.advance).flatten(0, 1)

    by_length: dict[int, list[tuple[int, Part]]] = defaultdict(list)
    for number, segment in enumerate(segments.detach().cpu().numpy()):
        part = part_to_run(segment, size)
        if part is not None:
            by_length[part.shown.stop - part.shown.start].append((number, part))
    kept = signals.new_zeros(len(segments), size.cross_fade + size.advance)
    for parts in by_length.values():
        outputs = net.enhance(torch.stack([segments[number, part.shown] for number, part in parts]))
        for (number, part), output in zip(parts, outputs, strict=True):
            kept[number, part.kept] = output[part.used]

    rise = torch.from_numpy(fade_in(size.cross_fade).copy()).to(kept.device)
    weights = torch.cat([rise, rise.new_ones(size.advance - size.cross_fade), 1 - rise])
    kept = (kept * weights).view(count, runs, -1)
    tails = functional.pad(kept[:, :-1, size.advance :], (0, size.advance - size.cross_fade, 1, 0))
    return (kept[..., : size.advance] + tails).flatten(1)[:, waiting : waiting + samples]


def enhanced_on_few_threads(net: nn.Module, spec: ModelSpec, samples: Tensor) -> Tensor:
    """Returns what `enhanced` does; on one thread, unless the network's layers are large."""
    if spec.segments is not None:
        return enhanced(net, spec, samples)
    return run_on_one_thread(lambda signals: enhanced(net, spec, signals), net, samples)
