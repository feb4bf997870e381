"""Block-wise reading and writing of audio files; errors name the file."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import soundfile

from gtcrn_frontend.atomic_write import replaced_at_end, write_failure
from gtcrn_frontend.audio.audio_file import AudioFile, counted_file, counted_mpeg, reason_of
from gtcrn_frontend.audio.av_decoder import decode, is_av_installed
from gtcrn_frontend.audio.file_types import HEAD_BYTES, ffmpeg_line, foreign_files, foreign_type
from gtcrn_frontend.audio.headers import UNKNOWN_SIZE, PatchedFile, inspect
from gtcrn_frontend.audio.mpeg import tells_length
from gtcrn_frontend.audio.output_format import container_of as container_of
from gtcrn_frontend.audio.output_format import file_format
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import INT16_SCALE
from gtcrn_frontend.errors import AudioFormatError
from gtcrn_frontend.install_hint import install_hint

Source = str | Path | bytes | IO[bytes]
Samples = npt.NDArray[Any]

BLOCK_S = 4.0

_UNCERTAIN_FRAMES = 1152  # an MP3 frame: by so much libsndfile's count of one with an index can be off
# libsndfile's count for a file that does not tell its length, as FLAC written to a pipe.
_UNKNOWN_FRAMES = 1 << 60
# libsndfile's log for WAV, AIFF, SVX, AU and WVE: bytes of audio data according to the header, and in the file.
_CUT_SHORT = re.compile(r"^\s*(?:data|SSND|BODY|Data Size|Data length) *:? (\d+) \(?should be (\d+)", re.MULTILINE)
_CUT_VOC = "Seems to be a truncated file"
_RF64_AUTO_DOWNGRADE = 0x1210  # libsndfile's command: a file that stays below 4 GiB becomes a plain WAV when closed

_log = logging.getLogger(__name__)


@contextmanager
def open_audio(source: Source, *, decode_foreign: bool = True, most_frames: int | None = None) -> Iterator[AudioFile]:
    """Opens an audio file for reading.

    A path may also be a pipe, such as `/dev/stdin`: it is read to its end first. A header that announces no samples,
    as a killed recorder leaves it, is corrected with a warning. What libsndfile cannot decode goes through PyAV if that
    is there, as 16-bit PCM in a temporary file. The length of files that do not tell it (FLAC written to a pipe, MP3
    without index) is counted by decoding them.

    Args:
        source: a path, the bytes of a file, or a file opened in binary mode.
        decode_foreign: whether PyAV may decode it.
        most_frames: where the length is counted, that ends at more frames; None is no limit.

    Raises:
        AudioFormatError: the file is missing, unreadable for libsndfile, truncated, or several files joined; the
            message names the source.
    """
    name = name_of(source)
    with ExitStack() as stack:
        file = _opened(source, stack)
        is_path = isinstance(source, (str, Path)) and Path(source).is_file()
        target: object = _native_name(Path(name)) if is_path else file
        is_open_ended = False
        if file.seekable():
            try:
                verdict = inspect(file)
            except OSError as error:
                raise AudioFormatError(f"{name}: cannot be read: {error.strerror}") from error
            if verdict.error:
                hint = "" if verdict.error.startswith("truncated") else f": convert it, {ffmpeg_line(name)}"
                raise AudioFormatError(f"{name}: {verdict.error}{hint}")
            is_open_ended = verdict.is_open_ended
            if verdict.patches:
                _log.warning("%s: the header announces no samples, as after a crash: reading all that follow", name)
                target = PatchedFile(file, verdict.patches)
        audio = stack.enter_context(_audio_file(target, name, file, stack if decode_foreign else None))
        if audio.subtype.startswith("MPEG") and not tells_length(file):
            audio = stack.enter_context(counted_mpeg(file, name, most_frames))
        elif audio.frames >= _UNKNOWN_FRAMES:
            file.seek(0)
            audio = stack.enter_context(counted_file(target, file, name, most_frames))
        _check_whole(audio)
        if is_open_ended:
            found_s = audio.frames / audio.samplerate
            _log.warning(
                "%s: the end of the stream is not marked, as in a truncated file: reading the %.2f s that are there",
                name,
                found_s,
            )
        yield audio


def _opened(source: Source, stack: ExitStack) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, (str, Path)):
        return _opened_path(Path(source), stack)
    if not _is_open_binary(source):
        raise AudioFormatError(
            f"expected a path, the bytes of a file, or a file opened for reading in binary mode, "
            f"got {type(source).__name__}"
        )
    return source


def _opened_path(path: Path, stack: ExitStack) -> IO[bytes]:
    """Opens a file; what comes through a pipe goes to a temporary file first, as libsndfile needs to seek."""
    try:
        if not path.exists():
            raise AudioFormatError(f"{path}: expected an audio file, found nothing there")
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioFormatError(f"{path}: expected an audio file, got a folder")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            raise AudioFormatError(f"{path}: expected an audio file or a pipe, got a device")
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        if not stat.S_ISREG(mode):
            spooled = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  the stack closes it
            shutil.copyfileobj(file, spooled)
            file = spooled
        if file.seek(0, io.SEEK_END) == 0:
            raise AudioFormatError(f"{path}: expected an audio file, got an empty file")
        file.seek(0)
    except (OSError, ValueError) as error:  # for example a name that is too long or contains NUL
        if isinstance(error, AudioFormatError):
            raise
        raise AudioFormatError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return file


def _audio_file(target: object, name: str, file: IO[bytes], decoded: ExitStack | None) -> AudioFile:
    """Opens a file; what PyAV decodes is closed with `decoded`, and None is not to decode."""
    try:
        return AudioFile(target, name)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, OSError) as error:
        kind = _foreign_kind(file, name)
        if kind and decoded and is_av_installed():
            return AudioFile(decoded.enter_context(decode(file, name)), name)
        if kind:
            raise AudioFormatError(
                f"{name}: expected an audio file that libsndfile reads, got {kind}: convert it, {ffmpeg_line(name)}, "
                f"or {install_hint('av')}"
            ) from error
        raise AudioFormatError(f"{name}: expected an audio file that libsndfile reads: {reason_of(error)}") from error


def _foreign_kind(file: IO[bytes], name: str) -> str | None:
    """The format of a file that libsndfile cannot decode, by its first bytes, else by its name."""
    if not file.seekable():
        return None
    file.seek(0)
    return foreign_type(file.read(HEAD_BYTES)) or next((Path(each).suffix for each in foreign_files([name])), None)


def _check_whole(audio: AudioFile) -> None:
    log = audio.extra_info
    cut = _CUT_SHORT.search(log)
    if cut and int(cut[2]) < int(cut[1]) < UNKNOWN_SIZE:
        raise AudioFormatError(
            f"{audio.name}: truncated file: the header announces {cut[1]} bytes of samples, found {audio.frames} frames"
        )
    if _CUT_VOC in log:
        raise AudioFormatError(f"{audio.name}: truncated file: the header announces more samples than there are")


def read_blocks(audio: AudioFile) -> Iterator[Samples]:
    """Returns the samples in blocks of at most `BLOCK_S` seconds, `(n,)` or `(n, channels)`.

    They are int16 for 16-bit PCM, else float32 in [-1, 1].

    Raises:
        AudioFormatError: the file is damaged or truncated; the message names it.
    """
    # libsndfile passes 16-bit integers through unchanged, but scales floats by 32768 on reading and 32767 on writing.
    dtype = "int16" if audio.subtype == "PCM_16" else "float32"
    name, frames = audio.name, 0
    while True:
        try:
            block = audio.read(int(BLOCK_S * audio.samplerate), dtype=dtype)
        except soundfile.LibsndfileError as error:
            raise AudioFormatError(f"{name}: damaged or truncated audio file: {reason_of(error)}") from error
        if len(block) == 0:
            break
        frames += len(block)
        yield block
    if frames < audio.frames - _UNCERTAIN_FRAMES:
        raise AudioFormatError(f"{name}: truncated file: the header announces {audio.frames} frames, found {frames}")


def read_all(audio: AudioFile) -> F32:
    """Returns all samples `(n,)` or `(n, channels)`, full scale 1, unchecked; raises as `read_blocks`."""
    blocks = [
        block.astype(np.float32) / np.float32(INT16_SCALE if block.dtype == np.int16 else 1)
        for block in read_blocks(audio)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


@contextmanager
def audio_writer(
    path: Path, sample_rate: int, channels: int, subtype: str, frames: int | None = None
) -> Iterator[Callable[[Samples], None]]:
    """Yields a function that appends samples to a new file; the file appears under its name once it is complete.

    WAV files that may exceed 4 GiB, the most that their header can tell, are written as RF64.

    Args:
        path: the suffix selects the container; an existing file is replaced.
        sample_rate: in Hz.
        channels: of the samples.
        subtype: libsndfile's name of a sample format; if the container cannot hold it, the nearest that it can.
        frames: most that will be written; None if that is not known: a WAV file then begins as RF64 and becomes a
            plain one if it stays below 4 GiB.

    Raises:
        AudioFormatError: the container or the folder does not exist, the container cannot hold such audio or as much,
            the disk is full, or writing fails otherwise.
    """
    chosen = file_format(path, sample_rate, channels, subtype, frames)
    what = f"cannot write {path} ({chosen.container}, {chosen.subtype})"
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(replaced_at_end(path))
        except OSError as error:
            raise AudioFormatError(f"cannot write {path}: {error.strerror}") from error
        written = 0
        try:
            with soundfile.SoundFile(
                _native_name(temporary), "w", sample_rate, channels, chosen.subtype, format=chosen.container
            ) as sound:
                if chosen.container == "RF64" and container_of(path) != "RF64" and frames is None:
                    soundfile._snd.sf_command(sound._file, _RF64_AUTO_DOWNGRADE, soundfile._ffi.NULL, 1)

                def write(samples: Samples) -> None:
                    nonlocal written
                    written += len(samples)
                    if written > chosen.max_frames:
                        raise AudioFormatError(f"{what}: {chosen.too_long}")
                    sound.write(samples)

                yield write
        except soundfile.LibsndfileError as error:
            raise AudioFormatError(f"{what}: {write_failure(temporary) or reason_of(error)}") from error
        try:
            stack.close()
        except OSError as error:
            raise AudioFormatError(f"{what}: {error.strerror}") from error


def name_of(source: object) -> str:
    """Returns the name of a source in error messages."""
    return str(source) if isinstance(source, (str, Path)) else "audio data"


def _native_name(path: Path) -> str | bytes:
    """Returns a path as soundfile takes it: as a string it must be valid UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _is_open_binary(source: object) -> bool:
    readable = not getattr(source, "closed", True) and hasattr(source, "read") and hasattr(source, "seek")
    return readable and not isinstance(source, io.TextIOBase)
