"""`evaluate`: what systems make of noisy signals, measured against the clean ones, in several processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.levels import snr_db
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.quality.metric_registry import CLEAN_FAMILY, DNSMOS_FAMILY, MetricRunner
from gtcrn_frontend.evaluation.quality.pairs import RATE_HZ, PairSource
from gtcrn_frontend.evaluation.result_cache import Cache
from gtcrn_frontend.evaluation.systems import outputs
from gtcrn_frontend.evaluation.worker_pool import Failure, Handler, Work, WorkerPool

TIMEOUT_S = 600.0
"""The longest time for one signal, all systems together."""
CACHE_VERSION = 1
"""Part of what names a score in the cache: raise it when a measure becomes another one."""

_NAME = "measuring"

Samples = npt.NDArray[np.float32]
Systems = Mapping[str, EnhancerConfig]
Values = Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """What is measured, and how.

    Attributes:
        systems: settings of the enhancer by the name that reports call them.
        families: of measures, see `metric_registry.FAMILIES`.
        dnsmos: folder of the models; None if they are not asked for.
        dnsmos_digest: see `metric_registry.dnsmos_digest`.
        cache: folder where scores are kept; None keeps nothing.
    """

    systems: Systems
    families: tuple[str, ...]
    dnsmos: Path | None = None
    dnsmos_digest: str = ""
    cache: Path | None = None


@dataclass(frozen=True)
class Scored:
    """The measures of one signal.

    Attributes:
        name, group: see `pairs.PairSource`.
        duration_s: of the signal.
        snr_db: of the input, see `levels.snr_db`.
        values: by system, then by title of the measure; nan where one is not defined.
    """

    name: str
    group: str
    duration_s: float
    snr_db: float
    values: Mapping[str, Values]


@dataclass(frozen=True)
class _Kept:
    """Figures as the cache holds them."""

    values: dict[str, float]


def score_pairs(
    sources: Sequence[PairSource],
    plan: Plan,
    *,
    jobs: int = 1,
    progress: Callable[[], object] = lambda: None,
    report: Callable[[str, str], None] = lambda name, reason: None,
) -> list[Scored]:
    """Returns the measures of all signals, in order, but for those that could not be measured.

    Args:
        sources: of signals.
        plan: what is measured.
        jobs: processes, >= 1.
        progress: called after each signal.
        report: called with name and reason of a signal that cannot be measured.

    Raises:
        ModelError: no signal can be measured.
    """
    scored: dict[int, Scored] = {}
    last_reason = ""
    works = [Work((number, source), (None,), TIMEOUT_S) for number, source in enumerate(sources)]
    with WorkerPool(partial(_handler, plan), jobs, _NAME) as processes:
        for work, _, result in processes.run(works):
            number, source = work.payload
            if isinstance(result, Failure):
                last_reason = result.reason
                report(source.name, result.reason)
            else:
                scored[number] = result
            progress()
    if not scored:
        raise ModelError(f"none of {len(sources)} signals could be measured: {last_reason}")
    return [scored[number] for number in sorted(scored)]


class Scorer:
    """Measures signals one by one, in one process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._judge = MetricRunner(plan.dnsmos)
        self._cache = Cache(plan.cache, _Kept)

    def __call__(self, source: PairSource) -> Scored:
        """Returns the measures of one signal.

        Raises:
            AudioFormatError: it cannot be read or measured.
            ModelError: a model cannot be loaded.
        """
        clean, noisy = source.read()
        families = [family for family in self._plan.families if family != CLEAN_FAMILY]
        values = self._measured(clean, noisy, families)
        if CLEAN_FAMILY in self._plan.families:
            for name, more in self._measured(clean, clean, [CLEAN_FAMILY]).items():
                values[name] |= more
        return Scored(source.name, source.group, len(clean) / RATE_HZ, snr_db(clean, noisy, RATE_HZ), values)

    def _measured(self, clean: Samples, signal: Samples, families: Sequence[str]) -> dict[str, dict[str, float]]:
        """What systems make of a signal, by name.

        The network runs in any case, for it costs little beside the measures: so a score is kept under the samples that
        it belongs to, and can never be that of other weights or other code.
        """
        key = _digest(clean)
        values: dict[str, dict[str, float]] = {name: {} for name in self._plan.systems}
        made = outputs(signal, RATE_HZ, list(self._plan.systems.values())) if families else ()
        for name, output in zip(values, made, strict=bool(families)):
            estimate = _digest(output.samples)
            for family in families:
                models = self._plan.dnsmos_digest if family == DNSMOS_FAMILY else ""
                place = key, f"{_NAME} {CACHE_VERSION} {models}", f"{estimate} {family}"
                kept = self._cache.get(*place)
                if kept is None:
                    kept = _Kept(self._judge(family, clean, output.samples))
                    self._cache.put(*place, kept)
                values[name] |= kept.values
        return values


def _handler(plan: Plan) -> Handler:
    """What runs in a process."""
    return partial(_score, Scorer(plan))


def _score(scorer: Scorer, payload: tuple[int, PairSource], steps: Sequence[None]) -> Iterator[Scored]:
    for _ in steps:
        yield scorer(payload[1])


def _digest(samples: Samples) -> str:
    return hashlib.sha256(np.asarray(samples, np.float32).tobytes()).hexdigest()[:32]
