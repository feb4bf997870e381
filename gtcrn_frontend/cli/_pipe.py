"""Live enhancement of raw PCM from stdin to stdout."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtcrn_frontend.audio import g711
from gtcrn_frontend.audio.file_types import HEAD_BYTES, foreign_type, is_file
from gtcrn_frontend.audio.io import Samples, audio_writer, open_audio, read_blocks
from gtcrn_frontend.audio.pcm import pcm_bytes, whole_frames
from gtcrn_frontend.audio.validation import MAX_AMPLITUDE
from gtcrn_frontend.cli._stdin import STDIN, until_stopped
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.file_enhancement import enhancer_for

PIPE = "-"
EXIT_BROKEN_PIPE = 141  # as shells report SIGPIPE

_STDOUT = 1
# Of files written from a pipe. G.711 is decoded, as FLAC and most other containers do not hold it.
_SUBTYPES = {"s16le": "PCM_16", "f32le": "FLOAT", "mulaw": "PCM_16", "alaw": "PCM_16"}

_log = logging.getLogger(__name__)


@dataclass
class PipeReport:
    """Duration of the enhanced audio and computing time in seconds; waiting for input and output does not count."""

    engine: str
    audio_s: float = 0.0
    took_s: float = 0.0


def enhance_pipe(source: str, output: str, pcm_format: str, config: EnhancerConfig) -> PipeReport:
    """Enhances until the source ends, or SIGINT or SIGTERM comes, and flushes the stream.

    Args:
        source: `-` for raw PCM of the rate (for G.711, 8 kHz by default) and channels in `config` on stdin, or an audio
            file.
        output: `-` for raw PCM on stdout, or an audio file to write.
        pcm_format: sample format of stdin and stdout, one of `PCM_FORMATS`.
        config: settings.

    Raises:
        AudioFormatError: the input is a file instead of raw PCM, or has invalid samples; those before are delivered.
        BrokenPipeError: the reader of stdout has ended.
        ConfigError: a setting is out of range, or stdin or stdout is a terminal.
    """
    if output == PIPE and os.isatty(_STDOUT):
        raise ConfigError("expected a pipe or a file as stdout, got a terminal: raw PCM is binary")
    if source != PIPE:
        with open_audio(source) as audio:
            enhancer = enhancer_for(audio, config)
            with _writer(output, enhancer, audio.subtype, pcm_format) as write:
                return _enhance(enhancer, read_blocks(audio), write, source)
    if os.isatty(STDIN):
        raise ConfigError("expected raw PCM on stdin, got a terminal: pipe audio into it, or name a file")
    if g711.law_of(pcm_format) and config.sample_rate is None:
        config = dataclasses.replace(config, sample_rate=g711.SAMPLE_RATE_HZ)
    enhancer = Enhancer.from_config(config)
    with _writer(output, enhancer, _SUBTYPES[pcm_format], pcm_format) as write, until_stopped() as pieces:
        return _enhance(enhancer, pcm_chunks(pieces, pcm_format, config.channels), write, "stdin")


def _enhance(enhancer: Enhancer, chunks: Iterable[Samples], write: Callable[[Samples], None], name: str) -> PipeReport:
    report = PipeReport(enhancer.engine)

    def timed(enhance: Callable[..., Samples], *samples: Samples) -> Samples:
        start_s = time.perf_counter()
        enhanced = enhance(*samples)
        report.took_s += time.perf_counter() - start_s
        report.audio_s = max(report.audio_s, enhancer.samples_in / enhancer.sample_rate)
        return enhanced

    for chunk in chunks:
        try:
            enhanced = timed(enhancer.process_chunk, chunk)
        except AudioFormatError as error:
            write(timed(enhancer.process_chunk, chunk[: _first_bad_frame(chunk)]))
            write(timed(enhancer.flush))
            raise AudioFormatError(f"{name}: stopped after {report.audio_s:.3f} s: {error}") from error
        write(enhanced)
    write(timed(enhancer.flush))
    return report


def pcm_chunks(pieces: Iterable[bytes], pcm_format: str, channels: int) -> Iterator[Samples]:
    """Yields the complete samples after each piece of data; the rest is kept for the next.

    Raises:
        AudioFormatError: the pieces are those of a file with a header.
    """
    beginning = rest = b""
    for piece in pieces:
        if len(beginning) < HEAD_BYTES:
            beginning += piece[: HEAD_BYTES - len(beginning)]
            _refuse_files(beginning)
        samples, rest = whole_frames(rest + piece, pcm_format, channels)
        yield samples
    if rest:
        _log.warning("%d bytes at the end of stdin are not a whole sample of all channels: ignored", len(rest))


def _refuse_files(beginning: bytes) -> None:
    if is_file(beginning):
        kind = foreign_type(beginning) or f"a file that begins with {beginning[:4]!r}"
        raise AudioFormatError(
            f"expected raw PCM on stdin, got {kind}: name the file, or /dev/stdin, instead of -, "
            "or send its samples alone (arecord -t raw, ffmpeg -i FILE -f s16le -)"
        )


def _first_bad_frame(chunk: Samples) -> int:
    """Index of the first frame with an invalid sample."""
    frames = chunk.reshape(len(chunk), -1)
    good = (np.abs(frames) <= MAX_AMPLITUDE).all(axis=1)  # NaN compares false
    return int(np.argmin(good))


@contextmanager
def _writer(output: str, enhancer: Enhancer, subtype: str, pcm_format: str) -> Iterator[Callable[[Samples], None]]:
    if output == PIPE:
        yield lambda samples: _write_all(pcm_bytes(samples, pcm_format))
        return
    channels = 1 if enhancer.config.downmix else enhancer.config.channels
    with audio_writer(Path(output), enhancer.output_sample_rate, channels, subtype) as write:
        yield write


def _write_all(data: bytes) -> None:
    # Not sys.stdout, which buffers, and raises again at exit if the reader has ended.
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(_STDOUT, rest) :]
