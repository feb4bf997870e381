"""Scores test signals: runs all systems on each one and computes the metrics, in worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gtcrn_frontend.audio.levels import snr_db
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.quality.metric_registry import CLEAN_FAMILY, DNSMOS_FAMILY, MetricRunner
from gtcrn_frontend.evaluation.quality.pairs import RATE_HZ, PairSource
from gtcrn_frontend.evaluation.result_cache import ResultCache
from gtcrn_frontend.evaluation.systems import outputs
from gtcrn_frontend.evaluation.worker_pool import Failure, Handler, MakePool, Work, WorkerPool

TIMEOUT_S = 600.0
"""Time limit for one signal, all systems together."""
CACHE_VERSION = 1
"""Part of the cache key of a score: to be raised when a metric changes."""

_NAME = "measuring"


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        systems: settings of the enhancer by their names in reports.
        families: of metrics, see `metric_registry.FAMILIES`.
        dnsmos: folder of the DNSMOS models; None without DNSMOS.
        dnsmos_digest: see `metric_registry.dnsmos_digest`.
        cache: folder of the result cache; None for none.
    """

    systems: Mapping[str, EnhancerConfig]
    families: tuple[str, ...]
    dnsmos: Path | None = None
    dnsmos_digest: str = ""
    cache: Path | None = None


@dataclass(frozen=True)
class SignalScores:
    """The metrics of one signal.

    Attributes:
        name, group: see `pairs.PairSource`.
        duration_s: of the signal in seconds.
        snr_db: of the input, see `levels.snr_db`.
        values: by system, then by the metric's title; nan if it is not defined.
    """

    name: str
    group: str
    duration_s: float
    snr_db: float
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class _Values:
    """Metrics of a family as the cache holds them."""

    values: dict[str, float]


def score_pairs(
    sources: Sequence[PairSource], plan: Plan, progress: Progress, *, jobs: int = 1, pool: MakePool = WorkerPool
) -> list[SignalScores]:
    """Returns the scores of all signals, in order, without those that could not be measured.

    Args:
        sources: the signals.
        plan: what is measured.
        progress: counts signals, and reports those that could not be measured.
        jobs: worker processes, >= 1.
        pool: makes them.

    Raises:
        ModelError: no signal can be measured.
    """
    scores: dict[int, SignalScores] = {}
    first_reason = ""
    works = [Work((number, source), (None,), TIMEOUT_S) for number, source in enumerate(sources)]
    with pool(partial(_handler, plan), jobs, _NAME) as processes:
        for work, _, result in processes.run(works):
            number, source = work.payload
            if isinstance(result, Failure):
                first_reason = first_reason or result.reason
                progress.message(f"failed: {source.name}: {result.reason}")
            else:
                scores[number] = result
            progress.update()
    if not scores:
        raise ModelError(f"none of {len(sources)} signals could be measured: {first_reason}")
    return [scores[number] for number in sorted(scores)]


class Scorer:
    """Measures signals one by one, in one process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._metrics = MetricRunner(plan.dnsmos)
        self._cache = ResultCache(plan.cache, _Values)

    def __call__(self, source: PairSource) -> SignalScores:
        """Returns the scores of one signal.

        Raises:
            AudioFormatError: the signal cannot be read or measured.
            ModelError: a model cannot be loaded.
        """
        clean, noisy = source.read()
        families = [family for family in self._plan.families if family != CLEAN_FAMILY]
        values = self._measured(clean, noisy, families)
        if CLEAN_FAMILY in self._plan.families:
            for name, more in self._measured(clean, clean, [CLEAN_FAMILY]).items():
                values[name] |= more
        return SignalScores(source.name, source.group, len(clean) / RATE_HZ, snr_db(clean, noisy, RATE_HZ), values)

    def _measured(self, clean: F32, signal: F32, families: Sequence[str]) -> dict[str, dict[str, float]]:
        """Metrics of the systems' outputs for a signal, by system.

        The network always runs, as it costs little compared with the metrics: scores are cached by the samples they
        belong to, and never by weights or code.
        """
        key = _digest(clean)
        values: dict[str, dict[str, float]] = {name: {} for name in self._plan.systems}
        made = outputs(signal, RATE_HZ, list(self._plan.systems.values())) if families else ()
        for name, output in zip(values, made, strict=bool(families)):
            estimate = _digest(output.samples)
            for family in families:
                models = self._plan.dnsmos_digest if family == DNSMOS_FAMILY else ""
                place = key, f"{_NAME} {CACHE_VERSION} {models}", f"{estimate} {family}"
                cached = self._cache.get(*place)
                if cached is None:
                    cached = _Values(self._metrics(family, clean, output.samples))
                    self._cache.put(*place, cached)
                values[name] |= cached.values
        return values


def _handler(plan: Plan) -> Handler:
    """Makes the scorer, once in each worker process."""
    return partial(_score, Scorer(plan))


def _score(scorer: Scorer, payload: tuple[int, PairSource], steps: Sequence[None]) -> Iterator[SignalScores]:
    for _ in steps:
        yield scorer(payload[1])


def _digest(samples: F32) -> str:
    return hashlib.sha256(np.asarray(samples, np.float32).tobytes()).hexdigest()[:32]
