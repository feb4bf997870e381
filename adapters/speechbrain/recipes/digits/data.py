"""Datasets of digit strings: concatenates takes and mixes them with noise while loading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import speechbrain as sb
import torch
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.recipes.digits.prepare import PARTS, WORDS
from gtcrn_frontend.audio.mixing import first_audible, mix_at_snr, random_start
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.data.audio_cache import AudioCache, open_audio_cache

SAMPLE_RATE = GTCRN_SPEC.sample_rate
OUTPUT_KEYS = ["id", "sig", "clean", "words", "tokens", "condition"]


def dataio_prepare(
    manifests: str | Path, data_folder: str | Path, cache_folder: str | Path, parts: Sequence[str] = PARTS
) -> dict[str, Any]:
    """Returns the datasets of parts by name, of items with `OUTPUT_KEYS`.

    `sig` is the noisy and `clean` the clean signal, both `(n,) float32` at 16 kHz; `tokens` `(digits,) int64`
    are as in `WORDS` from 1 on, because 0 is the blank of CTC; `condition` is the SNR, or clean.

    Args:
        manifests: folder with train.json, valid.json and test.json.
        data_folder: what `{data_root}` stands for in them.
        cache_folder: for the decoded audio.
        parts: some of train, valid and test; none of them empty.

    Raises:
        ConfigError: a recording cannot be decoded.
    """
    replacements = {"data_root": str(data_folder)}
    entries = {part: sb.dataio.dataio.load_data_json(Path(manifests) / f"{part}.json", replacements) for part in parts}
    everything = [entry for part in parts for entry in entries[part].values()]
    paths = {path for entry in everything for path in (*entry["takes"], entry["noise"]) if path is not None}
    mixture = Mixture(open_audio_cache([Path(path) for path in sorted(paths)], Path(cache_folder), SAMPLE_RATE))

    @sb.utils.data_pipeline.takes("takes", "peaks", "gaps_s", "speed_percent", "room_db", "noise", "snr_db", "seed")  # type: ignore[untyped-decorator]
    @sb.utils.data_pipeline.provides("sig", "clean")  # type: ignore[untyped-decorator]
    def audio_pipeline(*entry: Any) -> Iterator[Tensor]:
        for samples in mixture(*entry):
            yield torch.from_numpy(samples)

    @sb.utils.data_pipeline.takes("words")  # type: ignore[untyped-decorator]
    @sb.utils.data_pipeline.provides("tokens")  # type: ignore[untyped-decorator]
    def text_pipeline(words: str) -> Tensor:
        return torch.tensor([1 + WORDS.index(word) for word in words.split()])

    items = [audio_pipeline, text_pipeline]
    return {part: sb.dataio.dataset.DynamicItemDataset(entries[part], items, OUTPUT_KEYS) for part in parts}


class Mixture:
    """Makes the signals of a manifest entry, the same ones every time."""

    def __init__(self, audio_cache: AudioCache) -> None:
        self.audio_cache = audio_cache

    def __call__(
        self,
        takes: Sequence[str],
        peaks: Sequence[float],
        gaps_s: Sequence[float],
        speed_percent: int,
        room_db: float | None,
        noise: str | None,
        snr_db: float | None,
        seed: int,
    ) -> tuple[F32, F32]:
        """Returns the noisy and the clean signal, `(n,) float32`; both scaled down if the noisy one would clip."""
        rng = np.random.default_rng(seed)
        parts = [_silence(gaps_s[0])]
        for take, peak, gap_s in zip(takes, peaks, gaps_s[1:], strict=True):
            samples = self.audio_cache.read(self.audio_cache.numbers[take])
            parts += [samples * np.float32(peak / (np.abs(samples).max() + 1e-6)), _silence(gap_s)]
        clean: F32 = np.concatenate(parts)
        if speed_percent != 100:
            clean = scipy.signal.resample_poly(clean, 100, speed_percent).astype(np.float32)
        if room_db is not None:
            clean = clean + rng.normal(0, 10 ** (room_db / 20), len(clean)).astype(np.float32)
        if noise is None or snr_db is None:
            return clean, clean
        number = self.audio_cache.numbers[noise]

        def draw() -> F32:
            start = random_start(rng, self.audio_cache.length(number), len(clean))
            return self.audio_cache.read(number, start, len(clean))

        return mix_at_snr(clean, np.resize(first_audible(draw), len(clean)), snr_db)


def _silence(seconds: float) -> F32:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
