"""Recognises files by their first bytes: those with a header, and those that libsndfile cannot decode."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

HEAD_BYTES = 4096
"""As many bytes of the beginning tell the type of a file."""

_ID3_BYTES = 10
_MPEG_FRAME_BYTES = 1441  # the longest

# libsndfile decodes these, or names what is wrong with them.
_OWN_MARKS = (
    b"RIFF",
    b"RF64",
    b"RIFX",
    b"riff",
    b"fLaC",
    b"OggS",
    b"FORM",
    b".snd",
    b"caff",
    b"NIST",
    b"Creative Voice",
)
_FOREIGN_MARKS = {
    b"\x1aE\xdf\xa3": "Matroska or WebM",
    b"#!AMR": "AMR",
    b"0&\xb2u\x8e\x66\xcf\x11": "WMA (ASF)",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"TTA1": "True Audio",
    b"\x0bw": "AC-3",
    b"DSD ": "DSD",
    b"FLV\x01": "Flash video",
}
_FOREIGN_SUFFIXES = {
    *("m4a", "m4b", "aac", "mp4", "mov", "3gp", "webm", "mkv", "mka", "wma", "asf", "amr", "ape", "wv", "tta", "ac3"),
    *("dsf", "flv", "mp2", "ra", "avi"),
}
# Header of an MPEG audio frame, layer III: bit rates in kbit/s of MPEG 1, and of MPEG 2 and 2.5.
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_RATES_HZ = (44100, 48000, 32000)


def foreign_type(head: bytes) -> str | None:
    """Returns the name of a format that libsndfile cannot decode, or None."""
    if head[4:8] == b"ftyp":
        return "MP4 (m4a)"
    # ADTS: twelve set bits, layer 0; a second header where the first one says that its frame ends
    if _is_adts(head):
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if length > 7 and (len(head) < length + 7 or _is_adts(head[length:])):
            return "AAC"
    return next((name for mark, name in _FOREIGN_MARKS.items() if head.startswith(mark)), None)


def is_file(head: bytes) -> bool:
    """Returns whether bytes are the beginning of a file rather than raw PCM."""
    if head.startswith((*_OWN_MARKS, b"ID3\x02", b"ID3\x03", b"ID3\x04")):
        return True
    if head[:2] == b"\x0bw":  # too short a mark: 0x770B is a plausible first sample
        return False
    length = mp3_frame_bytes(head)
    return foreign_type(head) is not None or (length > 0 and mp3_frame_bytes(head[length:]) > 0)


def mp3_frame_bytes(frame: bytes) -> int:
    """Returns the length of the MP3 frame whose header these bytes begin with; 0 if there is none."""
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # 11 set bits, layer III
        return 0
    version, bit_rate, rate, padding = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3, frame[2] >> 1 & 1
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    is_first = version == 3
    rate_hz = _RATES_HZ[rate] >> (0 if is_first else 1 if version == 2 else 2)
    return (144 if is_first else 72) * 1000 * _BIT_RATES[not is_first][bit_rate] // rate_hz + padding


def ffmpeg_line(name: str) -> str:
    """Returns the command that converts a file to one that libsndfile reads."""
    return f"ffmpeg -i '{name}' '{Path(name).with_suffix('.wav')}'"


def foreign_files(names: Iterable[str]) -> list[str]:
    """Returns the names whose suffix is that of audio or video that libsndfile cannot decode."""
    return [name for name in names if Path(name).suffix.removeprefix(".").lower() in _FOREIGN_SUFFIXES]


def _is_adts(head: bytes) -> bool:
    return len(head) >= 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def tells_mp3_length(file: IO[bytes]) -> bool:
    """Returns whether an MP3 file tells its length: Xing, Info or VBRI in its first frame, behind tags of ID3.

    The length of others is an estimate from the size of the file and the bit rate of the first frame.
    """
    file.seek(0)
    head = file.read(_ID3_BYTES)
    tag_bytes = 0
    if head[:3] == b"ID3":
        for byte in head[6:]:  # seven bits each
            tag_bytes = tag_bytes << 7 | byte & 0x7F
        tag_bytes += _ID3_BYTES
    file.seek(tag_bytes)
    first_frame = file.read(_MPEG_FRAME_BYTES)
    file.seek(0)
    return any(index in first_frame for index in (b"Xing", b"Info", b"VBRI"))
