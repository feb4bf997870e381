"""`EnhanceAudio`: for `map_batches` of a Ray dataset with audio in it."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.whole_signals import WholeSignalSettings, enhance_signal
from gtcrn_frontend.config import DEFAULT_STRENGTH, EnhancerConfig, Strength
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.settings import check_keywords

Batch = dict[str, npt.NDArray[Any]]


class EnhanceAudio:
    """Enhances the audio of a batch; an actor of Ray that is made with it keeps its model loaded.

    `ray.data.read_audio(paths).map_batches(EnhanceAudio, fn_constructor_kwargs={"strength": 0.8}, num_cpus=1,
    concurrency=8)`; leave a CPU of the cluster for reading.

    Args:
        strength: weight of the enhanced signal, 0 to 1, or `auto`.
        amplitude: column of the samples, `(n,)` or `(channels, n)` a row, float32 or float64 in [-1, 1], or int16.
        sample_rate: column of the rates in Hz.
        **settings: model, engine and so on, see `EnhancerConfig`.

    Raises:
        ConfigError: a setting is out of range.
        ModelError: the model or the engine cannot be loaded.
    """

    def __init__(
        self,
        strength: Strength = DEFAULT_STRENGTH,
        amplitude: str = "amplitude",
        sample_rate: str = "sample_rate",
        **settings: Unpack[WholeSignalSettings],
    ) -> None:
        check_keywords(settings, WholeSignalSettings.__annotations__, "EnhanceAudio")
        self._config = EnhancerConfig(strength=strength, **settings)
        self._amplitude = amplitude
        self._sample_rate = sample_rate
        enhance_signal(np.zeros(0, np.float32), 16000, self._config)  # loads the model, while the actor starts

    def __call__(self, batch: Batch) -> Batch:
        """Returns the batch with its samples enhanced; shapes, types and other columns stay.

        Raises:
            AudioFormatError: a column is missing, or samples cannot be processed; the message names the row.
        """
        for name in (self._amplitude, self._sample_rate):
            if name not in batch:
                raise AudioFormatError(f"expected a column {name!r} in the batch, got {', '.join(batch)}")
        rows = enumerate(zip(batch[self._amplitude], batch[self._sample_rate], strict=True))
        enhanced = [self._enhanced(number, samples, int(rate)) for number, (samples, rate) in rows]
        column = np.empty(len(enhanced), object)
        column[:] = enhanced
        is_even = len({samples.shape for samples in enhanced}) == 1  # which Ray keeps as one array
        return batch | {self._amplitude: np.stack(enhanced) if is_even else column}

    def _enhanced(self, number: int, samples: npt.NDArray[Any], rate: int) -> npt.NDArray[Any]:
        try:
            return enhance_signal(np.asarray(samples), rate, self._config)
        except ValueError as error:  # AudioFormatError and ConfigError are
            raise AudioFormatError(f"row {number} of the batch: {error}") from error
