"""All settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import ModelSource, check_settings, document_settings, setting
from gtcrn_frontend.training.config.corpora import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.config.loss import LossConfig
from gtcrn_frontend.training.config.mixing import MixingConfig
from gtcrn_frontend.training.config.optim import OptimConfig
from gtcrn_frontend.training.config.validation import ValidationConfig
from gtcrn_frontend.weights.networks import NETWORKS

TRAINABLE = tuple(name for name, network in NETWORKS.items() if network.module)


@document_settings
@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training run."""

    output: Path = setting(help="folder for checkpoint, log and weights")
    corpora: tuple[CorpusConfig, ...] = setting(help="sources of recordings, see `CorpusConfig`")
    network: str = setting("gtcrn", choices=TRAINABLE, help="network that is trained")
    start: ModelSource | None = setting(
        None,
        default_text="random weights",
        help="model of that network to start from, name or path, for example to adapt it to other data",
    )
    cache: Path = setting(
        Path("cache"),
        help="folder for decoded audio, so that the next run starts at once; files in it may be deleted between runs",
    )
    held_out: HeldOutConfig = setting(factory=HeldOutConfig, help="what is held out of training, see `HeldOutConfig`")
    mixing: MixingConfig = setting(factory=MixingConfig, help="composition of the examples, see `MixingConfig`")
    loss: LossConfig = setting(factory=LossConfig, help="terms of the loss, see `LossConfig`")
    optim: OptimConfig = setting(factory=OptimConfig, help="optimisation, see `OptimConfig`")
    validation: ValidationConfig = setting(factory=ValidationConfig, help="validation, see `ValidationConfig`")
    checkpoint_every_s: float = setting(120.0, low=0, unit="s", help="time between checkpoints")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.validation.metric == "recognizer" and not self.loss.recognizers:
            raise ConfigError("validation: metric: recognizer needs recognisers: name them in loss.recognizers")
