"""Signals without speech: excerpts of noise recordings at given levels, and digital silence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gtcrn_frontend.audio.mixing import first_audible, random_excerpt
from gtcrn_frontend.audio.transmission import TELEPHONE_HZ, telephone
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.audio_files import read_mono_at
from gtcrn_frontend.evaluation.channels import MICROPHONE, TELEPHONE
from gtcrn_frontend.evaluation.noisy_set import Recording

SAMPLE_RATE = 16_000
EXCERPT_S = 10.0
SILENCES_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""What a recogniser makes of silence depends on how long it is."""
DEFAULT_EXCERPTS = 20
DEFAULT_LEVELS_DBFS = (-30.0, -45.0)
LEVEL_RANGE_DBFS = (-100.0, -3.0)
SILENCE = "digital silence"

_VERSION = 1  # part of the key: to be raised when the samples change


@dataclass(frozen=True)
class SpeechFree:
    """A signal in which nobody speaks; a `Signal`.

    Attributes:
        unit: signals of equal units are not independent: the same excerpt at several levels.
        duration_s: in seconds.
        level_dbfs: root mean square, relative to full scale; None is digital silence.
        noise: the recording; None for digital silence.
        seed: of the place in the recording.
        channel: `microphone` or `telephone`.
    """

    unit: str
    duration_s: float
    level_dbfs: float | None = None
    noise: Recording | None = None
    seed: int = 0
    channel: str = MICROPHONE

    @property
    def name(self) -> str:
        """See `Signal`."""
        return SILENCE if self.noise is None else f"{self.noise.path.name}, {self.unit}"

    @property
    def condition(self) -> str:
        """See `Signal`."""
        return SILENCE if self.level_dbfs is None else f"noise {self.level_dbfs:g} dBFS"

    @property
    def key(self) -> str:
        """See `Signal`."""
        digest = self.noise.digest if self.noise else ""
        return f"speech-free-{_VERSION}-{digest}-{self.seed:x}-{self.level_dbfs}-{self.duration_s:g}-{self.channel}"

    def read(self) -> tuple[F32, int]:
        """See `Signal`; louder noise than full scale is clipped."""
        n = round(self.duration_s * SAMPLE_RATE)
        samples = np.zeros(n, np.float32)
        if self.noise is not None and self.level_dbfs is not None:
            recording, rng = read_mono_at(self.noise.path, SAMPLE_RATE), np.random.default_rng(self.seed)
            samples = first_audible(lambda: random_excerpt(rng, recording, n))
            level = np.sqrt(np.square(samples, dtype=np.float64).mean())
            samples = np.clip(samples * (10 ** (self.level_dbfs / 20) / max(level, 1e-12)), -1, 1).astype(np.float32)
        if self.channel == TELEPHONE:
            return telephone(samples, SAMPLE_RATE), TELEPHONE_HZ
        return samples, SAMPLE_RATE


def plan_speech_free(
    noise: Sequence[Recording],
    excerpts: int = DEFAULT_EXCERPTS,
    levels_dbfs: Sequence[float] = DEFAULT_LEVELS_DBFS,
    seed: int = 0,
    channel: str = MICROPHONE,
) -> list[SpeechFree]:
    """Returns excerpts of the recordings at each level, and digital silence; the same ones for the same seed.

    Args:
        noise: recordings, each used as often as every other.
        excerpts: number of them, `EXCERPT_S` each; 0 for no signals at all.
        levels_dbfs: see `checked_levels`.
        seed: of the order of the recordings and of the places in them.
        channel: see `SpeechFree`.
    """
    if not excerpts or not noise:
        return []
    order = np.random.default_rng(seed).permutation(len(noise))
    signals = []
    for level in levels_dbfs:
        for number in range(excerpts):
            recording = noise[int(order[number % len(noise)])]
            own_seed = int(hashlib.sha256(f"{seed} {recording.digest} {number}".encode()).hexdigest()[:12], 16)
            unit = f"excerpt {number + 1}"
            signals.append(SpeechFree(unit, EXCERPT_S, level, recording, own_seed, channel))
    return signals + [SpeechFree(f"silence of {each:g} s", each, channel=channel) for each in SILENCES_S]


def parse_levels(text: str) -> tuple[float, ...]:
    """Returns the levels of a comma-separated list such as `-30,-45` in dB of full scale, each once.

    Raises:
        ConfigError: an entry is not a number in `LEVEL_RANGE_DBFS`.
    """
    try:
        return checked_levels([float(entry) for entry in text.split(",") if entry.strip()])
    except ValueError as error:
        raise ConfigError(f"expected levels in dB of full scale, such as -30,-45; got {text!r}") from error


def checked_levels(levels_dbfs: Sequence[float]) -> tuple[float, ...]:
    """Returns levels in dB of full scale, each once.

    Raises:
        ConfigError: there is none, or one is outside of `LEVEL_RANGE_DBFS`.
    """
    low, high = LEVEL_RANGE_DBFS
    if not levels_dbfs or not all(low <= level <= high for level in levels_dbfs):
        shown = ",".join(f"{level:g}" for level in levels_dbfs) or "none"
        raise ConfigError(f"expected levels from {low:g} to {high:g} dB of full scale, such as -30,-45; got {shown}")
    return tuple(dict.fromkeys(levels_dbfs))
