"""Whisper through faster-whisper, for tables: texts are kept, so that the same run again is free."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from corpora import SAMPLE_RATE
from faster_whisper import WhisperModel

from gtcrn_frontend.audio.resampler import resampled

Samples = npt.NDArray[np.float32]


class Transcriber:
    """Whisper through faster-whisper, its texts kept in a file."""

    def __init__(self, folder: str, compute_type: str, cache_file: Path, settings: dict[str, object]) -> None:
        self._model = WhisperModel(folder, device="cpu", cpu_threads=1, compute_type=compute_type)
        self._settings = {"compute_type": compute_type, **settings}
        self._options = settings
        self._file = cache_file
        self._known: dict[str, str] = {}
        if cache_file.is_file():
            for line in cache_file.read_text(encoding="utf-8").splitlines():
                self._known.update(json.loads(line))

    def __call__(self, key: str, make: Callable[[], tuple[Samples, int]]) -> str:
        """Returns the text of what `make()` returns, samples and their rate in Hz; it is called for new keys only."""
        key = f"{key} {self._settings}"
        if key not in self._known:
            samples, rate = make()
            samples = samples if rate == SAMPLE_RATE else resampled(samples, rate, SAMPLE_RATE)
            segments, _ = self._model.transcribe(samples, language="en", **self._options)  # type: ignore[arg-type]
            self._known[key] = " ".join(segment.text.strip() for segment in segments)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: self._known[key]}) + "\n")
        return self._known[key]
