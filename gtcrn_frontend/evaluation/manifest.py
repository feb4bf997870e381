"""Manifests: recordings, or segments of them, with their transcripts; see `manifest_formats` for the formats.

Paths begin at the manifest's folder, or else at the working directory. An entry may name its `condition`, for
recordings that are noisy already, and the `set` that it belongs to: entries of other sets than `speech`, which
manifests for training have, are not utterances.

An entry may be a segment of its file: `offset` and `duration` in seconds (NeMo), or `start` and `stop` in samples
(SpeechBrain). Other keys are ignored, but for those that would change which samples are meant.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.manifest_formats import AUDIO_KEYS, Entry, audio_path, entries, first_of

__all__ = [
    "AS_RECORDED",
    "CLEAN",
    "SET_KEY",
    "SPEECH",
    "Manifest",
    "Utterance",
    "audio_path",
    "entries",
    "load_manifest",
]

TEXT_KEYS = ("text", "transcript", "sentence", "wrd")
CONDITION_KEY = "condition"
SET_KEY = "set"
SPEECH = "speech"
CLEAN = "clean"
"""Condition without noise; a front-end must not increase the errors in it."""
AS_RECORDED = "as recorded"

UNSUPPORTED_KEYS = (
    *("end", "start_time", "end_time", "begin", "begin_time", "start_s", "end_s", "start_ms", "end_ms", "offset_ms"),
    *("channel", "frame_offset", "speed"),
)
"""Keys by which other programs select or change samples in ways that are not supported here."""
TOLERANCE_S = 0.1
"""Durations in manifests are rounded: within this of the file's length, the whole file is meant."""


@dataclass(frozen=True)
class Utterance:
    """A recording, or a segment of one, with its transcript.

    Attributes:
        name: how reports call it.
        path: of the audio file.
        text: the reference transcript; may be empty for a recording without speech.
        condition: recording condition, if the manifest names it.
        duration_s: of the utterance in seconds.
        start: first sample of the segment, at the file's rate.
        stop: sample after its last one; None is the end of the file.
    """

    name: str
    path: Path
    text: str
    condition: str = AS_RECORDED
    duration_s: float = 0.0
    start: int = 0
    stop: int | None = None

    @property
    def audio_id(self) -> tuple[str, int, int | None]:
        """Which audio it is; entries with equal audio are not independent of each other."""
        return str(self.path), self.start, self.stop


@dataclass(frozen=True)
class Manifest:
    """Usable utterances, and a line for each entry that is not: its place, and why."""

    utterances: tuple[Utterance, ...]
    problems: tuple[str, ...]


def load_manifest(path: str | Path, *, transcripts: bool = True) -> Manifest:
    """Returns the utterances of a manifest, in order; the same entry may occur several times.

    Malformed entries, entries without a transcript, and files that cannot be opened are left out and listed in
    `problems`.

    Args:
        path: a `.jsonl` (`.json`), `.csv` or `.tsv` file, a Kaldi folder, or a folder of recordings with `.txt` files.
        transcripts: whether entries need one; if False, the text of an entry without is empty.

    Raises:
        ConfigError: the path is none of these, or no entry is usable.
    """
    path = Path(path)
    problems: list[str] = []
    utterances: list[Utterance] = []
    try:
        for where, entry in entries(path, problems.append):
            if entry.get(SET_KEY, SPEECH) != SPEECH:
                continue
            try:
                utterances.append(_utterance(entry, path if path.is_dir() else path.parent, transcripts))
            except (ConfigError, AudioFormatError) as error:
                problems.append(f"{where}: {error}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not utterances:
        reasons = f", for example {problems[0]}" if problems else ": it has no entries"
        what = "recordings with transcripts" if transcripts else "recordings"
        raise ConfigError(f"{path}: expected {what}, found none that can be used{reasons}")
    if transcripts and not any(utterance.text for utterance in utterances):
        raise ConfigError(f"{path}: expected transcripts, all of them are empty: there is no error rate to lower")
    return Manifest(tuple(utterances), tuple(problems))


def _utterance(entry: Entry, folder: Path, needs_text: bool) -> Utterance:
    path = audio_path(entry, folder)
    audio = str(first_of(entry, AUDIO_KEYS))
    text = first_of(entry, TEXT_KEYS)
    if not isinstance(text, str):
        if needs_text:
            raise ConfigError(f"{audio}: expected a transcript, found none")
        text = ""
    with open_audio(path) as file:
        frames, rate = int(file.frames), int(file.samplerate)
    if not frames:
        raise AudioFormatError(f"{path}: expected audio, got a file without samples")
    start, stop = _segment(entry, audio, frames, rate)
    duration_s = ((frames if stop is None else stop) - start) / rate
    is_whole = start == 0 and stop is None
    shown = audio if is_whole else f"{audio} from {start / rate:.2f} to {start / rate + duration_s:.2f} s"
    condition = str(entry.get(CONDITION_KEY) or AS_RECORDED).strip()
    name = str(entry.get("name") or shown)
    return Utterance(name, path.resolve(), " ".join(text.split()), condition, duration_s, start, stop)


def _segment(entry: Entry, audio: str, frames: int, rate: int) -> tuple[int, int | None]:
    """First sample of an entry and the one after its last; 0 and None for the whole file.

    Raises:
        ConfigError: the keys do not describe a segment of the file.
    """
    given = {key: value for key, value in entry.items() if value not in (None, "")}
    if unsupported := [key for key in UNSUPPORTED_KEYS if key in given]:
        raise ConfigError(
            f"{audio}: the key {unsupported[0]!r} is not supported and would change what is recognised: give a segment "
            "as offset and duration in seconds, or as start and stop in samples; or cut the file"
        )
    if "start" in given or "stop" in given:
        if not {"start", "stop"} <= given.keys():
            raise ConfigError(f"{audio}: expected start and stop in samples, got one of them")
        start, stop = (_samples(audio, key, given[key]) for key in ("start", "stop"))
    else:
        offset_s, duration_s = (_seconds(audio, key, given.get(key)) for key in ("offset", "duration"))
        start = round((offset_s or 0.0) * rate)
        stop = frames if duration_s is None else round(((offset_s or 0.0) + duration_s) * rate)
        if frames < stop and (start == 0 or stop - frames <= TOLERANCE_S * rate):
            stop = frames
    if not 0 <= start < stop <= frames:
        raise ConfigError(
            f"{audio}: expected a segment of the file, which has {frames / rate:.2f} s, "
            f"got {start / rate:.2f} to {stop / rate:.2f} s"
        )
    if start == 0 and frames - stop <= TOLERANCE_S * rate and "stop" not in given:
        return 0, None
    return start, None if stop == frames else stop


def _samples(audio: str, key: str, value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.removesuffix(".0").isdecimal() or len(text) > 15:
        raise ConfigError(
            f"{audio}: {key}: expected a number of samples, got {text[:20]!r}: give seconds as offset and duration"
        )
    return int(text.removesuffix(".0"))


def _seconds(audio: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 <= seconds < math.inf:
        raise ConfigError(f"{audio}: {key}: expected seconds, got {str(value)[:20]!r}")
    return seconds
