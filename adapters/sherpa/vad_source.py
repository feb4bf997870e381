"""`vad_source`: sherpa-onnx's Silero VAD as a detector that `calibrate` measures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gtcrn_frontend.adapters.sherpa.library import sherpa_onnx
from gtcrn_frontend.adapters.sherpa.model_check import check_silero_vad
from gtcrn_frontend.adapters.sherpa.silero_model import PACKAGE, WHERE, installed_silero_vad
from gtcrn_frontend.adapters.sherpa.vad_config import SAMPLE_RATE
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.recognizer import Transcript
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.voice_activity import segments_text
from gtcrn_frontend.evaluation.audio_files import file_digest

_BUFFER_S = 60.0


def vad_source(model: str | Path) -> RecognizerSource:
    """Returns a detector for `calibrate(vad=...)`: Silero VAD with sherpa-onnx's default settings.

    Args:
        model: ONNX file of Silero VAD, such as `silero_vad.onnx` of sherpa-onnx's releases; `silero-vad` is the file
            that the package of this name ships.

    Raises:
        ConfigError: `silero-vad` is not installed.
        ModelError: sherpa-onnx cannot run the file.
        ImportError: sherpa-onnx is not installed.
    """
    found = installed_silero_vad() if str(model) == PACKAGE else Path(model)
    if found is None:
        raise ConfigError(f"expected the ONNX file of Silero VAD, got {model}, which is not installed: {WHERE}")
    path = found.resolve()
    defaults = sherpa_onnx().SileroVadModelConfig()
    check_silero_vad(path)
    names = ("threshold", "min_silence_duration", "min_speech_duration", "max_speech_duration")
    settings = tuple((name, f"{getattr(defaults, name):g}") for name in names)
    identity = f"silero vad {file_digest(path)} {version('sherpa-onnx')} {settings}"
    return RecognizerSource(path.name, identity, _Loader(str(path)), settings)


@dataclass(frozen=True)
class _Loader:
    model: str

    def __call__(self, temporary: str) -> SileroDetector:
        return SileroDetector(self.model)


class SileroDetector:
    """Finds speech in whole signals; its text is that of `voice_activity.segments_text`."""

    def __init__(self, model: str) -> None:
        library = sherpa_onnx()
        config = library.VadModelConfig()
        config.silero_vad.model = model
        config.sample_rate = SAMPLE_RATE
        self._window: int = config.silero_vad.window_size
        self._detector: Any = library.VoiceActivityDetector(config, buffer_size_in_seconds=_BUFFER_S)

    def __call__(self, samples: F32, sample_rate: int) -> Transcript:
        """Returns the segments with speech in samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        detector, window, segments = self._detector, self._window, []
        at_16k = samples if sample_rate == SAMPLE_RATE else resampled(samples, sample_rate, SAMPLE_RATE)
        padded = np.concatenate([at_16k, np.zeros(-len(at_16k) % window, np.float32)])
        detector.reset()
        for start in range(0, len(padded), window):
            detector.accept_waveform(padded[start : start + window])
        detector.flush()
        while not detector.empty():
            found = detector.front
            segments.append((found.start / SAMPLE_RATE, (found.start + len(found.samples)) / SAMPLE_RATE))
            detector.pop()
        return Transcript(segments_text(segments))
