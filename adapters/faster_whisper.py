"""`FasterWhisperRecognizer`: Whisper models in CTranslate2's form, run by faster-whisper, as a `Recognizer`."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from gtcrn_frontend.adapters.recognizer_names import (
    digest,
    flag,
    installed_version,
    number,
    numbers,
    optional,
    parse_options,
    settings_shown,
    split_options,
    whole,
    words,
)
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.recognizer import Transcript
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.audio_files import file_digest
from gtcrn_frontend.install_hint import install_hint

RATE_HZ = 16_000
KIND = "faster-whisper"
WEIGHTS = "model.bin"

MODEL_OPTIONS = {"device": words, "compute_type": words, "cpu_threads": whole}
"""Options of `faster_whisper.WhisperModel`."""
DECODING_OPTIONS = {
    "language": optional(words),
    "task": words,
    "beam_size": whole,
    "best_of": whole,
    "patience": number,
    "length_penalty": number,
    "repetition_penalty": number,
    "no_repeat_ngram_size": whole,
    "temperature": numbers,
    "compression_ratio_threshold": optional(number),
    "log_prob_threshold": optional(number),
    "no_speech_threshold": optional(number),
    "condition_on_previous_text": flag,
    "initial_prompt": optional(words),
    "hotwords": optional(words),
    "suppress_blank": flag,
    "without_timestamps": flag,
    "word_timestamps": flag,
    "max_new_tokens": optional(whole),
    "chunk_length": optional(whole),
    "hallucination_silence_threshold": optional(number),
    "vad_filter": flag,
}
"""Options of `faster_whisper.WhisperModel.transcribe`."""


class FasterWhisperRecognizer:
    """Transcribes whole utterances with faster-whisper.

    >>> FasterWhisperRecognizer("models/whisper-base.en", beam_size=1)(samples, 16000).text  # doctest: +SKIP
    'Seven, three, one.'

    Confidence is the mean probability per token (geometric).

    Args:
        model: a folder with model.bin, or the name of a model that faster-whisper has fetched before; nothing is
            downloaded.
        settings: any of `MODEL_OPTIONS` and `DECODING_OPTIONS`; others have faster-whisper's own defaults.

    Raises:
        ConfigError: there is no such model or setting.
        ModelError: faster-whisper is not installed, or cannot load the model.
    """

    def __init__(self, model: str | Path, **settings: Any) -> None:
        whisper = _package()
        known = default_settings()
        if unknown := settings.keys() - known.keys():
            raise ConfigError(f"{KIND} has no option {min(unknown)!r}; expected one of {', '.join(known)}")
        folder = model_folder(str(model))
        import ctranslate2

        # Above temperature 0 tokens are drawn: the same ones again in a process that hears the same.
        ctranslate2.set_random_seed(0)
        try:
            self._model = whisper.WhisperModel(
                str(folder), **{name: value for name, value in settings.items() if name in MODEL_OPTIONS}
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(f"{folder}: {KIND} cannot load this model: {error}") from error
        self._decoding = {name: value for name, value in settings.items() if name in DECODING_OPTIONS}

    def __call__(self, samples: npt.NDArray[np.float32], sample_rate: int) -> Transcript:
        """Returns the transcript of samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        if sample_rate != RATE_HZ:
            samples = resampled(samples, sample_rate, RATE_HZ)
        if not len(samples):
            return Transcript("")
        found = list(self._model.transcribe(samples, **self._decoding)[0])
        tokens = sum(len(segment.tokens) for segment in found)
        log_prob = sum(segment.avg_logprob * len(segment.tokens) for segment in found)
        text = " ".join(" ".join(segment.text for segment in found).split())
        return Transcript(text, confidence=math.exp(min(0.0, log_prob / tokens)) if tokens else None)


def default_settings() -> dict[str, object]:
    """Returns the defaults of the installed faster-whisper, by name, of the options that can be named here.

    Raises:
        ModelError: faster-whisper is not installed.
    """
    model = _package().WhisperModel
    return {
        name: found[name].default
        for options, function in ((MODEL_OPTIONS, model.__init__), (DECODING_OPTIONS, model.transcribe))
        for found in (inspect.signature(function).parameters,)
        for name in options
        if name in found
    }


def model_folder(name: str) -> Path:
    """Returns the folder of a model, given as such or by a name that faster-whisper knows; downloads nothing.

    Raises:
        ConfigError: it is not on this machine.
        ModelError: faster-whisper is not installed.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / WEIGHTS).is_file():
            raise ConfigError(f"{folder}: expected a Whisper model in CTranslate2's form, found no {WEIGHTS} there")
        return folder
    try:
        return Path(_package().download_model(name, local_files_only=True))
    except (ValueError, OSError) as error:  # no such name; known, but not in the cache
        raise ConfigError(
            f"{KIND}: expected the folder of a model, or the name of one that was fetched before, got {name!r}; "
            f"to fetch it: python -c \"import faster_whisper; faster_whisper.download_model('{name}')\""
        ) from error


def source(text: str) -> RecognizerSource:
    """Returns the recogniser of `NAME_OR_FOLDER[,option=value...]`.

    Raises:
        ConfigError: there is no such model or option.
        ModelError: faster-whisper is not installed.
    """
    what, options = split_options(text)
    defaults = default_settings()
    kinds: Mapping[str, Any] = {**MODEL_OPTIONS, **DECODING_OPTIONS}
    named = parse_options(options, {name: kinds[name] for name in defaults}, KIND)
    folder = model_folder(what).resolve()
    shown = settings_shown({**defaults, **named})
    versions = [f"{package} {installed_version(package)}" for package in ("faster-whisper", "ctranslate2")]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    contents = [f"{path.relative_to(folder)} {file_digest(path)}" for path in files]
    identity = digest(*versions, *shown, *contents)
    return RecognizerSource(f"{KIND}:{text}", identity, partial(_load, str(folder), named), shown)


def _load(folder: str, settings: dict[str, Any], temporary: str) -> FasterWhisperRecognizer:
    # faster-whisper makes progress bars, and tqdm a lock across processes for them, which would be left behind, with a
    # warning, when this process is killed.
    tqdm.set_lock(threading.RLock())
    return FasterWhisperRecognizer(folder, **settings)


def _package() -> Any:
    try:
        import faster_whisper
    except ImportError as error:
        raise ModelError(f"{KIND} needs {error.name}: {install_hint('whisper')}") from error
    return faster_whisper
