"""Recognises files by their first bytes: those with a header, and those that libsndfile cannot decode."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gtcrn_frontend.audio.mpeg import mp3_frame_bytes

HEAD_BYTES = 4096
"""As many bytes of the beginning tell the type of a file."""

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


def ffmpeg_line(name: str) -> str:
    """Returns the command that converts a file to one that libsndfile reads."""
    return f"ffmpeg -i '{name}' '{Path(name).with_suffix('.wav')}'"


def foreign_files(names: Iterable[str]) -> list[str]:
    """Returns the names whose suffix is that of audio or video that libsndfile cannot decode."""
    return [name for name in names if Path(name).suffix.removeprefix(".").lower() in _FOREIGN_SUFFIXES]


def _is_adts(head: bytes) -> bool:
    return len(head) >= 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0
