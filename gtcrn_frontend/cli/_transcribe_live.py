"""Live transcription of stdin or the microphone."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterable, Iterator

from gtcrn_frontend.adapters.sherpa.file_transcription import TranscriptSink, mono
from gtcrn_frontend.adapters.sherpa.pipeline import Pipeline
from gtcrn_frontend.audio.io import Samples
from gtcrn_frontend.cli._pipe import pcm_chunks
from gtcrn_frontend.cli._stdin import STDIN, until_stopped
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.install_hint import install_hint

STDIN_NAME, MICROPHONE_NAME = "stdin", "microphone"
"""What stands for the name of a file."""

_READ_S = 0.1  # of the microphone, at a time

_log = logging.getLogger(__name__)


def transcribe_stdin(
    pipeline: Pipeline, sink: TranscriptSink, sample_rate: int, pcm_format: str, channels: int
) -> None:
    """Transcribes raw PCM from stdin until it ends, or until SIGINT or SIGTERM.

    Args:
        pipeline: front-end and recogniser.
        sink: receives the results.
        sample_rate: in Hz.
        pcm_format: one of `PCM_FORMATS`.
        channels: interleaved; they are averaged.

    Raises:
        AudioFormatError: the input is a file with a header, or has invalid samples; results before them are delivered.
        ConfigError: stdin is a terminal.
    """
    if os.isatty(STDIN):
        raise ConfigError("expected raw PCM on stdin, got a terminal: pipe audio into it, or name a file")
    with until_stopped() as pieces:
        _listen(pipeline, sink, sample_rate, map(mono, pcm_chunks(pieces, pcm_format, channels)), STDIN_NAME)


def transcribe_microphone(pipeline: Pipeline, sink: TranscriptSink, sample_rate: int) -> None:
    """Transcribes the default microphone until Ctrl-C.

    Raises:
        ConfigError: sounddevice or its library PortAudio is missing, or there is no microphone with that sample rate.
    """
    try:
        sounddevice = importlib.import_module("sounddevice")
    except OSError as error:  # of the C library
        raise ConfigError(
            f"--mic needs the library PortAudio, which sounddevice does not find ({error}): apt install libportaudio2 "
            "(Debian, Ubuntu), dnf install portaudio (Fedora), brew install portaudio (macOS)"
        ) from error
    except ImportError as error:
        raise ConfigError(f"--mic needs sounddevice ({error}): {install_hint('mic')}") from error
    try:
        with sounddevice.InputStream(samplerate=sample_rate, channels=1, dtype="float32") as microphone:
            _listen(pipeline, sink, sample_rate, _until_interrupted(microphone, sample_rate), MICROPHONE_NAME)
    except sounddevice.PortAudioError as error:
        raise ConfigError(f"cannot record from a microphone at {sample_rate} Hz: {error}") from error


def _listen(pipeline: Pipeline, sink: TranscriptSink, sample_rate: int, chunks: Iterable[Samples], name: str) -> None:
    session = pipeline.session(sample_rate)

    def show_new() -> None:
        for segment in pipeline.decode([session])[0]:
            sink.segment(name, 0, segment)

    try:
        for chunk in chunks:
            session.accept_waveform(chunk)
            show_new()
    except AudioFormatError as error:
        raise AudioFormatError(f"{name}: stopped: {error}") from error
    finally:  # the results up to here
        session.input_finished()
        show_new()
        sink.end(name)


def _until_interrupted(microphone: object, sample_rate: int) -> Iterator[Samples]:
    try:
        while True:
            samples, has_overflowed = microphone.read(int(_READ_S * sample_rate))  # type: ignore[attr-defined]
            if has_overflowed:
                _log.warning("samples of the microphone were lost: this machine is too slow or too busy")
            yield samples[:, 0].copy()
    except KeyboardInterrupt:
        return
