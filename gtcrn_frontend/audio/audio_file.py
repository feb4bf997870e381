"""`AudioFile`: an open file of libsndfile that knows its name, and its length also where the file does not tell it."""

from __future__ import annotations

import io
import logging
from typing import IO

import soundfile

from gtcrn_frontend.audio.file_types import ffmpeg_line
from gtcrn_frontend.audio.mpeg import EndlessFile, frames_end
from gtcrn_frontend.errors import AudioFormatError

_COUNTED_FRAMES = 1 << 16
_UNREAD_BYTES = 1 << 12  # tags at the end, and the rest of a frame

_log = logging.getLogger(__name__)


class AudioFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """An open file.

    Args:
        file: a path or a file, see `soundfile.SoundFile`.
        name: of the source, for messages.
        frames: its length where that had to be counted; None: what libsndfile tells.
        can_seek: whether positions can be chosen: not in a FLAC file that does not tell its length.
    """

    def __init__(self, file: object, name: str, frames: int | None = None, *, can_seek: bool = True) -> None:
        self._source_name, self._counted, self._can_seek = name, frames, can_seek  # first: `super` asks for them
        super().__init__(file)

    @property
    def name(self) -> str:
        """The path as a string, or `audio data`."""
        return self._source_name

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self._info.frames) if self._counted is None else self._counted

    def seekable(self) -> bool:
        """Tells whether positions can be chosen."""
        return self._can_seek and bool(super().seekable())


def counted_file(target: object, file: IO[bytes], name: str, most_frames: int | None) -> AudioFile:
    """Returns a file that does not tell its length, such as FLAC written to a pipe: with the length, by decoding it.

    Args:
        target: what libsndfile opens.
        file: the same, open and seekable.
        name: of the source, for messages.
        most_frames: counting ends at more; None is no limit.

    Raises:
        AudioFormatError: it is damaged or truncated.
    """
    frames = _counted(target, name, most_frames)
    file.seek(0)
    return AudioFile(target, name, frames, can_seek=False)


def counted_mpeg(file: IO[bytes], name: str, most_frames: int | None) -> AudioFile:
    """Returns an MP3 file without index with its length, by decoding it to where its frames end. See `counted_file`."""
    size = file.seek(0, io.SEEK_END)
    shown = EndlessFile(file, size)
    try:
        frames = _counted(shown, name, most_frames)
    except AudioFormatError:
        # What is no frame, behind the last one, stops libsndfile before it has delivered all of that one.
        file.seek(0)
        end = frames_end(file.read())
        if not 0 < end < size:
            raise
        shown = EndlessFile(file, end)
        frames = _counted(shown, name, most_frames)
        _log.warning("%s: %d bytes at the end are no whole MP3 frame: reading what is before them", name, size - end)
    if shown.furthest < size - _UNREAD_BYTES and (most_frames is None or frames <= most_frames):
        file.seek(shown.furthest)
        if frames_end(file.read()):
            raise AudioFormatError(
                f"{name}: expected the number of frames in the index of the MP3 file, got more behind them: "
                f"convert it, {ffmpeg_line(name)}"
            )
    shown.seek(0)
    return AudioFile(shown, name, frames)


def reason_of(error: Exception) -> str:
    """Returns libsndfile's message without the repeated file name."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _counted(target: object, name: str, most_frames: int | None) -> int:
    frames = 0
    try:
        # Without seeking, which fails in such files.
        with AudioFile(target, name, 0, can_seek=False) as audio:
            while count := len(audio.read(_COUNTED_FRAMES, dtype="int16")):
                frames += count
                if most_frames is not None and frames > most_frames:
                    break
    except soundfile.LibsndfileError as error:
        raise AudioFormatError(f"{name}: damaged or truncated audio file: {reason_of(error)}") from error
    return frames
