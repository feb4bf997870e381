"""Training batches of a recogniser: features of utterances, in noise for the robust variant, with augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from corpora import Noises, mixture
from tasks import Task
from torch import Tensor, nn

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import CtcRecognizer
from gtcrn_frontend.adapters.speechbrain.recipes.digits.fbank import FLOOR, Fbank

Samples = npt.NDArray[np.float32]

EXCERPTS = 3
LEVEL_DB = (-12.0, 6.0)
EQUALISER_DB = 3.0
EQUALISER_POINTS = 6
WARP = (0.9, 1.1)  # of the frequency axis (vocal tract length perturbation)
BAND_MASKS, MAX_MASKED_BANDS = 2, 1 / 6
FRAMES_PER_TIME_MASK, MAX_MASKED_FRAMES = 200, 25
SILENCE = float(np.log(FLOOR))
STATISTICS_BATCHES = 8


@dataclass(frozen=True)
class Background:
    """Background noise of the training utterances.

    Attributes:
        prob: probability of noise.
        snr_db: lowest and highest.
    """

    prob: float
    snr_db: tuple[float, float]


BACKGROUNDS = {
    # Noise of quiet rooms, because a recogniser of four speakers overfits to digital silence.
    "clean": Background(0.5, (20.0, 45.0)),
    "robust": Background(0.85, (-5.0, 20.0)),
}


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        features: `(B, T, C)`, padded.
        frames: `(B,)`, number of frames of each utterance.
        symbols: references of all utterances, concatenated.
        counts: `(B,)`, number of symbols of each utterance.
    """

    features: Tensor
    frames: Tensor
    symbols: Tensor
    counts: Tensor


class Batches:
    """Draws batches; the same for the same seed and step.

    Features are computed once for each utterance and each of a few noise excerpts, and then kept in memory.
    """

    def __init__(self, task: Task, noise: Noises, background: Background, seed: int) -> None:
        self.task, self.noise, self.background, self.seed = task, noise, background, seed
        self.fbank = Fbank(task.network.n_mels)
        self._kept: dict[tuple[int, int], tuple[Tensor, tuple[int, ...]]] = {}

    def draw(self, step: int, *, changed: bool = True) -> Batch:
        """Returns the batch of a step; `changed` applies `random_change`."""
        rng = np.random.default_rng((self.seed, step))
        numbers = self.task.draw(rng)
        excerpts = rng.integers(0, EXCERPTS, len(numbers)).tolist()
        examples = [self._example(number, excerpt) for number, excerpt in zip(numbers, excerpts, strict=True)]
        rows = [random_change(row, rng) if changed else row for row, _ in examples]
        return Batch(
            nn.utils.rnn.pad_sequence(rows, batch_first=True),
            torch.tensor([len(row) for row in rows]),
            torch.tensor([symbol for _, symbols in examples for symbol in symbols]),
            torch.tensor([len(symbols) for _, symbols in examples]),
        )

    @torch.no_grad()
    def features(self, samples: Samples) -> Tensor:
        """Returns the features `(T, C)` of one utterance."""
        features: Tensor = self.fbank(torch.from_numpy(samples)[None])[0]
        return features

    def _example(self, number: int, excerpt: int) -> tuple[Tensor, tuple[int, ...]]:
        """The features and symbols of an utterance, in one of its excerpts of noise."""
        if (number, excerpt) not in self._kept:
            utterance = self.task.training(number)
            samples = utterance.samples
            rng = np.random.default_rng((self.seed, number, excerpt))
            if rng.random() < self.background.prob:
                kind = Noises.KINDS[int(rng.integers(len(Noises.KINDS)))]
                samples = mixture(
                    samples, self.noise.draw(kind, rng, len(samples)), rng.uniform(*self.background.snr_db)
                )
            self._kept[number, excerpt] = self.features(samples).half(), utterance.symbols
        features, symbols = self._kept[number, excerpt]
        return features.float(), symbols


def random_change(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Returns features with random vocal tract length, level and tilt, and masked bands and times (SpecAugment).

    Digital silence stays digital silence at any level.
    """
    frames, bands = features.shape
    features = _warped(features, rng.uniform(*WARP))
    points_db = rng.uniform(*LEVEL_DB) + rng.normal(0, EQUALISER_DB, EQUALISER_POINTS)
    curve_db = np.interp(np.arange(bands), np.linspace(0, bands, EQUALISER_POINTS), points_db)
    louder = features + torch.from_numpy(curve_db * np.log(10) / 10).float()
    out = torch.where(features <= SILENCE + 0.05, features, louder.clamp(min=SILENCE))
    mean = float(out.mean())
    for _ in range(BAND_MASKS):
        width = int(rng.integers(0, int(bands * MAX_MASKED_BANDS) + 1))
        start = int(rng.integers(0, bands - width + 1))
        out[:, start : start + width] = mean
    for _ in range(max(frames // FRAMES_PER_TIME_MASK, 1)):
        width = int(rng.integers(0, min(MAX_MASKED_FRAMES, frames // 8) + 1))
        start = int(rng.integers(0, frames - width + 1))
        out[start : start + width] = mean
    return out


def _warped(features: Tensor, factor: float) -> Tensor:
    """Returns features whose band i is band i * factor of the input, interpolated."""
    bands = features.shape[1]
    places = (torch.arange(bands) * factor).clamp(max=bands - 1)
    low = places.floor().long().clamp(max=bands - 2)
    fraction = places - low
    return features[:, low] * (1 - fraction) + features[:, low + 1] * fraction


def set_statistics(network: CtcRecognizer, batches: Batches) -> None:
    """Sets the network's mean and standard deviation of the features, over frames that are not digital silence."""
    rows = []
    for number in range(STATISTICS_BATCHES):
        batch = batches.draw(2**31 + number, changed=False)
        rows += [row[:count] for row, count in zip(batch.features, batch.frames.tolist(), strict=True)]
    values = torch.cat(rows)[:, : network.config.used_mels]
    values = values[values.mean(dim=1) > SILENCE + 1]
    network.mean.copy_(values.mean(dim=0))
    network.scale.copy_(1 / values.std(dim=0).clamp(min=0.5))
