"""Block-wise reading and writing of audio files; errors name the file."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt
import soundfile

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.errors import AudioFormatError

Source = str | Path | bytes | IO[bytes]
Samples = npt.NDArray[Any]

BLOCK_S = 4.0

_CONTAINERS = {name.lower(): name for name in soundfile.available_formats()} | {
    "aif": "AIFF",
    "aifc": "AIFF",
    "oga": "OGG",
    "opus": "OGG",
    "sf": "IRCAM",
    "snd": "AU",
    "sph": "NIST",
}
# libsndfile estimates the length of an MP3 file without an index and can be off by one MP3 frame.
_UNCERTAIN_FRAMES = 1152
# libsndfile's log for WAV, AIFF and AU: bytes of audio data according to the header, and in the file.
_CUT_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe do not know the size and use a placeholder in this range.
_UNKNOWN_SIZE = 0x7FFF0000
_OGG_WITHOUT_END = re.compile(r"without an End-Of-Stream flag|lacks an end-of-stream bit")

_log = logging.getLogger(__name__)


def container_of(path: Path) -> str | None:
    """Returns libsndfile's name of the container for a file's suffix, or None."""
    return _CONTAINERS.get(path.suffix.removeprefix(".").lower())


@contextmanager
def open_audio(source: Source) -> Iterator[soundfile.SoundFile]:
    """Opens an audio file for reading.

    Raises:
        AudioFormatError: the file is missing, unreadable for libsndfile, or truncated; the message names the source.
    """
    name = name_of(source)
    if isinstance(source, (str, Path)):
        _check_file(Path(source))
    elif not isinstance(source, bytes) and not _is_open_binary(source):
        raise AudioFormatError(
            f"expected a path, the bytes of a file, or a file opened for reading in binary mode, "
            f"got {type(source).__name__}"
        )
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        audio = soundfile.SoundFile(opened)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, OSError) as error:
        raise AudioFormatError(f"{name}: expected an audio file that libsndfile reads: {_reason(error)}") from error
    with audio:
        log = audio.extra_info
        cut = _CUT_SHORT.search(log)
        if cut and int(cut[1]) < _UNKNOWN_SIZE:
            raise AudioFormatError(
                f"{name}: truncated file: the header announces {cut[1]} bytes of samples, found {audio.frames} frames"
            )
        if _OGG_WITHOUT_END.search(log):
            _log.warning("%s: missing end-of-stream marker, the file may be truncated", name)
        yield audio


def read_blocks(audio: soundfile.SoundFile) -> Iterator[Samples]:
    """Returns the samples in blocks of at most `BLOCK_S` seconds, `(n,)` or `(n, channels)`.

    They are int16 for 16-bit PCM, else float32 in [-1, 1].

    Raises:
        AudioFormatError: the file is damaged or truncated; the message names it.
    """
    # libsndfile passes 16-bit integers through unchanged, but scales floats by 32768 on reading and 32767 on writing.
    dtype = "int16" if audio.subtype == "PCM_16" else "float32"
    name, frames = name_of(audio.name), 0
    while True:
        try:
            block = audio.read(int(BLOCK_S * audio.samplerate), dtype=dtype)
        except soundfile.LibsndfileError as error:
            raise AudioFormatError(f"{name}: damaged or truncated audio file: {_reason(error)}") from error
        if len(block) == 0:
            break
        frames += len(block)
        yield block
    if frames < audio.frames - _UNCERTAIN_FRAMES:
        raise AudioFormatError(f"{name}: truncated file: the header announces {audio.frames} frames, found {frames}")


@contextmanager
def audio_writer(path: Path, sample_rate: int, channels: int, subtype: str) -> Iterator[Callable[[Samples], None]]:
    """Yields a function that appends samples to a new file; the file appears under its name once it is complete.

    Args:
        path: the suffix selects the container; an existing file is replaced.
        sample_rate: in Hz.
        channels: of the samples.
        subtype: libsndfile's name of a sample format; if the container does not support it, the container's default.

    Raises:
        AudioFormatError: the container or the folder does not exist, the container does not support such audio, or
            writing fails.
    """
    container = container_of(path)
    if container is None:
        raise AudioFormatError(
            f"{path}: expected the suffix of an audio format (.wav, .flac, .ogg, ...), got {path.suffix!r}"
        )
    if path.suffix.lower() == ".opus":
        subtype = "OPUS"
    elif not soundfile.check_format(container, subtype):
        subtype = soundfile.default_subtype(container)
    try:
        with ExitStack() as stack:
            try:
                temporary = stack.enter_context(replaced_at_end(path))
            except OSError as error:
                raise AudioFormatError(f"cannot write {path}: {error.strerror}") from error
            sound = soundfile.SoundFile(temporary, "w", sample_rate, channels, subtype, format=container)
            yield stack.enter_context(sound).write
    except soundfile.LibsndfileError as error:
        raise AudioFormatError(f"cannot write {path} ({container}, {subtype}): {_reason(error)}") from error


def name_of(source: object) -> str:
    """Returns the name of a source in error messages."""
    return str(source) if isinstance(source, (str, Path)) else "audio data"


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioFormatError(f"{path}: expected an audio file, got a folder")
        if not path.exists():
            raise AudioFormatError(f"{path}: expected an audio file, found nothing there")
        if path.stat().st_size == 0:
            raise AudioFormatError(f"{path}: expected an audio file, got an empty file")
    except OSError as error:  # for example a name that is too long
        raise AudioFormatError(f"{path}: cannot be read: {error.strerror}") from error


def _is_open_binary(source: object) -> bool:
    readable = not getattr(source, "closed", True) and hasattr(source, "read") and hasattr(source, "seek")
    return readable and not isinstance(source, io.TextIOBase)


def _reason(error: Exception) -> str:
    """Returns libsndfile's message without the repeated file name."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
