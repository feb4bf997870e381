"""`ModelSpec`: properties of the networks; the only place for sample rates and STFT sizes.

See `weights/networks.py` for how to add a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

Domain = Literal["spectrum", "waveform"]

WINDOWS = ("hann_sqrt", "hann")
"""Analysis windows by the names that sherpa-onnx uses, see `engines.stft`."""

MAX_INPUT = 32.0
"""Samples at the network's rate: chunks hold up to 8, and the weights of a resampler's filter add up to less than 4."""
MAX_ENHANCED = 512.0
"""Samples that a network delivers. A mask of magnitude sqrt(2) on a frame of 512 samples, with the energy of 656 of 8
before a resampler, makes at most sqrt(2) * 8 * sqrt(656) = 290 if all falls on one; 20 was found with loud input."""
MAX_CACHED = 1e6
"""Anything else that a network remembers: GTCRN's largest activation was 875 with all kinds of loud input."""

_CACHE_LIMITS = {
    "analysis": MAX_INPUT,
    "recent": MAX_INPUT,
    "synthesis": MAX_ENHANCED,
    "ready": MAX_ENHANCED,
    "fading": MAX_ENHANCED,
}


@dataclass(frozen=True)
class Segments:
    """Segmentation of a stream for a non-causal network, in samples; see `engines.overlap_add`.

    Attributes:
        context: left context of a run.
        cross_fade: length of the cross-fade between runs.
        advance: new samples per run.
        margin: right context of a run, which is discarded.
        grid: runs start at multiples of it, so that their frames coincide; `advance` and `length` are multiples.
    """

    context: int
    cross_fade: int
    advance: int
    margin: int
    grid: int = 1

    @property
    def length(self) -> int:
        """Samples per run of the network."""
        return self.context + self.latency

    @property
    def latency(self) -> int:
        """Worst-case latency in samples."""
        return self.cross_fade + self.advance + self.margin

    @property
    def cache_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the canonical engine state."""
        return {"recent": (self.length,), "ready": (self.advance,), "fading": (self.cross_fade,), "position": (1,)}


@dataclass(frozen=True)
class ModelSpec:
    """Properties of one network, independent of its weights.

    Attributes:
        name: short name of the network.
        sample_rate: in Hz, the only rate of the network.
        n_fft: FFT size in samples; 0 for waveform networks.
        win_length: length of frame and window in samples.
        hop_length: hop between frames in samples.
        window: name of the analysis window, one of `WINDOWS`; see `engines.stft`.
        causal: whether outputs never depend on samples beyond `look_ahead`.
        look_ahead: samples after the frame of an output sample that it depends on.
        parameters: number of parameters, including fixed filters; None if unknown.
        licence: of the reference implementation (SPDX); empty if unknown.
        cache_shapes: shape of each array of the canonical engine state of one stream, by name, all float32.
        cache_limits: the largest magnitude in an array of that state, by name, where it is known to be less than
            `cache_limit` takes for possible.
        frame_counter: name of the array that holds the number of frames so far; empty where there is none.
        domain: input of the network: `spectrum` or `waveform`.
        segments: segmentation of a non-causal network, which determines its latency; None for networks that run frame
            by frame.
    """

    name: str
    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    window: str
    causal: bool
    look_ahead: int
    parameters: int | None
    licence: str
    cache_shapes: Mapping[str, tuple[int, ...]] = field(hash=False)
    domain: Domain = "spectrum"
    segments: Segments | None = None
    cache_limits: Mapping[str, float] = field(default_factory=dict, hash=False, compare=False)
    frame_counter: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("cache_shapes", "cache_limits"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:  # mapping proxies can be neither pickled nor copied
        mappings = {"cache_shapes": dict(self.cache_shapes), "cache_limits": dict(self.cache_limits)}
        return partial(type(self), **(vars(self) | mappings)), ()

    def cache_limit(self, name: str) -> float:
        """Returns the largest magnitude in an array of the canonical engine state; more is damage."""
        return self.cache_limits.get(name, _CACHE_LIMITS.get(name, MAX_CACHED))

    @property
    def n_bins(self) -> int:
        """Frequency bins per frame."""
        return self.n_fft // 2 + 1

    @property
    def overlap(self) -> int:
        """Overlap of adjacent frames in samples."""
        return self.win_length - self.hop_length

    @property
    def latency_ms(self) -> float:
        """Worst-case latency at the network's rate in milliseconds."""
        return 1000 * (self.win_length + self.look_ahead) / self.sample_rate

    @property
    def delay(self) -> int:
        """Delay of an engine's output, in samples."""
        return self.overlap + self.look_ahead


