"""Third-party recognisers by short name, beside the project's own; they transcribe sentences, results are cached."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from corpora import SAMPLE_RATE

from gtcrn_frontend.adapters.recognizer_names import named_source
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.recognizer import Recognition, Recognizer
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors
from gtcrn_frontend.evaluation.result_cache import ResultCache
from gtcrn_frontend.weights.registry import cache_folder

TASK = "characters"  # whose utterances are whole sentences
UNIT = "word"


@cache
def source(name: str) -> RecognizerSource:
    """Returns the recogniser of a short name, such as `faster-whisper:models/base.en,beam_size=1`.

    Raises:
        ConfigError: the name is not a short name, or what it names does not exist.
        ModelError: a package is missing.
    """
    found = named_source(name)
    if found is None:
        raise ConfigError(f"expected faster-whisper:NAME_OR_FOLDER or openai:URL, got {name!r}")
    return found


def transcripts(name: str, signals: Sequence[npt.NDArray[np.float32]]) -> list[str]:
    """Returns the transcripts of signals `(n,) float32` at 16 kHz, from the cache where they are known."""
    cached, texts = _cache(), []
    for samples in signals:
        key = hashlib.sha256(samples.tobytes()).hexdigest()
        found = cached.get(key, source(name).identity, "as it is")
        if found is None:
            began = time.perf_counter()
            text = _recognizer(name)(samples, SAMPLE_RATE).text
            found = Recognition(text, time.perf_counter() - began, 0.0)
            cached.put(key, source(name).identity, "as it is", found)
        texts.append(found.text)
    return texts


def errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Returns the word errors after Whisper's normalisation for English of both texts."""
    normalised = _english()
    return count_errors(normalised(reference), normalised(hypothesis), UNIT)


@cache
def _english() -> Normalisation:
    return Normalisation.from_text("english")


@cache
def _recognizer(name: str) -> Recognizer:
    return source(name).make("")


@cache
def _cache() -> ResultCache[Recognition]:
    return ResultCache(cache_folder() / "benchmarks", Recognition)
