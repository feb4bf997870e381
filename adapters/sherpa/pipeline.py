"""`load_pipeline`: a recogniser of sherpa-onnx with a front-end, as a file describes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from gtcrn_frontend.adapters.sherpa.config import PipelineConfig
from gtcrn_frontend.adapters.sherpa.factory_args import factory
from gtcrn_frontend.adapters.sherpa.model_check import CONTRACTS, check_model
from gtcrn_frontend.adapters.sherpa.results import Result, Segment
from gtcrn_frontend.adapters.sherpa.sessions import OfflineSession, OnlineSession, Session, VadSession, decode
from gtcrn_frontend.adapters.sherpa.streams import whole_rate
from gtcrn_frontend.adapters.sherpa.subprocess_check import try_factory
from gtcrn_frontend.adapters.sherpa.transcriber import is_online
from gtcrn_frontend.adapters.sherpa.vad_config import VadConfig
from gtcrn_frontend.adapters.sherpa.wrap import with_frontend
from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, GtcrnFrontendError, ModelError


def load_pipeline(path: str | Path, *, trial: bool = True) -> Pipeline:
    """Returns the pipeline that a file describes, models loaded.

    Examples:
        >>> pipeline = load_pipeline("pipeline.yaml")  # doctest: +SKIP
        >>> pipeline.transcribe(samples, 16000).text  # doctest: +SKIP
        'seven three one'

    Args:
        path: YAML with the sections `recognizer`, and, as wanted, `frontend`, `vad`, `endpoint` and `hotwords`.
        trial: load models whose contract is not known in a child process first: sherpa-onnx might end it. False saves
            that time for models that are known to load.

    Raises:
        ConfigError: something in the file does not exist or does not fit; names file and key.
        ImportError: sherpa-onnx is not installed.
        ModelError: a model cannot be loaded, or sherpa-onnx would end the process over it.
    """
    config = PipelineConfig.from_yaml(path)
    try:
        return Pipeline.from_config(config, trial=trial)
    except GtcrnFrontendError as error:
        raise type(error)(f"{path}: {error}") from error


class Pipeline:
    """A recogniser with a front-end, ready for any number of signals.

    Args:
        config: what it is made of; of the recogniser, hotwords count only.
        host: the recogniser of sherpa-onnx, without a front-end.

    Raises:
        ModelError: the model of the front-end cannot be loaded.
    """

    def __init__(self, config: PipelineConfig, host: Any) -> None:
        self._config = config
        self._host = host
        self._enhancer = Enhancer.from_config(config.frontend) if config.frontend else None  # keeps the model loaded
        # A detector has the front-end itself, and the recogniser behind it has none.
        self._recognizer = with_frontend(host, self._enhancer) if self._enhancer and not config.vad else host

    @classmethod
    def from_config(cls, config: PipelineConfig, *, trial: bool = True) -> Pipeline:
        """Returns the pipeline that a config describes, models loaded; see `load_pipeline`.

        Raises:
            ImportError: sherpa-onnx is not installed.
            ModelError: a model cannot be loaded, or sherpa-onnx would end the process over it.
        """
        if config.frontend:
            Enhancer.from_config(config.frontend)  # what is wrong with it is found before the recogniser is loaded
        if config.vad:
            config.vad.check_model(trial=trial)
        if config.factory in CONTRACTS:
            check_model(config.factory, config.arguments)
        elif trial:
            try_factory(config.factory, config.arguments)
        try:
            host = factory(config.factory)(**config.arguments)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:  # what it raises instead of exiting
            raise ModelError(f"{config.factory} fails: {error}") from error
        return cls(config, host)

    @property
    def config(self) -> PipelineConfig:
        """What it is made of."""
        return self._config

    @property
    def recognizer(self) -> Any:
        """The recogniser of sherpa-onnx, with the front-end in its streams; behind a detector, without."""
        return self._recognizer

    @property
    def is_online(self) -> bool:
        """Whether results come while audio arrives."""
        return is_online(self._recognizer)

    def without_frontend(self) -> Pipeline:
        """Returns a pipeline with the same recogniser, not loaded again, that hears the audio as it is."""
        return type(self)(dataclasses.replace(self._config, frontend=None), self._host)

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int) -> Result:
        """Returns what is heard in a whole signal.

        Args:
            samples: `(n,)`, n >= 0: floats in [-1, 1] or int16.
            sample_rate: in Hz, 8,000 to 192,000.

        Raises:
            AudioFormatError: samples or rate cannot be processed.
        """
        return self.transcribe_many([samples], sample_rate)[0]

    def transcribe_many(self, signals: Sequence[npt.ArrayLike], sample_rate: int) -> list[Result]:
        """Returns what is heard in each of several signals, decoded in parallel; see `transcribe`."""
        sessions = [self.session(sample_rate) for _ in signals]
        lengths = []
        for session, samples in zip(sessions, signals, strict=True):
            session.accept_waveform(samples)
            session.input_finished()
            lengths.append(len(samples))  # type: ignore[arg-type]  # what was accepted has a length
        segments = self.decode(sessions)
        return [
            Result(tuple(segment for segment in found if segment.is_final), length / sample_rate)
            for found, length in zip(segments, lengths, strict=True)
        ]

    def stream(self, chunks: Iterable[npt.ArrayLike], sample_rate: int) -> Iterator[Segment]:
        """Yields partial and final results while chunks of one signal arrive.

        Args:
            chunks: `(n,)` each, n >= 0: floats in [-1, 1] or int16.
            sample_rate: in Hz, 8,000 to 192,000.

        Raises:
            AudioFormatError: samples or rate cannot be processed.
        """
        session = self.session(sample_rate)
        for chunk in chunks:
            session.accept_waveform(chunk)
            yield from self.decode([session])[0]
        session.input_finished()
        yield from self.decode([session])[0]

    def session(self, sample_rate: int) -> Session:
        """Returns a new session for one signal, to be given to `decode` with others.

        Raises:
            AudioFormatError: the rate is out of range.
        """
        rate = whole_rate(sample_rate)
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            raise AudioFormatError(f"expected a sample rate of {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz, got {rate:,} Hz")
        if self._config.vad:
            return VadSession(self._new_stream, self._detector(self._config.vad, rate), rate)
        if self.is_online:
            return OnlineSession(self._recognizer, self._new_stream(), rate)
        return OfflineSession(self._new_stream, rate)

    def decode(self, sessions: Sequence[Session]) -> list[list[Segment]]:
        """Returns the new segments of each session; see `sessions.decode`."""
        return decode(self._recognizer, sessions)

    def _new_stream(self) -> Any:
        hotwords = (self._config.hotwords,) if self._config.hotwords else ()
        return self._recognizer.create_stream(*hotwords)

    def _detector(self, vad: VadConfig, sample_rate: int) -> Any:
        """A detector for one signal, with the front-end; one in bypass, that resamples alone, where there is none."""
        settings, route = (self._config.frontend, vad.route) if self._config.frontend else (None, "raw_to_both")
        config = dataclasses.replace(settings or EnhancerConfig(bypass=True), sample_rate=sample_rate)
        return with_frontend(vad.create(), config, route=route)
