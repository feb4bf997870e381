"""Word error rates of systems, beside the quality metrics of `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.measure_text import CAPPED, has_excess, kinds
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.strength_search import checked_scores
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.asr.verdict_text import rate_cells, settings_line
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric, Kind, Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.quality.aggregate import ALL
from gtcrn_frontend.evaluation.report.tables import Row, fitted_table
from gtcrn_frontend.evaluation.result_cache import ResultCache
from gtcrn_frontend.evaluation.systems import RAW
from gtcrn_frontend.evaluation.worker_pool import MakePool, WorkerPool

LEGEND = "Percent, ± half the 95 % interval; - significantly fewer errors than with the noisy input, ! more."


@dataclass(frozen=True)
class WordErrors:
    """Word errors of a recogniser behind each system; `str()` gives the table.

    Attributes:
        recognizer: the recogniser.
        scores: on the items that have a result behind every system.
        systems: settings by name, the unprocessed input among them.
        planned: number of items.
        failures: number of missing results.
        metric: how errors were counted.
    """

    recognizer: RecognizerSource
    scores: Scores
    systems: Mapping[str, EnhancerConfig]
    planned: int
    failures: int
    metric: ErrorMetric

    def rows(self, label: str) -> list[Row]:
        """Returns all rates, and differences from the unprocessed input, in percent, as `quality_tables.COLUMNS`."""
        raw = next(name for name, setting in self.systems.items() if setting == RAW)
        return [
            {
                "material": label,
                "snr_db": (condition or ALL).removesuffix(" dB"),
                "system": name,
                "measure": f"{title} % {self.recognizer.name}",
                "signals": sum(condition in (None, item.condition) for item in self.scores.items),
                "mean": 100 * rate.value,
                "low": 100 * rate.low,
                "high": 100 * rate.high,
                "against": against,
                "published": None,
            }
            for name, setting in self._scored()
            for title, kind in self._kinds().items()
            for condition in (None, *self.scores.conditions)
            for rate, against in self._rates(setting, condition, raw, kind)
        ]

    def __str__(self) -> str:
        rows: list[Row] = []
        for name, setting in self._scored():
            row: Row = {"system": name}
            rows.append(row | rate_cells(self.scores, setting, self.metric.name))
        recognizer = self.recognizer
        lines = [f"{recognizer.name}: {len(self.scores.items)} of {self.planned} signals with transcripts", ""]
        lines += [fitted_table(rows), LEGEND, *([CAPPED] if has_excess(self.scores) else [])]
        return "\n".join(
            [*lines, *([f"{recognizer.name}: {settings_line(recognizer.settings)}."] if recognizer.settings else [])]
        )

    def _scored(self) -> list[tuple[str, EnhancerConfig]]:
        return [(name, setting) for name, setting in self.systems.items() if setting in self.scores.counts]

    def _kinds(self) -> dict[str, Kind]:
        rate: dict[str, Kind] = {self.metric.name: "errors"}
        return rate | {kind.replace("_", " "): kind for kind in kinds(self.scores).values()}

    def _rates(
        self, setting: EnhancerConfig, condition: str | None, raw: str, kind: Kind
    ) -> list[tuple[Rate, str | None]]:
        before, after = self.scores.of(RAW, condition), self.scores.of(setting, condition)
        rates: list[tuple[Rate, str | None]] = [(error_rate(after, kind=kind), None)]
        return rates if setting == RAW else [*rates, (rate_difference(before, after, kind=kind), raw)]


def count_word_errors(
    items: Sequence[Item],
    systems: Mapping[str, EnhancerConfig],
    source: RecognizerSource,
    metric: ErrorMetric,
    cache: ResultCache[Recognition],
    progress: Progress,
    *,
    jobs: int = 1,
    pool: MakePool = WorkerPool,
) -> WordErrors:
    """Returns the word errors of a recogniser behind each system.

    Args:
        items: to recognise, with transcripts.
        systems: settings by name, `RAW` among them.
        source: the recogniser.
        metric: how errors are counted.
        cache: where results are looked up and kept.
        progress: counts results, and reports failures.
        jobs: worker processes, >= 1.
        pool: makes them.

    Raises:
        ImportError: the package jiwer is not installed.
        ModelError: a model or the recogniser cannot be loaded, or the recogniser fails on too many items.
        ConfigError: the cache cannot be written to.
    """
    settings = list(dict.fromkeys(systems.values()))
    with Sweep(items, source, cache, progress, jobs=jobs, pool=pool) as sweep:
        progress.begin(source.name, sweep.missing(settings))
        sweep.run(settings)
        scores = checked_scores(sweep, settings, metric)
        return WordErrors(source, scores, systems, len(items), len(sweep.failures), metric)
