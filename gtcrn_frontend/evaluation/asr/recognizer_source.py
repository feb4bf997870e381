"""`RecognizerSource`: how worker processes load a recogniser, and what identifies it in the result cache."""

from __future__ import annotations

import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.recognizer import Recognizer, Transcript

RecognizerFunction = Callable[[F32, int], Transcript | str]
"""`(samples, sample_rate) -> text`: samples `(n,) float32` in [-1, 1], rate in Hz."""


@dataclass(frozen=True)
class RecognizerSource:
    """A recogniser that worker processes load.

    Attributes:
        name: how reports call it.
        identity: recognisers with equal identities give equal results; part of the key in the result cache.
        make: loads and returns the recogniser, given a folder for temporary files; must be picklable. Workers may be
            killed at any time; the folder is deleted after they end.
        settings: of the recogniser by name, as reports show them; empty if unknown.
    """

    name: str
    identity: str
    make: Callable[[str], Recognizer]
    settings: tuple[tuple[str, str], ...] = ()


def as_source(recognizer: RecognizerSource | RecognizerFunction) -> RecognizerSource:
    """Returns the source of a recogniser; a function is pickled to get to the worker processes.

    Nothing identifies the results of a function, whose code may change: they are not found in the cache again.

    Raises:
        ConfigError: the recogniser is neither a source nor a function that worker processes can import.
    """
    if isinstance(recognizer, RecognizerSource):
        return recognizer
    name = getattr(recognizer, "__qualname__", type(recognizer).__qualname__)
    if not callable(recognizer):
        raise ConfigError(f"expected a recogniser (samples, sample_rate) -> text, got {type(recognizer).__name__}")
    module = getattr(recognizer, "__module__", "")
    is_interactive = module == "__main__" and not hasattr(sys.modules["__main__"], "__file__")
    try:
        pickle.dumps(recognizer)
    except Exception as error:
        raise ConfigError(f"expected a recogniser that can be pickled for worker processes: {error}") from error
    if is_interactive:
        raise ConfigError(f"expected a function of a module, {name} is interactive: put it in a file and import it")
    return RecognizerSource(name, f"function {uuid.uuid4().hex}", _Loaded(recognizer))


@dataclass(frozen=True)
class _Loaded:
    """A function as a recogniser."""

    function: RecognizerFunction

    def __call__(self, temporary: str) -> Recognizer:
        return self._recognise

    def _recognise(self, samples: F32, sample_rate: int) -> Transcript:
        result = self.function(samples, sample_rate)
        if isinstance(result, Transcript):
            return result
        if not isinstance(result, str):
            raise ModelError(f"expected text from the recogniser, got {type(result).__name__}")
        return Transcript(" ".join(result.split()))