GTCRN_SPEC = ModelSpec(
    name="gtcrn",
    sample_rate=16000,
    n_fft=512,
    win_length=512,
    hop_length=256,
    window="hann_sqrt",
    causal=True,
    look_ahead=0,
    parameters=48245,
    licence="MIT",
    cache_shapes={
        "analysis": (256,),
        "synthesis": (256,),
        "conv": (2, 16, 16, 33),
        "tra": (2, 3, 16),
        "inter": (2, 33, 16),
    },
    cache_limits={"tra": 1.001, "inter": 1.001},  # hidden states of GRUs are means of tanh
)

ULUNAS_SPEC = replace(
    GTCRN_SPEC,
    name="ulunas",
    window="hann",
    parameters=171328,
    licence="MIT",
    cache_shapes={
        "analysis": (256,),
        "synthesis": (256,),
        "conv": (5358,),
        "tfa": (402,),
        "inter": (1056,),
    },
    cache_limits={"tfa": 1.001, "inter": 1.001},
)

LITE_RTSE_SPEC = replace(
    GTCRN_SPEC,
    name="lite_rtse",
    parameters=1559245,
    licence="",
    cache_shapes={
        "analysis": (256,),
        "synthesis": (256,),
        "lstm": (2, 2, 257),
        "scale": (2, 32, 2, 257),
        "order": (452, 6, 257),
    },
    # Powers of the input: 4e5 and 2e10 were found at 8 times full scale. Up to here, nothing overflows behind them.
    cache_limits={"scale": 1e8, "order": 1e14},
)

MIN_SEGMENT_LATENCY_MS, MAX_SEGMENT_LATENCY_MS = 200, 10_000

_GRID = 960  # samples at 16 kHz, as below: three frames of FRCRN, twenty of WaveCRN
_CONTEXT, _CROSS_FADE, _MARGIN = 15680, 1280, 5120


def stream_segments(latency: int) -> Segments:
    """Returns the segmentation for streaming a non-causal network at a given latency.

    8 % of the latency, up to 80 ms, is cross-fade, and 32 %, up to 320 ms (the look-ahead of FRCRN's layers), is
    margin. The rest are new samples, so that the network runs as rarely as possible. The remainder of the grid goes to
    the margin, and to the context of at least 980 ms. The cost relative to a single run is `length / advance`: 5.0 with
    500 ms, 3.3 with 1 s, 1.9 with 2 s, 1.4 with 4 s.

    Args:
        latency: in samples at 16 kHz, at least `MIN_SEGMENT_LATENCY_MS`.
    """
    cross_fade = min(latency * 8 // 100, _CROSS_FADE)
    margin = min(latency * 32 // 100, _MARGIN)
    advance = (latency - cross_fade - margin) // _GRID * _GRID
    return Segments(
        context=_CONTEXT + -(_CONTEXT + latency) % _GRID,
        cross_fade=cross_fade,
        advance=advance,
        margin=latency - cross_fade - advance,
        grid=_GRID,
    )


STREAM_SEGMENTS = stream_segments(16000)
"""One second, the default."""

WHOLE_SEGMENTS = Segments(context=15840, cross_fade=4000, advance=64320, margin=8000, grid=_GRID)
"""For complete signals: 1.4 times the cost; signals of up to 3.27 s are one segment."""

FRCRN_SPEC = ModelSpec(
    name="frcrn",
    sample_rate=16000,
    n_fft=640,
    win_length=640,
    hop_length=320,
    window="hann_sqrt",
    causal=False,
    look_ahead=STREAM_SEGMENTS.latency - 640,
    parameters=13963604,
    licence="Apache-2.0",
    cache_shapes=STREAM_SEGMENTS.cache_shapes,
    segments=STREAM_SEGMENTS,
)

FRCRN_CAUSAL_SPEC = replace(
    FRCRN_SPEC,
    name="frcrn_causal",
    causal=True,
    look_ahead=14 * 320,  # seven decoders of two U-Nets look one frame ahead each
    segments=None,
    cache_shapes={
        "analysis": (320,),
        "synthesis": (320,),
        "encoders": (2, 2, 38721),
        "decoders": (2, 2, 76928),
        "skips": (2, 2, 199552),
        "memory": (2, 2, 4, 128, 19),
        "means": (2, 2, 11, 128),
        "first": (2, 321, 7),
        "spectrum": (321, 14, 2),
        "frames": (1,),
    },
    frame_counter="frames",
)

WAVECRN_SPEC = ModelSpec(
    name="wavecrn",
    sample_rate=16000,
    n_fft=0,
    win_length=320,
    hop_length=320,
    window="",
    causal=False,
    look_ahead=STREAM_SEGMENTS.latency - 320,
    parameters=4654592,
    licence="",
    cache_shapes=STREAM_SEGMENTS.cache_shapes,
    domain="waveform",
    segments=STREAM_SEGMENTS,
)
