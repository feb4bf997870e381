"""Knowledge distillation: trained models whose output on the training mixtures is a second target.

Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015; here the outputs are spectra,
weighted by `combined.teacher_trust`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.enhancer import Enhancer

Samples = npt.NDArray[np.float32]


class Teacher:
    """Mean output of one or more models; can be pickled."""

    def __init__(self, models: Sequence[str], sample_rate: int) -> None:
        """Loads the models.

        Args:
            models: names or paths.
            sample_rate: of the mixtures in Hz.

        Raises:
            ModelError: no such model.
        """
        self._enhancers = [Enhancer(model, sample_rate=sample_rate, strength=1.0) for model in models]

    def __call__(self, noisy: Samples) -> Samples:
        """Returns the enhanced signals `(B, n) float32`, at full strength."""
        outputs = [np.stack([enhancer.enhance(row) for row in noisy]) for enhancer in self._enhancers]
        return np.asarray(np.mean(outputs, axis=0), np.float32)
