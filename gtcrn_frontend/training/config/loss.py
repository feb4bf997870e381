"""Settings of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.deprecation import renamed_fields
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import ModelSource, check_settings, document_settings, setting
from gtcrn_frontend.training.config.types import Range


@document_settings
@dataclass(frozen=True)
class RecognizerConfig:
    """A recogniser whose features are compared: a Whisper model, or one that a Python function returns."""

    whisper: Path | None = setting(
        None, help="folder of a Whisper model in CTranslate2's format, as faster-whisper uses it"
    )
    factory: ModelSource | None = setting(
        None,
        help="`package.module:function` or `file.py:function`, called with the sample rate in Hz; returns a torch "
        "module that maps samples (B, n) to a sequence of features (B, T, channels), the last layer last",
    )
    weight: float = setting(1.0, above=0, help="weight of its distance, see `losses.recognizer_distance`")
    layers: str = setting("all", choices=("all", "last"), help="layers that are compared")

    def __post_init__(self) -> None:
        check_settings(self)
        if (self.whisper is None) == (self.factory is None):
            raise ConfigError("recognizers: expected either whisper or factory in each entry")


@document_settings
@renamed_fields(disturbance="pesq_like", opinion="dnsmos_ovrl", dnsmos="dnsmos_folder")
@dataclass(frozen=True)
class LossConfig:
    """Weighted terms of the loss; terms of weight 0 are not computed."""

    hybrid: float = setting(1.0, low=0, help="weight of the hybrid loss of GTCRN's authors (`losses.hybrid`)")
    recognizers: tuple[RecognizerConfig, ...] = setting(
        (), help="recognisers whose features of the estimate should equal those of clean speech"
    )
    recognizer_strength: Range = setting(
        (1.0, 1.0),
        ascending=True,
        help="strength of the signal that `recognizers` compare, drawn per example: users mix the estimate with the "
        "noisy signal; 0 to 1",
    )
    si_snr: float = setting(
        0.0, low=0, help="weight of the negative SI-SNR in bel, in addition to the 1 within the hybrid loss"
    )
    log_mel: float = setting(
        0.0,
        low=0,
        help="weight of the mean absolute difference of log-mel energies in active speech (`losses.log_mel`)",
    )
    over_suppression: float = setting(
        0.0,
        low=0,
        help="weight of the error where the estimate is below the target (`losses.hybrid.over_suppression`): speech "
        "that was removed cannot be recognised",
    )
    pesq_like: float = setting(
        0.0, low=0, help="weight of the disturbance in a differentiable model of PESQ (`losses.pesq_like`)"
    )
    dnsmos_ovrl: float = setting(
        0.0,
        low=0,
        help="weight of what is missing to the best DNSMOS P.835 OVRL (`losses.dnsmos`), on a quarter of the examples, "
        "at least one per process",
    )
    dnsmos_folder: Path | None = setting(None, help="folder with the network of DNSMOS P.835, sig_bak_ovr.onnx")
    distillation: float = setting(
        0.0,
        low=0,
        help="weight of the spectral error against the teachers' output, where that is closer to the target than the "
        "input is (`losses.combined.teacher_trust`)",
    )
    teachers: tuple[ModelSource, ...] = setting(
        (), help="models whose averaged output is learned from, names or paths; their weights are not copied"
    )

    def __post_init__(self) -> None:
        check_settings(self)
        low, high = self.recognizer_strength
        if not 0 < low <= high <= 1:
            raise ConfigError(f"recognizer_strength: expected a range above 0, at most 1, got {[low, high]}")
        if self.distillation and not self.teachers:
            raise ConfigError("distillation needs models to learn from: name them in teachers")
        if self.dnsmos_ovrl and self.dnsmos_folder is None:
            raise ConfigError("dnsmos_ovrl needs the network of DNSMOS P.835: name its folder in dnsmos_folder")
