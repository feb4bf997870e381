"""Audio files within requests: decoding, enhancing through a pool, and encoding again."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import PurePath

import numpy as np
import soundfile

from gtcrn_frontend.adapters.servers.batching import BatchedPool
from gtcrn_frontend.adapters.servers.limits import StreamLength
from gtcrn_frontend.adapters.servers.metrics import Metrics
from gtcrn_frontend.audio.io import open_audio, read_all
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError

SLICE_S = 0.5
"""Files are enhanced in pieces, so that one does not block live streams."""

MOST_SAMPLES = 1 << 28
"""Of all channels of a file, 1 GiB when decoded: 4 hours at 16 kHz. A FLAC of 25 MB may hold a hundred times that."""

_KEPT = {"WAV": ("WAV", ".wav", "audio/wav"), "WAVEX": ("WAV", ".wav", "audio/wav")}
_OTHERS = ("FLAC", ".flac", "audio/flac")  # lossless, and not much larger than MP3 and the like


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """A file in a request: its name, media type and bytes."""

    name: str
    media_type: str
    data: bytes


async def enhance_file(
    file: AudioFile, pool: BatchedPool, metrics: Metrics, enhancer: EnhancerConfig, max_seconds: float | None
) -> AudioFile:
    """Returns the file enhanced, as 16-bit WAV if it was one, else as FLAC; rate and channels stay.

    Raises:
        AudioFormatError: libsndfile cannot read it, its samples, rate or channels cannot be enhanced, or it has more
            than `MOST_SAMPLES`.
        TooLongError: it is longer than `max_seconds`.
        Exception: the engine has failed, with `on_error="raise"`.
    """
    samples, rate, kind = await asyncio.to_thread(_decode, file, max_seconds)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    check_chunk(samples, channels)
    metrics.count_audio(len(samples) / rate)
    metrics.streams.inc()
    config = dataclasses.replace(enhancer, sample_rate=rate, output_sample_rate=None, channels=channels)
    stream = pool.open(config)
    try:
        step = round(SLICE_S * rate)
        pieces = [
            await pool.process(stream, samples[start : start + step], last=start + step >= len(samples))
            for start in range(0, max(len(samples), 1), step)
        ]
    finally:
        pool.close(stream)
    return await asyncio.to_thread(_encode, file, np.concatenate(pieces), rate, kind)


def _decode(file: AudioFile, max_seconds: float | None) -> tuple[F32, int, str]:
    try:
        with open_audio(file.data, decode_foreign=False, most_frames=MOST_SAMPLES) as audio:
            # Before decoding: a small file of silence may hold days.
            StreamLength(max_seconds).add(audio.frames / audio.samplerate)
            if audio.frames * audio.channels > MOST_SAMPLES:
                raise AudioFormatError(f"expected at most {MOST_SAMPLES} samples, got {audio.frames * audio.channels}")
            return read_all(audio), audio.samplerate, audio.format
    except AudioFormatError as error:
        raise AudioFormatError(
            f"{file.name}: expected audio that libsndfile reads (WAV, FLAC, Ogg, MP3), got {len(file.data)} bytes that "
            f"cannot be decoded: {error}"
        ) from error


def _encode(file: AudioFile, samples: F32, rate: int, kind: str) -> AudioFile:
    container, suffix, media_type = _KEPT.get(kind, _OTHERS)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype="PCM_16")
    return AudioFile(PurePath(file.name).with_suffix(suffix).name, media_type, buffer.getvalue())
