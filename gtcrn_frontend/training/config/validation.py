"""Settings of the validation during a run."""

from __future__ import annotations

from dataclasses import dataclass

from gtcrn_frontend.settings import check_settings, document_settings, setting
from gtcrn_frontend.training.config.types import Range

METRICS = {"pesq": 1, "si_snr_db": 1, "stoi": 1, "log_mel": -1, "recognizer": -1}
"""1 where a higher score is better, -1 where a lower one is."""
DEFAULT_METRIC = "pesq"


@document_settings
@dataclass(frozen=True)
class ValidationConfig:
    """Validation on mixtures of held-out speakers, noises and rooms."""

    every_steps: int = setting(1000, low=1, help="steps between validations; there is one more at the end")
    mixtures: int = setting(32, low=1, help="number of mixtures, the same at every validation")
    seconds: float = setting(5.0, above=0, unit="s", help="length of a mixture")
    snr_db: Range = setting((-5.0, 20.0), ascending=True, unit="dB", help="range over which the SNRs are spread evenly")
    metric: str = setting(
        DEFAULT_METRIC,
        choices=tuple(METRICS),
        help="score by which best.safetensors is chosen: PESQ-WB, SI-SNR, STOI, distance of log-mel features, or "
        "distance in the features of `loss.recognizers`",
    )

    def __post_init__(self) -> None:
        check_settings(self)
