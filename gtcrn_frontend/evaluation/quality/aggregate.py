"""Means over signals with their intervals: of each system, against the first one, and by input SNR."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.evaluation.bootstrap import LEAST_UNITS, ratio_interval
from gtcrn_frontend.evaluation.quality.metric_registry import Metric
from gtcrn_frontend.evaluation.quality.score_signals import Scored

EDGES_DB = (0.0, 5.0, 10.0, 15.0)
"""Where bands of input SNR meet; an edge belongs to the band above."""
_STEP_DB = 0.1  # what is mixed at an edge is measured a little beside it: SNRs are rounded to this
ALL = "all"


@dataclass(frozen=True)
class Mean:
    """A mean and where it lies with 95 % confidence.

    Attributes:
        value: nan if the measure is defined for no signal.
        low, high: ends of the interval; nan for fewer than two independent groups of signals.
        signals: that it goes over.
        groups: of signals that are independent of each other.
    """

    value: float
    low: float
    high: float
    signals: int
    groups: int

    @property
    def is_trusted(self) -> bool:
        """Whether there are groups enough: with fewer, the bootstrap's intervals are too narrow."""
        return self.groups >= LEAST_UNITS

    @property
    def half_width(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


def mean(scored: Sequence[Scored], system: str, measure: Metric, than: str | None = None) -> Mean:
    """Returns the mean of a measure over those signals for which it is defined.

    Args:
        scored: signals; those of one group are drawn together in the bootstrap.
        system: of which system.
        measure: which one.
        than: another system: the mean is of the differences from it, signal by signal.
    """
    values = np.array([one.values[system][measure.title] for one in scored], np.float64)
    if than is not None:
        with np.errstate(invalid="ignore"):  # between infinities
            values -= np.array([one.values[than][measure.title] for one in scored], np.float64)
    return _mean(values, [one.group for one in scored])


def bands(scored: Iterable[Scored]) -> dict[str, list[Scored]]:
    """Returns the signals of each band of input SNR that has any, by what the band is called, from the lowest on."""
    found: dict[int, list[Scored]] = {}
    for one in scored:
        if not math.isnan(one.snr_db):
            found.setdefault(int(np.searchsorted(EDGES_DB, round(one.snr_db, 1), side="right")), []).append(one)
    return {_band_name(place): found[place] for place in sorted(found)}


def _mean(values: npt.NDArray[np.float64], groups: Sequence[str]) -> Mean:
    defined = np.isfinite(values)
    if not defined.any():
        return Mean(math.nan, math.nan, math.nan, 0, 0)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(np.array(groups)[defined].tolist()))}
    places = [numbers[group] for group in np.array(groups)[defined].tolist()]
    sums = np.bincount(places, values[defined])
    counts = np.bincount(places)
    interval = ratio_interval(sums, counts) if len(counts) > 1 else (math.nan, math.nan)
    return Mean(float(sums.sum() / counts.sum()), *interval, int(counts.sum()), len(counts))


def _band_name(place: int) -> str:
    if place == 0:
        return f"below {EDGES_DB[0]:g}"
    if place == len(EDGES_DB):
        return f"{EDGES_DB[-1]:g} and more"
    return f"{EDGES_DB[place - 1]:g} to {EDGES_DB[place] - _STEP_DB:g}"
