"""Metrics of `evaluate` by family: those that come from one computation are selected together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.audio.levels import FLOOR, active_power
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.audio_files import file_digest
from gtcrn_frontend.evaluation.quality.dnsmos import DNSMOS, P808_FILE, P835_FILE
from gtcrn_frontend.evaluation.quality.metrics import log_mel_distance, pesq_wb, si_snr, stoi
from gtcrn_frontend.evaluation.quality.pairs import RATE_HZ


@dataclass(frozen=True)
class Metric:
    """A metric: its title and decimals in tables, and whether higher values are better (None: neither)."""

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
"""Metrics of the output for clean input; all others are of the output for noisy input."""

FAMILIES: dict[str, tuple[Metric, ...]] = {
    "si-snr": (SI_SNR,),
    "pesq": (PESQ_WB,),
    "stoi": (STOI,),
    "log-mel": (LOG_MEL,),
    DNSMOS_FAMILY: (SIG, BAK, OVRL, P808),
    CLEAN_FAMILY: (CLEAN_PESQ, CLEAN_LEVEL),
}

PACKAGES = {"pesq": "pesq", CLEAN_FAMILY: "pesq", "stoi": "pystoi"}
"""Optional packages of the families."""


def metrics_of(families: Sequence[str]) -> list[Metric]:
    """Returns the metrics of families, in order."""
    return [metric for family in families for metric in FAMILIES[family]]


class MetricRunner:
    """Computes metrics; loads the models of DNSMOS on first use.

    Args:
        dnsmos: folder of the models; None without DNSMOS.
    """

    def __init__(self, dnsmos: Path | None) -> None:
        self._folder = dnsmos
        self._dnsmos: DNSMOS | None = None

    def __call__(self, family: str, clean: F32, estimate: F32) -> dict[str, float]:
        """Returns the metrics of a family by title; those that are not defined are nan.

        Args:
            family: of `FAMILIES`.
            clean, estimate: `(n,)` at `RATE_HZ`; for the family `clean`, the estimate is the output for `clean` itself.

        Raises:
            AudioFormatError: the signals cannot be measured.
            ModelError: a package or the models of DNSMOS are missing.
        """
        values = self._values(family, clean, estimate)
        return {metric.title: float(value) for metric, value in zip(FAMILIES[family], values, strict=True)}

    def _values(self, family: str, clean: F32, estimate: F32) -> Sequence[float]:
        if family == DNSMOS_FAMILY:
            if self._folder is None:
                raise ModelError("dnsmos: expected the folder of its models, got none")
            self._dnsmos = self._dnsmos or DNSMOS(self._folder)
            return self._dnsmos(estimate, RATE_HZ)
        if family == CLEAN_FAMILY:
            return pesq_wb(clean, estimate, RATE_HZ), level_change_db(clean, estimate)
        if family == "si-snr":
            return (si_snr(clean, estimate),)
        compute = {"pesq": pesq_wb, "stoi": stoi, "log-mel": log_mel_distance}[family]
        return (compute(clean, estimate, RATE_HZ),)


def level_change_db(before: F32, after: F32) -> float:
    """Returns the change of the active level of a signal at `RATE_HZ` in dB; nan if there was no signal."""
    levels = [active_power(samples, RATE_HZ) for samples in (before, after)]
    return 10 * math.log10((levels[1] + FLOOR) / levels[0]) if levels[0] > FLOOR else math.nan


def dnsmos_digest(folder: Path) -> str:
    """Returns a digest of the DNSMOS models in a folder, which is part of the cache key of their scores.

    Raises:
        ModelError: the models are missing or not those of DNSMOS.
    """
    DNSMOS(folder)
    return "".join(file_digest(folder / name)[:8] for name in (P835_FILE, P808_FILE))
