"""`Calibration`: the result of `calibrate`, which prints as the command does and writes the setting as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr import measure_text, verdict_text
from gtcrn_frontend.evaluation.asr.auto_strength_fit import AutoStrengthFit
from gtcrn_frontend.evaluation.asr.calibration_data import CalibrationData
from gtcrn_frontend.evaluation.asr.decision import Decision
from gtcrn_frontend.evaluation.asr.event_rates import EventRates
from gtcrn_frontend.evaluation.asr.measure_text import MeasureTable
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.sweep import MissingResult
from gtcrn_frontend.evaluation.asr.voice_activity import VoiceActivity
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric
from gtcrn_frontend.evaluation.report.tables import Row, fitted_table
from gtcrn_frontend.evaluation.systems import name_of_setting

WRITTEN_BY = "gtcrn-frontend calibrate"
"""After `# `, the beginning of the files that `Calibration.write` writes."""
LEGEND = "Percent, ± half the 95 % interval; - significantly fewer errors than without front-end, ! more."


@dataclass(frozen=True)
class Calibration:
    """Result of `calibrate`; `print(calibration)` shows the table, the decision and its reasons.

    Attributes:
        decision: the setting to use, and the figures behind it.
        scores: errors of every setting that was tried.
        metric: how errors were counted.
        data: recordings and conditions.
        recognizers: the recogniser that the decision is for, and those that strength `auto` was fitted to as well.
        recognitions: the recogniser's results behind each setting, by the items' keys.
        failures: results that are missing.
        recognised: number of results that recognisers gave.
        from_cache: number of results that were in the cache.
        took_s: duration of the calibration in seconds.
        fit: fitted parameters of strength `auto`; None if that was not asked for.
        hallucinations: words that the recogniser gives where nobody speaks; None if that was not measured.
        voice_activity: errors of a voice activity detector; None if that was not asked for.
    """

    decision: Decision
    scores: Scores
    metric: ErrorMetric
    data: CalibrationData
    recognizers: tuple[RecognizerSource, ...]
    recognitions: Mapping[EnhancerConfig, Mapping[str, Recognition]]
    failures: tuple[MissingResult, ...]
    recognised: int
    from_cache: int
    took_s: float
    fit: AutoStrengthFit | None = None
    hallucinations: EventRates | None = None
    voice_activity: VoiceActivity | None = None

    @property
    def setting(self) -> EnhancerConfig:
        """The setting to use; with bypass if no front-end helps."""
        return self.decision.setting

    @property
    def reasons(self) -> list[str]:
        """The reasons of the decision, what else it does, and the outcome of fitting `auto`; one sentence each."""
        decision, rate_name = self.decision, self.metric.name
        sentences = verdict_text.reasons(decision, rate_name)
        if self.hallucinations:
            sentences += measure_text.hallucination_reasons(
                self.hallucinations, self.scores, decision.candidate, decision.hallucinating, rate_name
            )
        if self.voice_activity:
            sentences += measure_text.voice_activity_reasons(self.voice_activity, decision.candidate)
        fit = self.fit
        return sentences + ([verdict_text.fit_summary(fit, self.scores, self.metric.name)] if fit else [])

    @property
    def measures(self) -> list[MeasureTable]:
        """The measures beside the error rate: its kinds, hallucinated words, and errors of a detector."""
        settings = verdict_text.in_order(self.scores)
        tables = [measure_text.kind_table(self.scores, settings)]
        if self.hallucinations:
            tables.append(measure_text.hallucination_table(self.hallucinations, settings))
        if self.voice_activity:
            tables += measure_text.voice_activity_tables(self.voice_activity, settings)
        return tables

    def write(self, path: str | Path) -> None:
        """Writes the setting as YAML, with the reasons as comments; `EnhancerConfig.from_yaml` reads it.

        Raises:
            ConfigError: the file cannot be written.
        """
        recognizer = self.recognizers[0]
        lines = [f"{WRITTEN_BY} --recognizer {recognizer.name}", self.data.describe()]
        if recognizer.settings:
            lines.append(f"Settings of the recogniser: {verdict_text.settings_line(recognizer.settings)}.")
        lines += [f"{verdict_text.headline(self.decision)}.", *self.reasons]
        comment = "".join(f"# {' '.join(line.split())}\n" for line in lines)
        try:
            write_text(Path(path), comment + verdict_text.setting_yaml(self.setting))
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error

    def __str__(self) -> str:
        lines = [fitted_table(verdict_text.summary_rows(self.scores, self.metric.name)), LEGEND]
        if measure_text.has_excess(self.scores):
            lines.append(measure_text.CAPPED)
        lines.append("")
        for table in self.measures:
            lines += [f"{table.title}:", "", fitted_table(_rows(table)), ""]
        lines.append(f"{verdict_text.headline(self.decision)}.")
        lines += [f"  {sentence}" for sentence in self.reasons]
        items, scored = len(self.data.items), len(self.scores.items)
        if scored < items:
            lines.append(
                f"  Left out because the recogniser failed behind some setting: {items - scored} of {items} items."
            )
        lines += [
            f"  {each.name}: {verdict_text.settings_line(each.settings)}." for each in self.recognizers if each.settings
        ]
        return "\n".join(lines)


def _rows(table: MeasureTable) -> list[Row]:
    rows: list[Row] = []
    for setting, cells in table.rows:
        row: Row = {"front-end": name_of_setting(setting)}
        rows.append(row | {title: str(cell) for title, cell in zip(table.columns, cells, strict=True)})
    return rows
