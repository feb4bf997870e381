"""The sample format of an output file: that of the input, or the nearest one that the container can hold."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from gtcrn_frontend.errors import AudioFormatError

CONTAINERS = {name.lower(): name for name in soundfile.available_formats()} | {
    "aif": "AIFF",
    "aifc": "AIFF",
    "oga": "OGG",
    "opus": "OGG",
    "sf": "IRCAM",
    "snd": "AU",
    "sph": "NIST",
}
"""libsndfile's name of a container by the suffix of a file."""

GIB_4 = 0xFFFFFFFF
_HEADER_BYTES = 1 << 16  # more than the header and what else is in a file
# Most bytes of samples; containers that are not named have 64 bits for them, or need none.
_MAX_BYTES = {**dict.fromkeys(("WAV", "WAVEX", "AIFF", "SVX", "AVR", "MPC2K", "HTK"), GIB_4), "VOC": 0xFFFFFF}
_BYTES_PER_SAMPLE = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # others have at most 1
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
# The nearest first; what is not named, as lossy formats, is nearest to PCM_16.
_NEAREST = {
    "PCM_U8": ("PCM_S8", "PCM_16"),
    "PCM_S8": ("PCM_U8", "PCM_16"),
    "PCM_24": ("PCM_32", "FLOAT", "PCM_16"),
    "PCM_32": ("DOUBLE", "PCM_24", "FLOAT", "PCM_16"),
    "FLOAT": ("DOUBLE", "PCM_24", "PCM_16"),
    "DOUBLE": ("FLOAT", "PCM_24", "PCM_16"),
    "ALAC_20": ("PCM_24", "PCM_16"),
    "ALAC_24": ("PCM_24", "PCM_16"),
    "ALAC_32": ("PCM_32", "PCM_24", "PCM_16"),
    "DWVW_24": ("PCM_24", "PCM_16"),
}


@dataclass(frozen=True)
class FileFormat:
    """How a file is written.

    Attributes:
        container: libsndfile's name.
        subtype: libsndfile's name of the sample format.
        max_frames: most frames that the container can hold.
        too_long: what is said if it would be more.
    """

    container: str
    subtype: str
    max_frames: int
    too_long: str


def container_of(path: Path) -> str | None:
    """Returns libsndfile's name of the container for a file's suffix, or None."""
    return CONTAINERS.get(path.suffix.removeprefix(".").lower())


def output_format(path: Path, sample_rate: int, channels: int, subtype: str) -> tuple[str, str]:
    """Returns libsndfile's names of the container and the sample format of a file to write.

    libsndfile's tables promise formats that it cannot write (MP3 in WAV, GSM in stereo, Opus at 22.05 kHz), so the
    candidates are tried in memory.

    Args:
        path: the suffix selects the container; `.opus` is Opus in Ogg.
        sample_rate: in Hz.
        channels: of the samples.
        subtype: wanted sample format, for example that of the input.

    Raises:
        AudioFormatError: no such container, or it cannot hold such audio; the message names `path`.
    """
    container = container_of(path)
    if container is None:
        raise AudioFormatError(
            f"{path}: expected the suffix of an audio format (.wav, .flac, .ogg, ...), got {path.suffix!r}"
        )
    tried = []
    for candidate in _candidates(path, container, subtype):
        if _can_write(container, candidate, sample_rate, channels):
            return container, candidate
        tried.append(candidate)
    rates = ", ".join(map(str, _OPUS_RATES_HZ))
    hint = f"; Opus has the rates {rates} Hz: choose one with output_sample_rate (--output-rate)"
    raise AudioFormatError(
        f"cannot write {path} ({container}, {tried[0] if tried else subtype}): expected a format for {channels} "
        f"channels at {sample_rate} Hz, this one has none{hint if 'OPUS' in tried[:1] else ': choose another suffix'}"
    )


def file_format(path: Path, sample_rate: int, channels: int, subtype: str, frames: int | None) -> FileFormat:
    """Returns how to write a file; see `output_format`.

    Args:
        path: of the file.
        sample_rate: in Hz.
        channels: of the samples.
        subtype: wanted sample format.
        frames: most that will be written; None if that is not known. WAV becomes RF64 if it may be too much.

    Raises:
        AudioFormatError: see `output_format`; or more frames than the container can hold.
    """
    container, subtype = output_format(path, sample_rate, channels, subtype)
    frame_bytes = channels * _BYTES_PER_SAMPLE.get(subtype, 1)
    most = _max_frames(container, frame_bytes)
    if container in ("WAV", "WAVEX") and (frames is None or frames > most) and soundfile.check_format("RF64", subtype):
        container, most = "RF64", _max_frames("RF64", frame_bytes)
    too_long = (
        f"expected at most {most} frames, more than that this container cannot hold: write a .flac, .w64 or .wav file"
    )
    if frames is not None and frames > most:
        raise AudioFormatError(f"cannot write {path} ({container}, {subtype}): {too_long}")
    return FileFormat(container, subtype, most, too_long)


def _max_frames(container: str, frame_bytes: int) -> int:
    return max(_MAX_BYTES.get(container, 1 << 62) - _HEADER_BYTES, 0) // frame_bytes


def _candidates(path: Path, container: str, subtype: str) -> Iterator[str]:
    if path.suffix.lower() == ".opus":
        yield "OPUS"
        return
    wanted = [subtype, *_NEAREST.get(subtype, ("PCM_16",)), soundfile.default_subtype(container)]
    available = soundfile.available_subtypes(container)
    yield from dict.fromkeys(name for name in (*wanted, *available) if name in available)


def _can_write(container: str, subtype: str, sample_rate: int, channels: int) -> bool:
    try:
        with soundfile.SoundFile(io.BytesIO(), "w", sample_rate, channels, subtype, format=container) as file:
            file.write(np.zeros((1, channels), np.float32))
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return False
    return True
