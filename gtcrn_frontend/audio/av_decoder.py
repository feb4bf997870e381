"""Decodes what libsndfile cannot (m4a, aac, webm, ...) with PyAV, the extra `av`, into a temporary file that it can."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from typing import IO, Any

import soundfile

from gtcrn_frontend.errors import AudioFormatError

# FFmpeg may only take these for a file: playlists and the like, which name further files or URLs, are not among them.
_DEMUXERS = "aac,ac3,amr,ape,asf,avi,dsf,flv,matroska,webm,mov,mp4,m4a,3gp,mp3,mpeg,rm,tta,wv"
_TIME_BASE_S = 1e-6  # of a file's duration in FFmpeg
_SHORTFALL_S = 0.5  # announced durations are rounded, and hold the encoder's delay


def is_av_installed() -> bool:
    """Tells whether PyAV is installed."""
    try:
        return importlib.util.find_spec("av") is not None
    except (ImportError, ValueError):  # blocked by an import hook, or by a placeholder in sys.modules
        return False


def decode(file: IO[bytes], name: str) -> IO[bytes]:
    """Returns a temporary file with the first audio stream as 16-bit PCM, of its rate and channels.

    Args:
        file: open and seekable.
        name: of the file, for messages.

    Raises:
        AudioFormatError: FFmpeg cannot decode it, it holds no audio, or it is truncated.
    """
    av = importlib.import_module("av")
    file.seek(0)
    decoded = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        with av.open(file, options={"format_whitelist": _DEMUXERS}) as container:
            if not container.streams.audio:
                raise AudioFormatError(f"{name}: expected a file with audio, found none in it")
            stream = container.streams.audio[0]
            if stream.codec_context is None or not stream.rate or not stream.channels:
                raise AudioFormatError(f"{name}: expected audio that FFmpeg can decode, found another codec, or none")
            announced_s = _announced_s(container, stream)
            frames = _write(av, container, stream, decoded)
    except av.FFmpegError as error:
        decoded.close()
        raise AudioFormatError(f"{name}: damaged or truncated audio file: {error.strerror}") from error
    except (ValueError, OverflowError, soundfile.LibsndfileError) as error:  # a rate that changes, or is out of range
        decoded.close()
        if isinstance(error, AudioFormatError):
            raise
        raise AudioFormatError(f"{name}: damaged audio file: {error}") from error
    except BaseException:
        decoded.close()
        raise
    found_s = frames / stream.rate
    if found_s < announced_s - _SHORTFALL_S:
        decoded.close()
        raise AudioFormatError(f"{name}: truncated file: it announces {announced_s:.2f} s, found {found_s:.2f} s")
    decoded.seek(0)
    return decoded


def _announced_s(container: Any, stream: Any) -> float:
    """Seconds of audio that the header announces; 0 if it does not: FFmpeg then estimates them from the bit rate."""
    if not container.format.name.startswith(("mov,", "matroska,")):
        return 0.0
    if stream.duration:
        return float(stream.duration * stream.time_base)
    is_alone = len(container.streams) == 1
    return container.duration * _TIME_BASE_S if is_alone and container.duration else 0.0


def _write(av: Any, container: Any, stream: Any, target: IO[bytes]) -> int:
    """Writes the samples of a stream; returns the number of frames."""
    resampler = av.AudioResampler(format="s16", layout=stream.layout, rate=stream.rate)  # of the format alone
    frames = 0
    channels = stream.channels
    with soundfile.SoundFile(target, "w", stream.rate, channels, "PCM_16", format="W64") as sound:
        for encoded in container.decode(stream):
            for frame in resampler.resample(encoded):
                samples = frame.to_ndarray().reshape(-1, channels)
                sound.write(samples)
                frames += len(samples)
    return frames
