"""The measures of `evaluate`, by family: what is chosen together, because it comes from one computation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.levels import FLOOR, active_power
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.noisy_set import file_digest
from gtcrn_frontend.evaluation.quality.dnsmos import DNSMOS, P808_FILE, P835_FILE
from gtcrn_frontend.evaluation.quality.metrics import log_mel_distance, pesq_wb, si_snr, stoi
from gtcrn_frontend.evaluation.quality.pairs import RATE_HZ

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Metric:
    """One figure: its title in tables, its decimals there, and whether more is better (None: neither)."""

    title: str
    digits: int
    more_is_better: bool | None = True


SI_SNR = Metric("SI-SNR dB", 2)
PESQ_WB = Metric("PESQ-WB", 2)
STOI = Metric("STOI", 3)
LOG_MEL = Metric("log-mel distance", 3, more_is_better=False)
SIG, BAK, OVRL = (Metric(f"DNSMOS {name}", 2) for name in ("SIG", "BAK", "OVRL"))
P808 = Metric("DNSMOS P.808", 2)
CLEAN_PESQ = Metric("clean input: PESQ-WB", 2)
CLEAN_LEVEL = Metric("clean input: level change dB", 2, more_is_better=None)

DNSMOS_FAMILY = "dnsmos"
CLEAN_FAMILY = "clean"
"""What becomes of clean speech: measured on another output than all the rest."""

FAMILIES: dict[str, tuple[Metric, ...]] = {
    "si-snr": (SI_SNR,),
    "pesq": (PESQ_WB,),
    "stoi": (STOI,),
    "log-mel": (LOG_MEL,),
    DNSMOS_FAMILY: (SIG, BAK, OVRL, P808),
    CLEAN_FAMILY: (CLEAN_PESQ, CLEAN_LEVEL),
}

PACKAGES = {"pesq": "pesq", CLEAN_FAMILY: "pesq", "stoi": "pystoi"}
"""What families need besides the core."""


def metrics_of(families: Sequence[str]) -> list[Metric]:
    """Returns the measures of some families, in order."""
    return [measure for family in families for measure in FAMILIES[family]]


class MetricRunner:
    """Takes measures; loads the models of DNSMOS when they are first needed.

    Args:
        dnsmos: folder with the models; None if they are not asked for.
    """

    def __init__(self, dnsmos: Path | None) -> None:
        self._folder = dnsmos
        self._dnsmos: DNSMOS | None = None

    def __call__(self, family: str, clean: Samples, estimate: Samples) -> dict[str, float]:
        """Returns the figures of a family by title; those that are not defined are nan.

        Args:
            family: of `FAMILIES`.
            clean, estimate: `(n,)` at `RATE_HZ`; for the family `clean`, the estimate is what became of `clean`.

        Raises:
            AudioFormatError: the signals cannot be measured.
            ModelError: a package or the models of DNSMOS are missing.
        """
        values = self._values(family, clean, estimate)
        return {measure.title: float(value) for measure, value in zip(FAMILIES[family], values, strict=True)}

    def _values(self, family: str, clean: Samples, estimate: Samples) -> Sequence[float]:
        if family == DNSMOS_FAMILY:
            if self._folder is None:
                raise ModelError("DNSMOS needs its models: name the folder that holds them")
            self._dnsmos = self._dnsmos or DNSMOS(self._folder)
            return self._dnsmos(estimate, RATE_HZ)
        if family == CLEAN_FAMILY:
            return pesq_wb(clean, estimate, RATE_HZ), level_change_db(clean, estimate)
        if family == "si-snr":
            return (si_snr(clean, estimate),)
        measure = {"pesq": pesq_wb, "stoi": stoi, "log-mel": log_mel_distance}[family]
        return (measure(clean, estimate, RATE_HZ),)


def level_change_db(before: Samples, after: Samples) -> float:
    """Returns by how many dB the active level of a signal at `RATE_HZ` rose; nan where there was no signal."""
    levels = [active_power(samples, RATE_HZ) for samples in (before, after)]
    return 10 * math.log10((levels[1] + FLOOR) / levels[0]) if levels[0] > FLOOR else math.nan


def dnsmos_digest(folder: Path) -> str:
    """Returns what names the models of DNSMOS in a folder: with other ones, scores are other scores.

    Raises:
        ModelError: they are not there or no such models.
    """
    DNSMOS(folder)
    return "".join(file_digest(folder / name)[:8] for name in (P835_FILE, P808_FILE))
