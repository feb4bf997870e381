"""Training examples made on the fly: noisy signals and their targets, determined by seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from gtcrn_frontend.audio.levels import active_power
from gtcrn_frontend.audio.mixing import PEAK, SILENT_POWER, add_noise, first_audible, random_start
from gtcrn_frontend.training.augment.degradation import damage
from gtcrn_frontend.training.augment.effects import (
    change_speed,
    clip,
    noise_speed_ratio,
    random_band,
    random_equaliser,
    speed_ratio,
)
from gtcrn_frontend.training.augment.noise_synthesis import families
from gtcrn_frontend.training.augment.rir.rooms import MAX_S, Room, random_room, split_room
from gtcrn_frontend.training.augment.rir.shoebox import shoebox_room
from gtcrn_frontend.training.augment.telephone import telephone
from gtcrn_frontend.training.config import MixingConfig
from gtcrn_frontend.training.data.audio_cache import AudioCache

Samples = npt.NDArray[np.float32]

BABBLE_PROB = 1 / 6  # within synthetic noise
BABBLE_VOICES = (3, 8)
NARROW_TALKER_PROB = 0.5  # within band limits: of the speech alone, as from a telephone in a room
GAP_S = (0.05, 0.5)  # between utterances of one example
NOISE_DRAWS = 5  # of recordings, until one excerpt is not a pause


@dataclass(frozen=True)
class Pool:
    """Recordings to draw from.

    Attributes:
        numbers: their numbers in the cache.
        probs: probability of each, summing to 1.
    """

    numbers: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> int:
        """Returns the number of a random recording."""
        place = int(np.searchsorted(np.cumsum(self.probs), rng.random()))
        return int(self.numbers[min(place, len(self.numbers) - 1)])


@dataclass(frozen=True)
class Pools:
    """Recordings to mix; `pairs` are numbers (clean, noisy) of ready mixtures."""

    speech: Pool
    noise: Pool
    rooms: Sequence[int] = ()
    pairs: Sequence[tuple[int, int]] = ()


class Mixer:
    """Makes examples; stateless: an example depends on its random generator only."""

    def __init__(self, audio_cache: AudioCache, pools: Pools, config: MixingConfig, sample_rate: int) -> None:
        self.audio_cache = audio_cache
        self.pools = pools
        self.config = config
        self.sample_rate = sample_rate
        self.length = round(config.segment_s * sample_rate)
        self.n_fft = scipy.fft.next_fast_len(self.length + int(MAX_S * sample_rate), real=True)
        self.n_bins = self.n_fft // 2 + 1
        self._rooms = [split_room(audio_cache.read(number), sample_rate) for number in pools.rooms]

    def batch(self, seed: Sequence[int], size: int) -> tuple[Samples, Samples]:
        """Returns noisy and target `(size, length) float32`; the same for the same seed."""
        rng = np.random.default_rng(seed)
        examples = [self.example(rng) for _ in range(size)]
        return np.stack([noisy for noisy, _ in examples]), np.stack([target for _, target in examples])

    def example(self, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """Returns a noisy signal and its target, `(length,) float32` each, within full scale."""
        config = self.config
        from_pair = bool(self.pools.pairs) and (not len(self.pools.speech.numbers) or rng.random() < 0.5)
        if config.degradation == "compression":
            return self._damaged(rng, self._pair(rng)[1] if from_pair else self._speech(rng))
        if from_pair:
            return self._pair(rng)
        kind = rng.random()
        has_noise, has_speech = kind >= config.clean_prob, kind < 1 - config.noise_only_prob
        # The microphone's response applies to speech and noise; noise has a response of its own in addition.
        microphone = talker = self._response(rng)
        if rng.random() < config.band_limit_prob:
            band = random_band(rng, self.n_bins, self.sample_rate)
            talker = microphone * band
            microphone = microphone if rng.random() < NARROW_TALKER_PROB else talker
        mixture = np.zeros(self.length, np.float32)
        target = np.zeros(self.length, np.float32)
        if has_speech:
            room = self._room(rng)
            spectrum = self._spectrum(self._speech(rng)) * talker
            target = mixture = self._signal(spectrum)
            if room is not None:
                target = self._signal(spectrum * self._spectrum(room.early))
                mixture = self._signal(spectrum * self._spectrum(room.full))
        speech = mixture
        if has_noise:
            noise = self._spectrum(self._noise(rng)) * self._response(rng) * microphone
            samples = self._signal(noise)
            mixture = add_noise(speech, samples, rng.uniform(*config.snr_db)) if has_speech else samples
        if config.clip_prob and rng.random() < config.clip_prob:
            mixture = clip(rng, mixture)
        level = self._gain(rng, speech if has_speech else mixture, mixture)
        mixture, target = mixture * level, target * level
        if config.telephone_prob and rng.random() < config.telephone_prob:
            return telephone(rng, mixture, target, self.sample_rate)
        return mixture, target

    def _damaged(self, rng: np.random.Generator, clean: Samples) -> tuple[Samples, Samples]:
        """Returns degraded speech and the original; without noise and reverberation."""
        speech = self._signal(self._spectrum(clean) * self._response(rng))
        speech = speech * self._gain(rng, speech, speech)
        return damage(rng, speech), speech

    def _gain(self, rng: np.random.Generator, measured: Samples, mixture: Samples) -> np.float32:
        """Returns the gain that sets `measured` to a random level without clipping the mixture."""
        mean, deviation, low, high = self.config.level_db
        level_db = float(np.clip(rng.normal(mean, deviation), low, high))
        gain = 10 ** (level_db / 20) / np.sqrt(active_power(measured) + 1e-12)
        return np.float32(min(gain, PEAK / (float(np.abs(mixture).max()) + 1e-9)))

    def _speech(self, rng: np.random.Generator) -> Samples:
        """Returns speech `(length,)`: a random excerpt, or several utterances with gaps if they are short."""
        out = np.zeros(self.length, np.float32)
        ratio = speed_ratio(rng) if rng.random() < self.config.speed_prob else None
        position = 0
        while position < self.length - self.sample_rate // 4:
            number = self.pools.speech.draw(rng)
            needed = self.length if ratio is None else self.length * ratio[1] // ratio[0] + 1
            start = random_start(rng, self.audio_cache.length(number), needed)
            samples = self.audio_cache.read(number, start, needed)
            if ratio is not None:
                samples = change_speed(samples, ratio)
            samples = samples[: self.length - position]
            # Utterances of different recordings are normalised to one level.
            out[position : position + len(samples)] = samples / np.sqrt(active_power(samples) + 1e-9)
            position += len(samples) + int(rng.uniform(*GAP_S) * self.sample_rate)
        return out

    def _noise(self, rng: np.random.Generator) -> Samples:
        if rng.random() < self.config.synthetic_prob or not len(self.pools.noise.numbers):
            if rng.random() < BABBLE_PROB and len(self.pools.speech.numbers):
                voices = rng.integers(BABBLE_VOICES[0], BABBLE_VOICES[1] + 1)
                babble = [self._speech(rng) * rng.uniform(0.3, 1) for _ in range(voices)]
                return np.asarray(np.sum(babble, axis=0), np.float32)
            family = self.config.synthetic_kinds[int(rng.integers(len(self.config.synthetic_kinds)))]
            return families.FAMILIES[family](rng, self.length, self.sample_rate)
        noise = self._recorded_noise(rng)
        if rng.random() < self.config.second_noise_prob:
            noise = noise + self._recorded_noise(rng) * np.float32(10 ** (rng.uniform(-15, 0) / 20))
        return noise

    def _recorded_noise(self, rng: np.random.Generator) -> Samples:
        """Returns an excerpt of a recording with mean power 1; a short recording is repeated."""
        ratio = noise_speed_ratio(rng) if rng.random() < self.config.speed_prob else None
        needed = self.length if ratio is None else self.length * ratio[1] // ratio[0] + 1

        def draw() -> Samples:
            number = self.pools.noise.draw(rng)
            return self.audio_cache.read(number, random_start(rng, self.audio_cache.length(number), needed), needed)

        samples = first_audible(draw, NOISE_DRAWS)
        if ratio is not None:
            samples = change_speed(samples, ratio)
        samples = np.resize(samples, self.length)
        return np.asarray(samples / np.sqrt(np.square(samples).mean() + SILENT_POWER), np.float32)

    def _pair(self, rng: np.random.Generator) -> tuple[Samples, Samples]:
        """Returns an excerpt of a ready mixture, zero-padded if it is short."""
        clean, noisy = self.pools.pairs[int(rng.integers(len(self.pools.pairs)))]
        start = random_start(rng, self.audio_cache.length(clean), self.length)
        out = np.zeros((2, self.length), np.float32)
        for row, number in zip(out, (noisy, clean), strict=True):
            samples = self.audio_cache.read(number, start, self.length)
            row[: len(samples)] = samples
        gain = self._gain(rng, out[0], out[0])
        return out[0] * gain, out[1] * gain

    def _room(self, rng: np.random.Generator) -> Room | None:
        if rng.random() >= self.config.reverb_prob:
            return None
        if rng.random() < self.config.synthetic_room_prob or not self._rooms:
            if self.config.shoebox_prob and rng.random() < self.config.shoebox_prob:
                return shoebox_room(rng, self.sample_rate)
            return random_room(rng, self.sample_rate)
        return self._rooms[int(rng.integers(len(self._rooms)))]

    def _response(self, rng: np.random.Generator) -> Samples:
        """Returns gains `(n_bins,)`, flat or coloured."""
        if rng.random() < self.config.equalise_prob:
            return random_equaliser(rng, self.n_bins, self.sample_rate)
        return np.ones(self.n_bins, np.float32)

    def _spectrum(self, samples: Samples) -> npt.NDArray[np.complex64]:
        return np.asarray(scipy.fft.rfft(samples, self.n_fft), np.complex64)

    def _signal(self, spectrum: npt.NDArray[np.complex64]) -> Samples:
        return np.asarray(scipy.fft.irfft(spectrum, self.n_fft), np.float32)[: self.length]
