"""Test items: utterances as they are, or with noise mixed in at given signal-to-noise ratios, behind a channel."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtcrn_frontend.audio.levels import noise_gain
from gtcrn_frontend.audio.transmission import TELEPHONE_HZ, reverberant, telephone
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.audio_files import audio_files, file_digest, read_mono, read_mono_at
from gtcrn_frontend.evaluation.channels import DEFAULT_CHANNELS, MICROPHONE, ROOM, TELEPHONE, through
from gtcrn_frontend.evaluation.manifest import CLEAN, Utterance

PEAK = 0.99
"""Mixtures with a higher peak are scaled down as a whole, so that no file format clips them."""
MIXING_VERSION = 2
"""Part of the cache key of a mixture: to be raised when the mixing changes."""
CHANNEL_VERSION = 1
"""The same for the channels."""
SNR_RANGE_DB = (-60.0, 100.0)

_MIN_NOISE_POWER = 1e-8  # an excerpt below -80 dB full scale is a pause in the recording
_DRAWS = 10


@dataclass(frozen=True)
class Recording:
    """A recording of noise, or an impulse response: its path, and a digest of its content."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Item:
    """One utterance under one condition; a `Signal`.

    Attributes:
        utterance: the speech.
        condition: name of the condition in reports.
        key: identifies the samples: items with equal keys have equal samples.
        snr_db: signal-to-noise ratio of the mixture; None without noise.
        noise: the noise recording; None without noise.
        seed: of the excerpt of the noise recording.
        channel: a key of `channels.CHANNELS`.
        room: the impulse response; None for other channels.
    """

    utterance: Utterance
    condition: str
    key: str
    snr_db: float | None = None
    noise: Recording | None = None
    seed: int = 0
    channel: str = MICROPHONE
    room: Recording | None = None

    @property
    def name(self) -> str:
        """That of the utterance."""
        return self.utterance.name

    @property
    def duration_s(self) -> float:
        """In seconds."""
        return self.utterance.duration_s

    def read(self) -> tuple[F32, int]:
        """See `read_item`."""
        return read_item(self)


def parse_snrs(text: str) -> tuple[float | None, ...]:
    """Returns the ratios of a comma-separated list such as `0,5,10,clean` in dB, each once; None stands for clean.

    Raises:
        ConfigError: an entry is neither a number in `SNR_RANGE_DB` nor `clean`.
    """
    snrs: list[float | None] = []
    for entry in (entry.strip() for entry in text.split(",") if entry.strip()):
        try:
            snrs.append(None if entry == CLEAN else float(entry))
        except ValueError as error:
            raise ConfigError(f"expected SNRs in dB or {CLEAN!r}, got {entry!r}") from error
    return checked_snrs(snrs)


def checked_snrs(snrs_db: Sequence[float | None]) -> tuple[float | None, ...]:
    """Returns signal-to-noise ratios in dB, each once; None stands for clean.

    Raises:
        ConfigError: there is none, or one is outside of `SNR_RANGE_DB`.
    """
    low, high = SNR_RANGE_DB
    if not snrs_db or not all(snr is None or low <= snr <= high for snr in snrs_db):
        shown = ",".join(map(condition_name, snrs_db)) or "none"
        raise ConfigError(f"expected SNRs from {low:g} to {high:g} dB, such as 0,5,10,{CLEAN}; got {shown}")
    return tuple(dict.fromkeys(snrs_db))


def condition_name(snr_db: float | None) -> str:
    """Returns the name of a condition in reports: `clean` or, for example, `5 dB`."""
    return CLEAN if snr_db is None else f"{snr_db:g} dB"


def find_noise(folder: str | Path, what: str = "noise recordings") -> list[Recording]:
    """Returns the recordings in a folder and its subfolders, sorted by path.

    Args:
        folder: to look in.
        what: is expected there, for the message.

    Raises:
        ConfigError: there is none.
    """
    paths = audio_files(Path(folder))
    if not paths:
        raise ConfigError(f"{folder}: expected a folder of {what}, found no audio file there")
    return [Recording(path.resolve(), file_digest(path)) for path in paths]


