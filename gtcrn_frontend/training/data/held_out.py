"""Mixtures of the held-out recordings, for validation during a run and for evaluation afterwards."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.quality.pairs import Pair
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.config import MixingConfig, TrainConfig, ValidationConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.audio_cache import AudioCache
from gtcrn_frontend.training.data.dataset import TrainingData, load_data
from gtcrn_frontend.training.data.mixing import Mixer, Pools

Samples = npt.NDArray[np.float32]

SEED = 7_000_000  # apart from the seeds of all training steps
SYNTHETIC_PROB = 0.1
SYNTHETIC_KINDS = ("coloured", "modulated", "hum", "clicks", "tones")  # fixed, so that scores compare with earlier ones
REVERB_PROB = 0.2


def held_out_mixture(
    audio_cache: AudioCache,
    pools: Pools,
    mixing: MixingConfig,
    config: ValidationConfig,
    sample_rate: int,
    seed: int,
    number: int,
) -> tuple[Samples, Samples]:
    """Returns a noisy signal and its target, `(n,) float32` each.

    All mixtures contain speech and noise, at full bandwidth, natural speed and without equalisation; their SNRs are
    evenly spaced.

    Args:
        audio_cache, pools: the recordings.
        mixing: composition of the mixtures.
        config: length and number of the mixtures, and the range of SNRs.
        sample_rate: in Hz.
        seed: of the run.
        number: of the mixture, below `config.mixtures`.
    """
    snr_db = float(np.linspace(*config.snr_db, config.mixtures)[number])
    plain = dataclasses.replace(
        mixing,
        snr_db=(snr_db, snr_db),
        segment_s=config.seconds,
        clean_prob=0.0,
        noise_only_prob=0.0,
        synthetic_prob=SYNTHETIC_PROB,
        synthetic_kinds=SYNTHETIC_KINDS,
        reverb_prob=min(mixing.reverb_prob, REVERB_PROB),
        shoebox_prob=0.0,
        equalise_prob=0.0,
        speed_prob=0.0,
        band_limit_prob=0.0,
        clip_prob=0.0,
        telephone_prob=0.0,
    )
    noisy, target = Mixer(audio_cache, pools, plain, sample_rate).batch((seed, SEED, number), 1)
    return noisy[0], target[0]


@dataclass(frozen=True)
class HeldOutMixture:
    """A mixture that is made when it is read; see `held_out_mixture` and `evaluation.quality.pairs.PairSource`."""

    config_file: Path
    count: int
    seed: int
    number: int

    @property
    def name(self) -> str:
        """Its number."""
        return f"mixture {self.number}"

    @property
    def group(self) -> str:
        """Its name: mixtures are independent of each other."""
        return self.name

    def read(self) -> Pair:
        """See `PairSource`."""
        config, data = _loaded(self.config_file)
        validation = dataclasses.replace(config.validation, mixtures=self.count)
        rate = GTCRN_SPEC.sample_rate
        noisy, target = held_out_mixture(
            data.audio_cache, data.held_out, config.mixing, validation, rate, self.seed, self.number
        )
        return Pair(target, noisy)


def plan_held_out(config_file: Path, count: int | None, seed: int | None) -> list[HeldOutMixture]:
    """Returns the validation mixtures of a training config; decodes its recordings first if they are not cached.

    Args:
        config_file: see `config_file.load_config`.
        count: number of mixtures; None is that of the config.
        seed: None is that of the config, which the validation during the run uses.

    Raises:
        ConfigError: the config or its recordings cannot be used, or there is no split file, so nothing is held out.
    """
    config = load_config(config_file)
    if not config.held_out.file.is_file():
        raise ConfigError(
            f"{config_file}: expected the split {config.held_out.file}, found none: train first, or nothing is known "
            "to be held out"
        )
    _loaded(config_file)
    count = config.validation.mixtures if count is None else count
    seed = config.optim.seed if seed is None else seed
    return [HeldOutMixture(config_file, count, seed, number) for number in range(count)]


@lru_cache(maxsize=1)
def _loaded(config_file: Path) -> tuple[TrainConfig, TrainingData]:
    config = load_config(config_file)
    return config, load_data(config, GTCRN_SPEC.sample_rate)
