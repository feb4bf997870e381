"""Readers of manifest formats: each yields the entries of a manifest as dictionaries, with the place of each.

JSON lines     {"audio": "a.wav", "text": "one two"}; also `audio_filepath`, `wav`, `path`; `transcript`, `sentence`
JSON           a list of such objects
CSV, TSV       a heading with the same names, or SpeechBrain's `wav` and `wrd`; `,`, `;` or tab between columns.
Quotation marks are part of the text in a .tsv file, as in Common Voice, and quote in a .csv file
Kaldi folder   wav.scp, text and, if the recordings are cut, segments
folder         a.wav beside a.txt, in subfolders too
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.audio_files import audio_files
from gtcrn_frontend.parsing import parse_json

AUDIO_KEYS = ("audio", "audio_filepath", "wav", "path")
DELIMITERS = ",;\t"
COMMON_VOICE_FOLDER = "clips"

Entry = Mapping[str, Any]
Report = Callable[[str], object]


def entries(path: Path, report: Report) -> Iterator[tuple[str, Entry]]:
    """Yields the place of each entry of a manifest, and the entry with the keys that the file gives.

    Args:
        path: of the manifest: a `.jsonl` (`.json`, `.ndjson`), `.csv` or `.tsv` file, or a folder.
        report: called with a line for each malformed entry: its place, and what is wrong with it.

    Raises:
        ConfigError: the path is no manifest.
        OSError, UnicodeDecodeError, csv.Error: the manifest cannot be read.
    """
    if path.is_dir():
        return _kaldi(path) if (path / "wav.scp").is_file() else _recordings_with_texts(path)
    if not path.is_file():
        raise ConfigError(f"{path}: expected a manifest, found nothing there")
    if path.suffix in (".jsonl", ".json", ".ndjson"):
        return _json_lines(path, report)
    if path.suffix in (".csv", ".tsv"):
        return _table(path)
    raise ConfigError(f"{path}: expected a .jsonl, .csv or .tsv file or a folder, got the suffix {path.suffix!r}")


def audio_path(entry: Entry, folder: Path) -> Path:
    """Returns the path of an entry's audio file, which begins at the manifest's folder or the working directory.

    Args:
        entry: see `entries`.
        folder: of the manifest; its subfolder `clips` is searched too, where Common Voice keeps the recordings.

    Raises:
        ConfigError: the entry names none.
    """
    audio = first_of(entry, AUDIO_KEYS)
    if not isinstance(audio, str) or not audio.strip():
        raise ConfigError(f"expected the path of the audio under {any_of(AUDIO_KEYS)}, found none")
    places = (folder / audio, folder / COMMON_VOICE_FOLDER / audio)
    return next((path for path in places if path.exists()), Path(audio))


def first_of(entry: Entry, names: Iterable[str]) -> Any:
    """Returns the first value that an entry has under one of some names, or None."""
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def any_of(names: Iterable[str]) -> str:
    """Returns names as messages list them."""
    return " or ".join(names)


def _json_lines(path: Path, report: Report) -> Iterator[tuple[str, Entry]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json" and text.lstrip().startswith("["):
        yield from _json_list(path, text, report)
        return
    for number, line in enumerate(text.split("\n"), 1):  # other line separators may stand within JSON strings
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            entry = parse_json(line)
        except ValueError as error:
            report(f"{where}: expected a JSON object: {_json_problem(error)}: correct or remove the line")
            continue
        if isinstance(entry, dict):
            yield where, entry
        else:
            report(f"{where}: expected a JSON object, got {type(entry).__name__}")


def _json_list(path: Path, text: str, report: Report) -> Iterator[tuple[str, Entry]]:
    try:
        listed = parse_json(text)
    except ValueError as error:
        raise ConfigError(f"{path}: expected a list of JSON objects: {error}") from error
    for number, entry in enumerate(listed, 1):
        where = f"{path.name}, entry {number}"
        if isinstance(entry, dict):
            yield where, entry
        else:
            report(f"{where}: expected a JSON object, got {type(entry).__name__}")


def _json_problem(error: ValueError) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _table(path: Path) -> Iterator[tuple[str, Entry]]:
    is_tsv = path.suffix == ".tsv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        delimiter = "\t" if is_tsv else _delimiter(file.readline())
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL)
        names = [name.strip() for name in reader.fieldnames or ()]
        if not set(AUDIO_KEYS) & set(names):
            raise ConfigError(f"{path}: expected a heading with {any_of(AUDIO_KEYS)}, got {', '.join(names) or 'none'}")
        reader.fieldnames = names
        for row in reader:
            yield f"{path.name}, line {reader.line_num}", {k: v for k, v in row.items() if k is not None}


def _delimiter(heading: str) -> str:
    """The delimiter that yields a column of audio paths; a comma if none does."""
    for delimiter in DELIMITERS:
        if {name.strip().strip('"') for name in heading.split(delimiter)} & set(AUDIO_KEYS):
            return delimiter
    return DELIMITERS[0]


def _kaldi(folder: Path) -> Iterator[tuple[str, Entry]]:
    texts = dict(_keyed_lines(folder / "text"))
    recordings = dict(_keyed_lines(folder / "wav.scp"))
    for key, audio in recordings.items():
        if audio.endswith("|"):
            raise ConfigError(
                f"{folder / 'wav.scp'}: {key}: expected a file, got a command: write its output to a file"
            )
    if (folder / "segments").exists():
        cut = [_kaldi_segment(folder, key, rest, recordings) for key, rest in _keyed_lines(folder / "segments")]
    else:
        cut = [(f"wav.scp, {key}", {"name": key, "audio": audio}) for key, audio in recordings.items()]
    for where, entry in cut:
        yield where, entry | ({"text": texts[entry["name"]]} if entry["name"] in texts else {})


def _kaldi_segment(folder: Path, key: str, rest: str, recordings: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """An entry of `segments`: utterance, recording, start and end in seconds; an end of -1 is that of the recording."""
    parts = rest.split()
    try:
        recording, start_s, end_s = recordings[parts[0]], float(parts[1]), float(parts[2])
    except (IndexError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{folder / 'segments'}: {key}: expected a recording of wav.scp, start and end in seconds, got {rest!r}"
        ) from error
    duration = {} if end_s == -1 else {"duration": end_s - start_s}
    return f"segments, {key}", {"name": key, "audio": recording, "offset": start_s} | duration


def _keyed_lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise ConfigError(f"{path}: expected the transcripts of a Kaldi folder, found nothing there")
    for line in path.read_text(encoding="utf-8").split("\n"):
        key, *rest = line.split(maxsplit=1) or [""]
        if key:
            yield key, rest[0].strip() if rest else ""


def _recordings_with_texts(folder: Path) -> Iterator[tuple[str, Entry]]:
    for audio in audio_files(folder):
        name, text = str(audio.relative_to(folder)), audio.with_suffix(".txt")
        entry = {"name": name, "audio": str(audio.resolve())}
        yield name, entry | ({"text": text.read_text(encoding="utf-8-sig")} if text.is_file() else {})
