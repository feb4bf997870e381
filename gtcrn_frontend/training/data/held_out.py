"""Mixtures of what a training config holds out: the same for validation in a run and for measuring afterwards."""

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

SEED = 7_000_000  # apart from all training steps' seeds
SYNTHETIC_SHARE = 0.1
SYNTHETIC_KINDS = ("coloured", "modulated", "hum", "clicks", "tones")  # not all: figures compare with earlier ones
REVERB_SHARE = 0.2


def held_out_mixture(
    audio_cache: AudioCache,
    pools: Pools,
    mixing: MixingConfig,
    config: ValidationConfig,
    sample_rate: int,
    seed: int,
    number: int,
) -> tuple[Samples, Samples]:
    """Returns a noisy piece and its target, `(n,) float32` each.

    Always with speech and noise, at full bandwidth, natural speed and colour; the signal-to-noise ratios of all
    mixtures are evenly spaced.

    Args:
        store, pools: what is mixed.
        mixing: how.
        config: length of the pieces, their number, and the range of ratios.
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
        synthetic_prob=SYNTHETIC_SHARE,
        synthetic_kinds=SYNTHETIC_KINDS,
        reverb_prob=min(mixing.reverb_prob, REVERB_SHARE),
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
    """A mixture that is made when it is read; see `held_out_mixture` and `evaluation.pairs.PairSource`."""

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
        """Its name: what it shares with others is drawn anew for each."""
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
    """Returns the validation mixtures of a training config, decoding its recordings first where that was not done yet.

    Args:
        config_file: see `config_file.load_config`.
        count: of mixtures; None is the config's own number.
        seed: None is the config's own, that of validation in the run.

    Raises:
        ConfigError: the config or its recordings cannot be used, or there is no split: nothing is held out then.
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
