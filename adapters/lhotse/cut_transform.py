"""`RandomEnhance`: enhancement of a part of the cuts, as a cut transform of Lhotse's datasets."""

from __future__ import annotations

import random
from typing import Unpack

from lhotse import CutSet

from gtcrn_frontend.adapters.lhotse.methods import StrengthOrRange, enhance
from gtcrn_frontend.adapters.whole_signals import WholeSignalSettings
from gtcrn_frontend.errors import ConfigError


class RandomEnhance:
    """Enhances each cut of a batch with a probability, so that a recogniser is trained on enhanced and raw speech.

    For `K2SpeechRecognitionDataset(cut_transforms=[RandomEnhance(p=0.5, strength=(0.3, 1.0))])` and the like, behind
    the transforms that add noise: each epoch draws anew.

    Args:
        p: probability of a cut to be enhanced.
        strength: a strength, `auto`, or a range to draw from.
        randgen: generator; a new one, seeded by the system, if None.
        preserve_id: keeps the ids of enhanced cuts.
        **settings: model, engine and so on, see `EnhancerConfig`.

    Raises:
        ConfigError: `p` is not a probability. Settings are checked with the first cut.
    """

    def __init__(
        self,
        p: float = 0.5,
        strength: StrengthOrRange = (0.0, 1.0),
        randgen: random.Random | None = None,
        preserve_id: bool = False,
        **settings: Unpack[WholeSignalSettings],
    ) -> None:
        if not 0 <= p <= 1:
            raise ConfigError(f"p: expected a probability from 0 to 1, got {p}")
        self.p = p
        self.strength = strength
        self.random = randgen
        self.preserve_id = preserve_id
        self.settings = settings

    def __call__(self, cuts: CutSet) -> CutSet:
        """Returns the cuts in order, some of them enhanced while their audio is loaded."""
        draw = self.random = self.random or random.Random()
        return CutSet.from_cuts(
            enhance(
                cut,
                self.strength,
                affix_id=not self.preserve_id,
                seed=draw.getrandbits(32),
                **self.settings,
            )
            if draw.random() < self.p
            else cut
            for cut in cuts
        )
