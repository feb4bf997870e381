"""Settings of a training run: frozen dataclasses, from Python or from a YAML file (`config_file.load_config`)."""

from gtcrn_frontend.settings import ModelSource
from gtcrn_frontend.training.config.corpora import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.config.loss import LossConfig, RecognizerConfig
from gtcrn_frontend.training.config.mixing import DEGRADATIONS, SYNTHETIC_KINDS, MixingConfig
from gtcrn_frontend.training.config.optim import OptimConfig
from gtcrn_frontend.training.config.run import TrainConfig
from gtcrn_frontend.training.config.types import Range
from gtcrn_frontend.training.config.validation import DEFAULT_METRIC, METRICS, ValidationConfig

__all__ = [
    "DEFAULT_METRIC",
    "DEGRADATIONS",
    "METRICS",
    "SYNTHETIC_KINDS",
    "CorpusConfig",
    "HeldOutConfig",
    "LossConfig",
    "MixingConfig",
    "ModelSource",
    "OptimConfig",
    "Range",
    "RecognizerConfig",
    "TrainConfig",
    "ValidationConfig",
]
