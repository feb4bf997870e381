"""Test signals mixed on the fly: speech of a manifest in noise, at given signal-to-noise ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.manifest import SET_KEY, Manifest, audio_path, entries, load_manifest
from gtcrn_frontend.evaluation.noisy_set import Item, Recording, file_digest, find_noise, plan_items, read_mixture
from gtcrn_frontend.evaluation.quality.pairs import Pair, at_measured_rate

NOISE = "noise"


@dataclass(frozen=True)
class Mixture:
    """A mixture that is made when it is read; higher rates are lowered to the measures' rate."""

    item: Item

    @property
    def name(self) -> str:
        """The recording and the condition."""
        return f"{self.item.utterance.name}, {self.item.condition}"

    @property
    def group(self) -> str:
        """The recording, which may be mixed at several ratios."""
        return str(self.item.utterance.path)

    def read(self) -> Pair:
        """See `PairSource`."""
        speech, mixture, rate = read_mixture(self.item)
        return at_measured_rate(self.item.utterance.path, (speech, rate), (mixture, rate))


def plan_mixtures(
    manifest: Manifest, noise: Sequence[Recording], snrs_db: Sequence[float | None], count: int, seed: int
) -> list[Mixture]:
    """Returns mixtures of random recordings, as many at each ratio; always the same for a seed.

    Args:
        manifest: recordings of clean speech.
        noise: to be mixed in.
        snrs_db: see `parse_snrs`.
        count: of mixtures; fewer where every recording is mixed at every ratio before.
        seed: decides which recordings are taken, and which excerpt of which noise goes with each.
    """
    mixtures: list[Mixture] = []
    for place, snr_db in enumerate(snrs_db):
        share = (count - place + len(snrs_db) - 1) // len(snrs_db)
        order = np.random.default_rng([seed, place]).permutation(len(manifest.utterances))
        chosen = [manifest.utterances[i] for i in sorted(order[: max(share, 0)].tolist())]
        mixtures += map(Mixture, plan_items(chosen, noise, [snr_db], seed))
    return mixtures


def load_material(manifest: Path, noise: Path | None) -> tuple[Manifest, list[Recording]]:
    """Returns clean speech and noise: of the folder, or else what the manifest has under the set `noise`.

    Raises:
        ConfigError: no manifest, no speech or no noise.
    """
    speech = load_manifest(manifest, transcripts=False)
    if noise is not None:
        return speech, find_noise(noise)
    folder = manifest if manifest.is_dir() else manifest.parent
    found = entries(manifest, lambda problem: None)  # they are among those of the speech already
    listed = [audio_path(entry, folder) for _, entry in found if entry.get(SET_KEY) == NOISE]
    if not listed:
        raise ConfigError(
            f"{manifest}: expected noise to mix in, found no entries of the set {NOISE!r}: give --noise DIR"
        )
    return speech, [Recording(path.resolve(), file_digest(path)) for path in listed]
