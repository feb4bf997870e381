"""Means over signals with confidence intervals: of each system, of differences between systems, by input SNR."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.evaluation.bootstrap import MIN_UNITS, ratio_interval
from gtcrn_frontend.evaluation.quality.metric_registry import Metric
from gtcrn_frontend.evaluation.quality.score_signals import SignalScores

EDGES_DB = (0.0, 5.0, 10.0, 15.0)
"""Edges of the bands of input SNR; an edge belongs to the band above."""
_STEP_DB = 0.1  # the measured SNR of a mixture deviates from the nominal one: SNRs are rounded to this
ALL = "all"


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % confidence interval.

    Attributes:
        value: the mean; nan if the metric is not defined for any signal.
        low, high: ends of the interval; nan for fewer than two independent groups of signals.
        signals: number of signals for which the metric is defined.
        groups: number of independent groups of signals.
    """

    value: float
    low: float
    high: float
    signals: int
    groups: int

    @property
    def is_trusted(self) -> bool:
        """Whether there are enough groups: with fewer, the bootstrap's intervals are too narrow."""
        return self.groups >= MIN_UNITS

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def mean(signals: Sequence[SignalScores], system: str, metric: Metric, against: str | None = None) -> Mean:
    """Returns the mean of a metric over the signals for which it is defined.

    Args:
        signals: their scores; signals of one group are resampled together in the bootstrap.
        system: name of the system.
        metric: which one.
        against: name of another system, for the mean of the differences from it, signal by signal.
    """
    values = np.array([one.values[system][metric.title] for one in signals], np.float64)
    if against is not None:
        with np.errstate(invalid="ignore"):  # between infinities
            values -= np.array([one.values[against][metric.title] for one in signals], np.float64)
    return _mean(values, [one.group for one in signals])


def bands(signals: Iterable[SignalScores]) -> dict[str, list[SignalScores]]:
    """Returns the signals of each band of input SNR that has any, by the band's name, lowest first."""
    found: dict[int, list[SignalScores]] = {}
    for one in signals:
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
