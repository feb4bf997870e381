"""`Calibration`: the result of `calibrate`, which prints as the command does and writes the setting as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr import verdict_text
from gtcrn_frontend.evaluation.asr.auto_strength_fit import AutoStrengthFit
from gtcrn_frontend.evaluation.asr.decision import Decision
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.sweep import MissingResult
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric
from gtcrn_frontend.evaluation.manifest import Manifest
from gtcrn_frontend.evaluation.noisy_set import Item, condition_name
from gtcrn_frontend.evaluation.report.tables import fitted_table

WRITTEN_BY = "gtcrn-frontend calibrate"
"""After `# `, the beginning of the files that `Calibration.write` writes."""
LEGEND = "Percent, ± half of the 95 % interval; - significantly fewer errors than without front-end, ! more."


@dataclass(frozen=True)
class CalibrationData:
    """Recordings and conditions of a calibration.

    Attributes:
        manifest_path: as it was given.
        manifest: its content.
        items: utterances under each condition that the decision is based on.
        noise_path: folder of noise recordings; None if no noise was mixed in.
        snrs_db: signal-to-noise ratios; None in it stands for clean.
        seed: of the choice of noise.
    """

    manifest_path: str
    manifest: Manifest
    items: tuple[Item, ...]
    noise_path: str | None = None
    snrs_db: tuple[float | None, ...] = ()
    seed: int = 0

    def describe(self) -> str:
        """Returns the data in one sentence."""
        if self.noise_path is None:
            return f"Measured on {self.manifest_path}, no noise added."
        snrs = ",".join(condition_name(snr).removesuffix(" dB") for snr in self.snrs_db)
        return f"Measured on {self.manifest_path}, noise {self.noise_path}, SNRs {snrs}, seed {self.seed}."


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

    @property
    def setting(self) -> EnhancerConfig:
        """The setting to use; with bypass if no front-end helps."""
        return self.decision.setting

    @property
    def reasons(self) -> list[str]:
        """The reasons of the decision, and the outcome of fitting strength `auto`; one sentence each."""
        sentences = verdict_text.reasons(self.decision, self.metric.name)
        fit = self.fit
        return sentences + ([verdict_text.fit_summary(fit, self.scores, self.metric.name)] if fit else [])

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
            with replaced_at_end(Path(path)) as part:
                part.write_text(comment + verdict_text.setting_yaml(self.setting), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error

    def __str__(self) -> str:
        lines = [fitted_table(verdict_text.summary_rows(self.scores, self.metric.name)), LEGEND, ""]
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
