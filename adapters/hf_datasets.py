"""`EnhanceBatch`: enhancement of the audio column of a Hugging Face dataset, by `map`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from gtcrn_frontend.adapters.whole_signals import WholeSignalSettings, enhance_signal
from gtcrn_frontend.config import DEFAULT_STRENGTH, EnhancerConfig, Strength
from gtcrn_frontend.corpus.encoded import enhance_encoded
from gtcrn_frontend.errors import AudioFormatError, GtcrnFrontendError
from gtcrn_frontend.settings import check_keywords


class EnhanceBatch:
    """Enhances the audio of a batch: `dataset.map(EnhanceBatch(strength=0.8), batched=True, num_proc=8)`.

    It takes what a dataset has: files (`Audio(decode=False)`: path or bytes), which become files of the same format;
    decoded audio (`Audio()`: an `AudioDecoder`, or a dict with `array` and `sampling_rate`), which becomes a dict with
    `array`, float32, and `sampling_rate`. Each row has its own rate and number of channels. The library caches the
    result by the settings, and each of its processes loads the model once.

    Args:
        strength: weight of the enhanced signal, 0 to 1, or `auto`.
        column: of the audio.
        **settings: model, engine and so on, see `EnhancerConfig`.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(
        self, strength: Strength = DEFAULT_STRENGTH, column: str = "audio", **settings: Unpack[WholeSignalSettings]
    ) -> None:
        check_keywords(settings, WholeSignalSettings.__annotations__, "EnhanceBatch")
        self._config = EnhancerConfig(strength=strength, **settings)
        self._column = column

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Returns the column with its audio enhanced; rows without audio (None) stay.

        Raises:
            AudioFormatError: the column is missing, or audio cannot be read or processed; the message names the row.
        """
        if self._column not in batch:
            raise AudioFormatError(f"expected a column {self._column!r} in the batch, got {', '.join(batch)}")
        return {self._column: [self._row(number, value) for number, value in enumerate(batch[self._column])]}

    def _row(self, number: int, value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        try:
            if hasattr(value, "get_all_samples"):  # torchcodec's decoder
                samples = value.get_all_samples()
                array = np.asarray(samples.data, np.float32)
                return self._decoded(array[0] if len(array) == 1 else array, int(samples.sample_rate))
            if isinstance(value, Mapping) and value.get("array") is not None:
                return {**value, **self._decoded(np.asarray(value["array"], np.float32), int(value["sampling_rate"]))}
            if isinstance(value, Mapping) and (value.get("bytes") or value.get("path")):
                return self._encoded(value)
        except GtcrnFrontendError as error:
            name = (value.get("path") if isinstance(value, Mapping) else None) or "audio"
            raise AudioFormatError(f"row {number} of the batch, {name}: {error}") from error
        raise AudioFormatError(
            f"row {number} of the batch: expected audio as a decoder, or a dict with array and sampling_rate, or with "
            f"bytes or path, got {type(value).__name__}"
        )

    def _decoded(self, array: Any, rate: int) -> dict[str, Any]:
        return {"array": enhance_signal(array, rate, self._config), "sampling_rate": rate}

    def _encoded(self, value: Mapping[str, Any]) -> dict[str, Any]:
        path = value.get("path")
        content = value.get("bytes") or Path(path or "")
        enhanced, _ = enhance_encoded(content, self._config, Path(path or "").suffix)
        return {"bytes": enhanced, "path": Path(path).name if path else None}
