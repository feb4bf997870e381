"""Test signals that are mixed on the fly: speech of a manifest in noise, at given signal-to-noise ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.audio_files import file_digest
from gtcrn_frontend.evaluation.manifest import SET_KEY, Manifest, audio_path, entries, load_manifest
from gtcrn_frontend.evaluation.noisy_set import Item, Recording, find_noise, plan_items, read_mixture
from gtcrn_frontend.evaluation.quality.pairs import Pair, at_measured_rate

NOISE = "noise"


@dataclass(frozen=True)
class Mixture:
    """A mixture that is made when it is read, resampled to the rate of the metrics."""

    item: Item

    @property
    def name(self) -> str:
        """Utterance and condition."""
        return f"{self.item.utterance.name}, {self.item.condition}"

    @property
    def group(self) -> str:
        """Path of the recording, which may be mixed at several ratios."""
        return str(self.item.utterance.path)

    def read(self) -> Pair:
        """See `PairSource`."""
        speech, mixture, rate = read_mixture(self.item)
        return at_measured_rate(self.item.utterance.path, (speech, rate), (mixture, rate))


def plan_mixtures(
    manifest: Manifest, noise: Sequence[Recording], snrs_db: Sequence[float | None], count: int, seed: int
) -> list[Mixture]:
    """Returns mixtures of random utterances, equally many at each ratio; the same for the same seed.

    Args:
        manifest: recordings of clean speech.
        noise: recordings to mix in.
        snrs_db: see `parse_snrs`.
        count: number of mixtures; fewer if every utterance is mixed at every ratio before.
        seed: selects the utterances, and the excerpt of noise for each.
    """
    mixtures: list[Mixture] = []
    for place, snr_db in enumerate(snrs_db):
        share = (count - place + len(snrs_db) - 1) // len(snrs_db)
        order = np.random.default_rng([seed, place]).permutation(len(manifest.utterances))
        chosen = [manifest.utterances[i] for i in sorted(order[: max(share, 0)].tolist())]
        mixtures += map(Mixture, plan_items(chosen, noise, [snr_db], seed))
    return mixtures


def load_speech_and_noise(manifest: Path, noise: Path | None) -> tuple[Manifest, list[Recording]]:
    """Returns the speech of a manifest and noise: of a folder, or else the manifest's entries of the set `noise`.

    Raises:
        ConfigError: the manifest is unusable, or there is no speech or no noise.
    """
    speech = load_manifest(manifest, transcripts=False)
    if noise is not None:
        return speech, find_noise(noise)
    folder = manifest if manifest.is_dir() else manifest.parent
    found = entries(manifest, lambda problem: None)  # reported with the speech already
    listed = [audio_path(entry, folder) for _, entry in found if entry.get(SET_KEY) == NOISE]
    if not listed:
        raise ConfigError(
            f"{manifest}: expected noise to mix in, found no entries of the set {NOISE!r}: give a folder of noise"
        )
    return speech, [Recording(path.resolve(), file_digest(path)) for path in listed]
