"""Charts as inline SVG: error rate against strength, one line per model, with error bars; the page sets the colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from gtcrn_frontend.evaluation.asr.wer import Rate

SMALL, LARGE = (280, 200), (640, 300)
"""Width and height in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 12, 40
COLOURS = 6
"""Number of the CSS classes `line-0`, `line-1` ... that set the colours."""

_TICKS = 4
_SHIFT = 3.0  # pixels between models, so that error bars do not cover each other
_CAP = 3.0
_EDGE = 8  # pixels between the frame and strengths 0 and 1


@dataclass(frozen=True)
class Line:
    """A model's rates by strength, and the chosen strength, if it is one of this model."""

    name: str
    points: Sequence[tuple[float, Rate]]
    chosen: float | None = None


@dataclass(frozen=True)
class _Plane:
    """Coordinates of strengths and rates in pixels."""

    width: int
    height: int
    top_percent: float

    @property
    def right(self) -> int:
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        return self.height - BOTTOM

    def x(self, strength: float) -> float:
        return LEFT + _EDGE + strength * (self.right - LEFT - 2 * _EDGE)

    def y(self, rate: float) -> float:
        return TOP + (1 - 100 * rate / self.top_percent) * (self.bottom - TOP)


def strength_chart(raw: Rate, lines: Sequence[Line], rate_name: str, label: str, size: tuple[int, int] = SMALL) -> str:
    """Returns a chart of rates in percent over strength 0 to 1, and the rate without front-end as a horizontal band.

    Args:
        raw: rate without a front-end, drawn at strength 0.
        lines: one per model.
        rate_name: label of the vertical axis.
        label: text alternative of the chart.
        size: width and height in pixels.
    """
    highest = max(100 * rate.high for rate in (raw, *(rate for line in lines for _, rate in line.points)))
    plane = _Plane(*size, _round_up(highest))
    opening = (
        f'<svg class="chart" viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(label, quote=True)}">'
    )
    curves = [_curve(plane, raw, line, number, len(lines)) for number, line in enumerate(lines)]
    return "".join([opening, *_axes(plane, rate_name), *_reference(plane, raw), *curves, "</svg>"])


def _axes(plane: _Plane, rate_name: str) -> Iterator[str]:
    for i in range(_TICKS + 1):
        percent = plane.top_percent * i / _TICKS
        y = plane.y(percent / 100)
        yield f'<line class="grid" x1="{LEFT}" x2="{plane.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent:g}</text>'
    for strength in (0, 0.25, 0.5, 0.75, 1):
        x = plane.x(strength)
        yield f'<text class="tick" x="{x:.1f}" y="{plane.bottom + 17}" text-anchor="middle">{strength:g}</text>'
    centre, middle = (LEFT + plane.right) / 2, (TOP + plane.bottom) / 2
    yield f'<text class="axis" x="{centre:.1f}" y="{plane.height - 5}" text-anchor="middle">strength</text>'
    turned = f"translate(10 {middle:.1f}) rotate(-90)"
    yield f'<text class="axis" transform="{turned}" text-anchor="middle">{escape(rate_name)} %</text>'


def _reference(plane: _Plane, raw: Rate) -> Iterator[str]:
    """The rate without a front-end, and its interval."""
    value, low, high = plane.y(raw.value), plane.y(raw.low), plane.y(raw.high)
    width = plane.right - LEFT
    yield f'<rect class="band" x="{LEFT}" width="{width}" y="{high:.1f}" height="{max(low - high, 0):.1f}"/>'
    yield (
        f'<line class="raw" x1="{LEFT}" x2="{plane.right}" y1="{value:.1f}" y2="{value:.1f}">'
        f"<title>no front-end: {_text(raw)}</title></line>"
    )


def _curve(plane: _Plane, raw: Rate, line: Line, number: int, of: int) -> str:
    shift = _SHIFT * (number - (of - 1) / 2)
    points = [(plane.x(s) + shift, plane.y(rate.value)) for s, rate in ((0.0, raw), *line.points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    markers = [
        _marker(plane, strength, rate, shift, line.name, is_chosen=strength == line.chosen)
        for strength, rate in line.points
    ]
    return f'<g class="line-{number % COLOURS}"><polyline class="curve" points="{path}"/>{"".join(markers)}</g>'


def _marker(plane: _Plane, strength: float, rate: Rate, shift: float, name: str, *, is_chosen: bool) -> str:
    x, value, low, high = plane.x(strength) + shift, plane.y(rate.value), plane.y(rate.low), plane.y(rate.high)
    ends = "".join(f"M{x - _CAP:.1f} {y:.1f}h{2 * _CAP}" for y in (low, high))
    bar = f"M{x:.1f} {low:.1f}V{high:.1f}{ends}"
    ring = f'<circle class="chosen" cx="{x:.1f}" cy="{value:.1f}" r="8"/>' if is_chosen else ""
    return (
        f'<g><title>{escape(name)} {strength:g}: {_text(rate)}</title><path class="bar" d="{bar}"/>{ring}'
        f'<circle class="dot" cx="{x:.1f}" cy="{value:.1f}" r="4"/></g>'
    )


def _text(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _round_up(value: float) -> float:
    """The next number whose quarter has few digits."""
    if not value > 0:
        return 1.0
    magnitude: float = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * magnitude >= value)
