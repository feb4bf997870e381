"""Under which conditions utterances are recognised: clean, or with noise mixed in at a signal-to-noise ratio."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.io import container_of, open_audio, read_blocks
from gtcrn_frontend.audio.levels import noise_gain
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.audio.validation import INT16_SCALE
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.manifest import CLEAN, Utterance

Samples = npt.NDArray[np.float32]

PEAK = 0.99
"""Mixtures louder than this are turned down as a whole, so that no file format clips them."""
MIXING_VERSION = 2
"""Part of what names a mixture in the cache: raise it when mixtures become other ones."""

_MIN_NOISE_POWER = 1e-8  # an excerpt below -80 dB full scale is a pause in the recording
_DRAWS = 10


@dataclass(frozen=True)
class Recording:
    """A noise recording: its path, and a digest of its content."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Item:
    """One utterance under one condition.

    Attributes:
        utterance: what is said.
        condition: what reports call the condition.
        key: names the samples: equal keys, equal samples.
        snr_db: of the noise that is mixed in; None for none.
        noise: where the noise is from; None for none.
        seed: of the excerpt.
    """

    utterance: Utterance
    condition: str
    key: str
    snr_db: float | None = None
    noise: Recording | None = None
    seed: int = 0


def parse_snrs(text: str) -> tuple[float | None, ...]:
    """Returns the ratios of a comma-separated list such as `0,5,10,clean` in dB, each once; None stands for clean.

    Raises:
        ConfigError: an entry is neither a number nor `clean`.
    """
    snrs: list[float | None] = []
    for entry in (entry.strip() for entry in text.split(",") if entry.strip()):
        try:
            snrs.append(None if entry == CLEAN else float(entry))
        except ValueError as error:
            raise ConfigError(f"expected SNRs in dB or {CLEAN!r}, got {entry!r}") from error
    if not snrs or not all(snr is None or -60 <= snr <= 100 for snr in snrs):
        raise ConfigError(f"expected SNRs from -60 to 100 dB, such as 0,5,10,{CLEAN}; got {text!r}")
    return tuple(dict.fromkeys(snrs))


def condition_name(snr_db: float | None) -> str:
    """Returns what a condition is called."""
    return CLEAN if snr_db is None else f"{snr_db:g} dB"


def find_noise(folder: str | Path) -> list[Recording]:
    """Returns the recordings in a folder, and in its folders, by name.

    Raises:
        ConfigError: there is none.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and container_of(path))
    if not paths:
        raise ConfigError(f"{folder}: expected a folder of noise recordings, found no audio file there")
    return [Recording(path.resolve(), file_digest(path)) for path in paths]


def plan_items(
    utterances: Sequence[Utterance],
    noise: Sequence[Recording] = (),
    snrs_db: Sequence[float | None] = (),
    seed: int = 0,
) -> list[Item]:
    """Returns every utterance under every condition, one condition after the other, always the same for a seed.

    Args:
        utterances: of the manifest.
        noise: recordings to mix in; none leaves the utterances as they are, under the manifest's own conditions.
        snrs_db: see `parse_snrs`.
        seed: decides which excerpt of which recording goes with which utterance.
    """
    digests = [file_digest(utterance.path) for utterance in utterances]
    if not noise:
        return [
            Item(utterance, utterance.condition, digest) for utterance, digest in zip(utterances, digests, strict=True)
        ]
    return [
        _item(utterance, digest, snr_db, noise, seed)
        for snr_db in snrs_db
        for utterance, digest in zip(utterances, digests, strict=True)
    ]


def read_item(item: Item) -> tuple[Samples, int]:
    """Returns the samples `(n,) float32` of an item, and their rate in Hz; channels are averaged.

    Raises:
        AudioFormatError: the utterance or the noise cannot be read.
    """
    _, mixture, rate = read_mixture(item)
    return mixture, rate


def read_mixture(item: Item) -> tuple[Samples, Samples, int]:
    """Returns the speech in an item and the item itself, `(n,) float32` each, and their rate in Hz; see `read_item`.

    Where the mixture is turned down, so is the speech; without noise they are the same.
    """
    speech, rate = read_mono(item.utterance.path)
    if item.noise is None or item.snr_db is None:
        return speech, speech, rate
    noise = _excerpt(read_mono_at(item.noise.path, rate), len(speech), np.random.default_rng(item.seed))
    mixture = speech + np.float32(noise_gain(speech, noise, item.snr_db, rate)) * noise
    divisor = max(1.0, float(np.abs(mixture).max(initial=0)) / PEAK)
    return np.asarray(speech / divisor, np.float32), np.asarray(mixture / divisor, np.float32), rate


def read_mono(path: Path) -> tuple[Samples, int]:
    """Returns the samples `(n,) float32` of a file in [-1, 1], channels averaged, and their rate in Hz.

    Raises:
        AudioFormatError: it cannot be read, or holds values that are not finite.
    """
    with open_audio(path) as audio:
        blocks = [
            block.astype(np.float32) / np.float32(INT16_SCALE if block.dtype == np.int16 else 1)
            for block in read_blocks(audio)
        ]
        rate = int(audio.samplerate)
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    mono: Samples = np.asarray(samples.mean(axis=1) if samples.ndim == 2 else samples, np.float32)
    if not np.isfinite(mono).all():
        raise AudioFormatError(f"{path}: expected finite samples, found NaN or infinity")
    return mono, rate


@lru_cache(maxsize=32)
def read_mono_at(path: Path, rate: int) -> Samples:
    """Returns the samples `(n,) float32` of a file as `read_mono` does, at another rate in Hz; not to be changed.

    Raises:
        AudioFormatError: it cannot be read, holds values that are not finite, or no samples.
    """
    samples, own_rate = read_mono(path)
    if not len(samples):
        raise AudioFormatError(f"{path}: expected audio, got a file without samples")
    if own_rate == rate:
        return samples
    return resampled(samples, own_rate, rate)


@lru_cache(maxsize=65536)
def file_digest(path: Path) -> str:
    """Returns a digest of the content of a file, which is taken to stay as it is.

    Raises:
        AudioFormatError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise AudioFormatError(f"{path}: cannot be read: {error.strerror}") from error


def _item(utterance: Utterance, digest: str, snr_db: float | None, noise: Sequence[Recording], seed: int) -> Item:
    if snr_db is None:
        return Item(utterance, CLEAN, digest)
    own_seed = int(hashlib.sha256(f"{seed} {digest} {snr_db:g}".encode()).hexdigest()[:12], 16)
    recording = noise[int(np.random.default_rng(own_seed).integers(len(noise)))]
    key = "-".join((digest, recording.digest, f"{own_seed:x}", f"{snr_db:g}", str(MIXING_VERSION)))
    return Item(utterance, condition_name(snr_db), key, snr_db, recording, own_seed)


def _excerpt(samples: Samples, n: int, rng: np.random.Generator) -> Samples:
    """`n` samples from a random place, repeated where there are fewer; not a pause, if there is anything else."""
    loudest, highest_power = np.zeros(n, np.float32), -1.0
    for _ in range(_DRAWS):
        start = int(rng.integers(0, len(samples) - n + 1 if len(samples) > n else len(samples)))
        excerpt = np.take(samples, np.arange(start, start + n), mode="wrap")
        power = float(np.square(excerpt).mean())
        if power > highest_power:
            loudest, highest_power = excerpt, power
        if power > _MIN_NOISE_POWER:
            break
    return loudest
