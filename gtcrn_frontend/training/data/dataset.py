"""Training data of a config: decoded audio, in a training and a held-out part."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config import TrainConfig
from gtcrn_frontend.training.data.audio_cache import AudioCache, open_audio_cache
from gtcrn_frontend.training.data.corpus import Recording, list_recordings
from gtcrn_frontend.training.data.mixing import Pool, Pools
from gtcrn_frontend.training.data.split import load_or_draw_split

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """Decoded audio, and the recordings of the training and the held-out part."""

    audio_cache: AudioCache
    train: Pools
    held_out: Pools


def load_data(config: TrainConfig, sample_rate: int) -> TrainingData:
    """Returns the audio of all corpora, decoded, split into training and held-out pools.

    Raises:
        ConfigError: corpora without usable speech, or audio that cannot be read.
    """
    recordings = list_recordings(config.corpora)
    split = load_or_draw_split(recordings, config.held_out, config.optim.seed)
    paths = [path for item in recordings for path in (item.path, item.noisy) if path is not None]
    audio_cache = open_audio_cache(paths, config.cache, sample_rate)
    usable = [item for item in recordings if _is_usable(item, audio_cache, config.mixing.min_speech_snr_db)]
    pools = [
        _pools([item for item in usable if split.is_held_out(item) == held_out], audio_cache)
        for held_out in (False, True)
    ]
    for name, part in zip(("train", "held out"), pools, strict=True):
        if not len(part.speech.numbers) and not part.pairs:
            raise ConfigError(f"no speech in the part {name!r}: give corpora with at least two speakers, or more pairs")
        logger.info(
            "%s: speech %.2f h, noise %.2f h, %d rooms, %d pairs",
            name,
            _hours(part.speech, audio_cache, sample_rate),
            _hours(part.noise, audio_cache, sample_rate),
            len(part.rooms),
            len(part.pairs),
        )
    return TrainingData(audio_cache, *pools)


def _is_usable(item: Recording, audio_cache: AudioCache, min_speech_snr_db: float) -> bool:
    number = audio_cache.numbers[str(item.path)]
    if item.weight == 0 or audio_cache.length(number) == 0:
        return False
    return item.kind != "speech" or bool(audio_cache.snr_db[number] >= min_speech_snr_db)


def _pools(recordings: list[Recording], audio_cache: AudioCache) -> Pools:
    numbers = audio_cache.numbers
    return Pools(
        speech=_pool((item for item in recordings if item.kind == "speech"), audio_cache),
        noise=_pool((item for item in recordings if item.kind == "noise"), audio_cache),
        rooms=[numbers[str(item.path)] for item in recordings if item.kind == "room"],
        pairs=[(numbers[str(item.path)], numbers[str(item.noisy)]) for item in recordings if item.kind == "pair"],
    )


def _pool(recordings: Iterable[Recording], audio_cache: AudioCache) -> Pool:
    weights = {audio_cache.numbers[str(item.path)]: item.weight for item in recordings}
    numbers = np.array(list(weights), np.int64)
    lengths = np.array([weight * audio_cache.length(number) for number, weight in weights.items()], np.float64)
    return Pool(numbers, lengths / lengths.sum() if len(lengths) else lengths)


def _hours(pool: Pool, audio_cache: AudioCache, sample_rate: int) -> float:
    return sum(audio_cache.length(int(number)) for number in pool.numbers) / sample_rate / 3600
