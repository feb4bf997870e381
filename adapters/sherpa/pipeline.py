"""`load_pipeline`: a sherpa-onnx recogniser with front-end, configured by a YAML file."""

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
    """Loads the pipeline and the models that a YAML file describes.

    Examples:
        >>> pipeline = load_pipeline("pipeline.yaml")  # doctest: +SKIP
        >>> pipeline.transcribe(samples, 16000).text  # doctest: +SKIP
        'seven three one'

    Args:
        path: YAML file with the section `recognizer` and optionally `frontend`, `vad`, `endpoint` and `hotwords`.
        trial: first load models that cannot be checked in a child process, because sherpa-onnx might end it. False
            saves that time for models that are known to load.

    Raises:
        ConfigError: a key is unknown or a value invalid; the message names file and key.
        ImportError: sherpa-onnx is not installed.
        ModelError: a model cannot be loaded, or sherpa-onnx would end the process over it.
    """
    config = PipelineConfig.from_yaml(path)
    try:
        return Pipeline.from_config(config, trial=trial)
    except GtcrnFrontendError as error:
        raise type(error)(f"{path}: {error}") from error


class Pipeline:
    """A sherpa-onnx recogniser with front-end, for any number of signals.

    Args:
        config: settings; of the recogniser's, only hotwords are used.
        host: the sherpa-onnx recogniser, without front-end.

    Raises:
        ModelError: the model of the front-end cannot be loaded.
    """

    def __init__(self, config: PipelineConfig, host: Any) -> None:
        self._config = config
        self._host = host
        self._enhancer = Enhancer.from_config(config.frontend) if config.frontend else None  # keeps the model loaded
        # With a VAD, the VAD has the front-end and the recogniser has none.
        self._recognizer = with_frontend(host, self._enhancer) if self._enhancer and not config.vad else host

    @classmethod
    def from_config(cls, config: PipelineConfig, *, trial: bool = True) -> Pipeline:
        """Loads the pipeline that a config describes; see `load_pipeline`.

        Raises:
            ImportError: sherpa-onnx is not installed.
            ModelError: a model cannot be loaded, or sherpa-onnx would end the process over it.
        """
        if config.frontend:
            Enhancer.from_config(config.frontend)  # fails early, before the recogniser is loaded
        if config.vad:
            config.vad.check_model(trial=trial)
        if config.factory in CONTRACTS:
            check_model(config.factory, config.arguments)
        elif trial:
            try_factory(config.factory, config.arguments)
        try:
            host = factory(config.factory)(**config.arguments)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise ModelError(f"{config.factory} fails: {error}") from error
        return cls(config, host)

    @property
    def config(self) -> PipelineConfig:
        """The settings."""
        return self._config

    @property
    def recognizer(self) -> Any:
        """The sherpa-onnx recogniser; its streams have the front-end, unless a VAD does."""
        return self._recognizer

    @property
    def is_online(self) -> bool:
        """Whether the recogniser is streaming (online)."""
        return is_online(self._recognizer)

    def without_frontend(self) -> Pipeline:
        """Returns a pipeline with the same recogniser (not loaded again) and no front-end."""
        return type(self)(dataclasses.replace(self._config, frontend=None), self._host)

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int) -> Result:
        """Transcribes a complete signal.

        Args:
            samples: `(n,)`, n >= 0: floats in [-1, 1] or int16.
            sample_rate: in Hz, 8,000 to 192,000.

        Raises:
            AudioFormatError: samples or rate cannot be processed.
        """
        return self.transcribe_many([samples], sample_rate)[0]

    def transcribe_many(self, signals: Sequence[npt.ArrayLike], sample_rate: int) -> list[Result]:
        """Transcribes several signals, decoded in batches; see `transcribe`."""
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
        """Returns a VAD with front-end for one signal; without front-end it is in bypass and only resamples."""
        settings, route = (self._config.frontend, vad.route) if self._config.frontend else (None, "raw_to_both")
        config = dataclasses.replace(settings or EnhancerConfig(bypass=True), sample_rate=sample_rate)
        return with_frontend(vad.create(), config, route=route)
