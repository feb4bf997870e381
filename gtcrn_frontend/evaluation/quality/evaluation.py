"""`Evaluation`: the result of `evaluate`, which prints as the command does and is written as CSV or JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.word_errors import WordErrors
from gtcrn_frontend.evaluation.quality import quality_tables
from gtcrn_frontend.evaluation.quality.metric_registry import CLEAN_FAMILY, FAMILIES, Metric, metrics_of
from gtcrn_frontend.evaluation.quality.score_signals import SignalScores
from gtcrn_frontend.evaluation.report import tables
from gtcrn_frontend.evaluation.report.tables import Row


@dataclass(frozen=True)
class SignalSetResult:
    """Results on one set of signals.

    Attributes:
        label: of the set.
        planned: number of signals.
        signals: scores of those that could be measured.
        word_errors: one entry for each recogniser; empty without transcripts.
    """

    label: str
    planned: int
    signals: tuple[SignalScores, ...]
    word_errors: tuple[WordErrors, ...] = ()

    @property
    def failed(self) -> int:
        """Number of signals that could not be measured, and of results of recognisers that are missing."""
        return self.planned - len(self.signals) + sum(errors.failures for errors in self.word_errors)


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`; `print(evaluation)` shows the tables.

    Attributes:
        results: of each set of signals.
        systems: settings by name, the unprocessed input first.
        families: of metrics, see `metric_registry.FAMILIES`.
        environment: processor and versions.
        settings: further arguments of `evaluate`, by name.
    """

    results: tuple[SignalSetResult, ...]
    systems: Mapping[str, EnhancerConfig]
    families: tuple[str, ...]
    environment: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def first(self) -> str:
        """Name of the system that others are compared with."""
        return list(self.systems)[1]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, in order."""
        return metrics_of(self.families)

    @property
    def failed(self) -> int:
        """Number of results that are missing."""
        return sum(result.failed for result in self.results)

    def rows(self) -> list[Row]:
        """Returns all means, intervals and differences as flat rows, see `quality_tables.COLUMNS`."""
        return [row for result in self.results for row in self._rows_of(result)]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything, the scores of each signal included, as values that JSON holds."""
        recognizers = [errors.recognizer for result in self.results for errors in result.word_errors]
        return {
            "environment": dict(self.environment),
            "settings": {
                "systems": {name: config.to_dict() for name, config in self.systems.items()},
                "first": self.first,
                "metrics": self.families,
                **self.settings,
                "recognizers": {recognizer.name: dict(recognizer.settings) for recognizer in recognizers},
            },
            "results": {
                result.label: {
                    "rows": self._rows_of(result),
                    "signals": [dataclasses.asdict(signal) for signal in result.signals],
                }
                for result in self.results
            },
            "published": quality_tables.published_rows(),
        }

    def write_json(self, path: str | Path) -> None:
        """Writes `to_dict()` to a file; values that are not finite become null.

        Raises:
            OSError: the file cannot be written.
        """
        tables.write_json(Path(path), self.to_dict())

    def write_csv(self, path: str | Path) -> None:
        """Writes `rows()` and the published scores to a file.

        Raises:
            OSError: the file cannot be written.
        """
        tables.write_csv(Path(path), quality_tables.COLUMNS, [*self.rows(), *quality_tables.published_rows()])

    def __str__(self) -> str:
        jobs, engine = self.settings["jobs"], self.settings["engine"]
        heading = f"cpu: {self.environment['cpu']}; processes: {jobs}; engine: {engine}"
        published = quality_tables.published_table(self.metrics)
        blocks = [heading, *map(self._tables, self.results), *([published] if published else [])]
        return "\n\n".join(blocks)

    def _rows_of(self, result: SignalSetResult) -> list[Row]:
        rows = quality_tables.rows_of(result.label, result.signals, self.metrics, self.first)
        return rows + [row for errors in result.word_errors for row in errors.rows(result.label)]

    def _tables(self, result: SignalSetResult) -> str:
        signals, metrics = result.signals, self.metrics
        minutes = sum(signal.duration_s for signal in signals) / 60
        left_out = result.planned - len(signals)
        missing = f", {left_out} failed and left out" if left_out else ""
        means = [quality_tables.mean_table(signals, metrics), *quality_tables.undefined_lines(signals, metrics)]
        blocks = [f"{result.label}: {len(signals)} signals, {minutes:.1f} minutes{missing}", "\n".join(means)]
        differences = quality_tables.difference_table(signals, metrics, self.first)
        if differences:
            blocks.append(f"{differences}\n{quality_tables.marks_legend(signals)}")
        of_noisy = [metric for metric in metrics if metric not in FAMILIES[CLEAN_FAMILY]]
        by_snr = quality_tables.band_table(signals, of_noisy)
        return "\n\n".join([*blocks, *([by_snr] if by_snr else []), *map(str, result.word_errors)])
