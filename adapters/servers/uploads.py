"""Audio files within requests: decoding, enhancing through a pool, and encoding again."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import soundfile

from gtcrn_frontend.adapters.servers.batching import BatchedPool
from gtcrn_frontend.adapters.servers.limits import StreamLength
from gtcrn_frontend.adapters.servers.metrics import Metrics
from gtcrn_frontend.audio.audio_file import AudioFile
from gtcrn_frontend.audio.io import open_audio, read_blocks
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk, restore_type
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import AudioFormatError

SLICE_S = 0.5
"""Files are enhanced in pieces, so that one does not block live streams."""

MOST_SAMPLES = 1 << 28
"""Of all channels of a file: 4 hours at 16 kHz. A FLAC of 25 MB may hold a hundred times that."""

T = TypeVar("T")
_INT16 = np.dtype(np.int16)
_ENCODED_BYTES = 2  # of a sample
_KEPT = {"WAV": ("WAV", ".wav", "audio/wav"), "WAVEX": ("WAV", ".wav", "audio/wav")}
_OTHERS = ("FLAC", ".flac", "audio/flac")  # lossless, and not much larger than MP3 and the like


@dataclasses.dataclass(frozen=True)
class UploadedFile:
    """A file in a request: its name, media type and bytes."""

    name: str
    media_type: str
    data: bytes


async def enhance_file(
    file: UploadedFile,
    pool: BatchedPool,
    metrics: Metrics,
    enhancer: EnhancerConfig,
    max_seconds: float | None,
    hold: Callable[[int], None],
) -> UploadedFile:
    """Returns the file enhanced, as 16-bit WAV if it was one, else as FLAC; rate and channels stay.

    It is decoded, enhanced and encoded block by block.

    Raises:
        AudioFormatError: libsndfile cannot read it, its samples, rate or channels cannot be enhanced, or it has more
            than `MOST_SAMPLES`.
        TooLongError: it is longer than `max_seconds`.
        BusyError: of `hold`, which is told the bytes of the result before.
        Exception: the engine has failed, with `on_error="raise"`.
    """
    with ExitStack() as stack:
        audio = await _in_thread(_opened, file, max_seconds, stack)
        rate, channels = audio.samplerate, audio.channels
        hold(_ENCODED_BYTES * audio.frames * channels)
        metrics.streams.inc()
        stream = pool.open(dataclasses.replace(enhancer, sample_rate=rate, output_sample_rate=None, channels=channels))
        stack.callback(pool.close, stream)
        container, suffix, media_type = _KEPT.get(audio.format, _OTHERS)
        encoded = io.BytesIO()
        with _writer(encoded, container, rate, channels) as sound:
            blocks = _decoded(audio, file)
            while len(samples := await _in_thread(next, blocks, _empty(channels))):
                metrics.count_audio(len(samples) / rate)
                step = max(1, round(SLICE_S * rate))
                for start in range(0, len(samples), step):
                    enhanced = await pool.process(stream, samples[start : start + step])
                    await _in_thread(sound.write, restore_type(enhanced, _INT16))
            enhanced = await pool.process(stream, _empty(channels), last=True)
            sound.write(restore_type(enhanced, _INT16))
        return UploadedFile(PurePath(file.name).with_suffix(suffix).name, media_type, encoded.getvalue())


def _opened(file: UploadedFile, max_seconds: float | None, stack: ExitStack) -> AudioFile:
    """Opens a file until the end of `stack`; checks its length."""
    with _named(file):
        audio = stack.enter_context(open_audio(file.data, decode_foreign=False, most_frames=MOST_SAMPLES))
        # Before decoding: a small file of silence may hold days.
        StreamLength(max_seconds).add(audio.frames / audio.samplerate)
        if audio.frames * audio.channels > MOST_SAMPLES:
            raise AudioFormatError(f"expected at most {MOST_SAMPLES} samples, got {audio.frames * audio.channels}")
        return audio


def _decoded(audio: AudioFile, file: UploadedFile) -> Iterator[F32]:
    with _named(file):
        for block in read_blocks(audio):
            yield check_chunk(block, audio.channels)[0]


def _writer(target: io.BytesIO, container: str, rate: int, channels: int) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(target, "w", rate, channels, "PCM_16", format=container)
    except soundfile.LibsndfileError as error:  # FLAC has 8 channels at most
        raise AudioFormatError(f"cannot write {channels} channels at {rate} Hz as {container}: {error}") from error


def _empty(channels: int) -> F32:
    return np.empty(0 if channels == 1 else (0, channels), np.float32)


@contextmanager
def _named(file: UploadedFile) -> Iterator[None]:
    try:
        yield
    except AudioFormatError as error:
        raise AudioFormatError(
            f"{file.name}: expected audio that libsndfile reads (WAV, FLAC, Ogg, MP3), got {len(file.data)} bytes that "
            f"cannot be decoded: {error}"
        ) from error


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    """Calls a function in a thread; if this is cancelled, waits for it: its file must not be closed before."""
    call = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(call)
    finally:
        while not call.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([call])
