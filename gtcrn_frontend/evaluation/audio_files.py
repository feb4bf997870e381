"""Audio of the evaluation: finding files, reading them or segments of them as mono float32, and content digests."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from gtcrn_frontend.audio.io import container_of, open_audio, read_all
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import AudioFormatError


def audio_files(folder: Path) -> list[Path]:
    """Returns the audio files in a folder and its subfolders, sorted; files without a header (RAW) are left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and container_of(path) not in (None, "RAW"))


def read_mono(path: Path, start: int = 0, stop: int | None = None) -> tuple[F32, int]:
    """Returns the samples `(n,) float32` of a file in [-1, 1], channels averaged, and their rate in Hz.

    Args:
        path: of the file.
        start: first sample of a segment.
        stop: sample after the last one of the segment; None is the end of the file.

    Raises:
        AudioFormatError: the file cannot be read, ends before the segment does, or holds values that are not finite.
    """
    with open_audio(path) as audio:
        samples = read_all(audio) if start == 0 and stop is None else _segment(path, audio, start, stop)
        rate = int(audio.samplerate)
    mono: F32 = np.asarray(samples.mean(axis=1) if samples.ndim == 2 else samples, np.float32)
    if not np.isfinite(mono).all():
        raise AudioFormatError(f"{path}: expected finite samples, found NaN or infinity")
    return mono, rate


@lru_cache(maxsize=32)
def read_mono_at(path: Path, rate: int) -> F32:
    """Returns the samples `(n,) float32` of a file as `read_mono` does, resampled to a rate in Hz; not to be changed.

    Raises:
        AudioFormatError: the file cannot be read, is empty, or holds values that are not finite.
    """
    samples, own_rate = read_mono(path)
    if not len(samples):
        raise AudioFormatError(f"{path}: expected audio, got a file without samples")
    return samples if own_rate == rate else resampled(samples, own_rate, rate)


@lru_cache(maxsize=65536)
def file_digest(path: Path) -> str:
    """Returns a digest of the content of a file, which is taken to stay as it is.

    Raises:
        AudioFormatError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise AudioFormatError(f"{path}: cannot be read: {error.strerror}") from error


def _segment(path: Path, audio: soundfile.SoundFile, start: int, stop: int | None) -> F32:
    count = (audio.frames if stop is None else stop) - start
    try:
        audio.seek(start)
        samples: F32 = audio.read(count, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise AudioFormatError(f"{path}: samples {start} to {start + count} cannot be read: {error}") from error
    if len(samples) != count:
        raise AudioFormatError(f"{path}: expected {count} samples from sample {start} on, found {len(samples)}")
    return samples