def plan_items(
    utterances: Sequence[Utterance],
    noise: Sequence[Recording] = (),
    snrs_db: Sequence[float | None] = (),
    seed: int = 0,
    channels: Sequence[str] = DEFAULT_CHANNELS,
    rooms: Sequence[Recording] = (),
) -> list[Item]:
    """Returns every utterance under every condition, condition by condition; the same items for the same seed.

    Args:
        utterances: of the manifest.
        noise: recordings to mix in; if empty, utterances stay as they are, under the manifest's own conditions.
        snrs_db: see `parse_snrs`.
        seed: selects the noise recording and its excerpt for each utterance, and the room.
        channels: keys of `channels.CHANNELS`; an utterance has the same noise behind all of them.
        rooms: impulse responses; at least one if `room` is among the channels.
    """
    digests = [_digest(utterance) for utterance in utterances]
    pairs = list(zip(utterances, digests, strict=True))
    if noise:
        items = [_item(utterance, digest, snr, noise, seed) for snr in snrs_db for utterance, digest in pairs]
    else:
        items = [Item(utterance, utterance.condition, digest) for utterance, digest in pairs]
    return [_behind(item, channel, rooms, seed) for channel in channels for item in items]


def read_item(item: Item) -> tuple[F32, int]:
    """Returns the samples `(n,) float32` of an item, and their rate in Hz; channels are averaged.

    Raises:
        AudioFormatError: the utterance or the noise cannot be read.
    """
    _, mixture, rate = read_mixture(item)
    return mixture, rate


def read_mixture(item: Item) -> tuple[F32, F32, int]:
    """Returns the speech of an item and the item itself, `(n,) float32` each, and their rate in Hz; see `read_item`.

    The speech is scaled down with the mixture, and has passed the channel; without noise both are the same.
    """
    speech, rate = read_mono(item.utterance.path, item.utterance.start, item.utterance.stop)
    if item.room is not None:
        speech = reverberant(speech, read_mono_at(item.room.path, rate), rate)
    speech, mixture = _mixed(item, speech, rate)
    if item.channel == TELEPHONE:
        return telephone(speech, rate), telephone(mixture, rate), TELEPHONE_HZ
    return speech, mixture, rate


def _mixed(item: Item, speech: F32, rate: int) -> tuple[F32, F32]:
    """The speech, and the speech with the item's noise."""
    if item.noise is None or item.snr_db is None:
        return speech, speech
    noise = _excerpt(read_mono_at(item.noise.path, rate), len(speech), np.random.default_rng(item.seed))
    mixture = speech + np.float32(noise_gain(speech, noise, item.snr_db, rate)) * noise
    divisor = max(1.0, float(np.abs(mixture).max(initial=0)) / PEAK)
    return np.asarray(speech / divisor, np.float32), np.asarray(mixture / divisor, np.float32)


def _digest(utterance: Utterance) -> str:
    digest = file_digest(utterance.path)
    if utterance.start == 0 and utterance.stop is None:
        return digest
    return f"{digest}@{utterance.start}:{'' if utterance.stop is None else utterance.stop}"


def _item(utterance: Utterance, digest: str, snr_db: float | None, noise: Sequence[Recording], seed: int) -> Item:
    if snr_db is None:
        return Item(utterance, CLEAN, digest)
    own_seed = int(hashlib.sha256(f"{seed} {digest} {snr_db:g}".encode()).hexdigest()[:12], 16)
    recording = noise[int(np.random.default_rng(own_seed).integers(len(noise)))]
    key = "-".join((digest, recording.digest, f"{own_seed:x}", f"{snr_db:g}", str(MIXING_VERSION)))
    return Item(utterance, condition_name(snr_db), key, snr_db, recording, own_seed)


def _behind(item: Item, channel: str, rooms: Sequence[Recording], seed: int) -> Item:
    """The item behind a channel."""
    if channel == MICROPHONE:
        return item
    key, room = f"{item.key}-{channel}{CHANNEL_VERSION}", None
    if channel == ROOM:
        room = rooms[zlib.crc32(f"{seed} {_digest(item.utterance)}".encode()) % len(rooms)]
        key = f"{key}-{room.digest}"
    return dataclasses.replace(item, condition=through(channel, item.condition), key=key, channel=channel, room=room)


def _excerpt(samples: F32, n: int, rng: np.random.Generator) -> F32:
    """`n` samples from a random place, repeated if there are fewer; pauses are avoided if there is anything else."""
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
