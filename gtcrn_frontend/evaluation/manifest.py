"""What is to be recognised: recordings with their transcripts, read from the forms that people keep them in.

    JSON lines     {"audio": "a.wav", "text": "one two"}; also `audio_filepath`, `wav`, `path`; `transcript`, `sentence`
    JSON           a list of such objects
    CSV, TSV       a heading with the same names, or SpeechBrain's `wav` and `wrd`
    Kaldi folder   wav.scp and text
    folder         a.wav beside a.txt, in folders of folders too

Relative paths begin at the manifest's folder, or else at the working directory. An entry may name its `condition`, for
recordings that are noisy already, and the `set` that it belongs to: entries of other sets than speech, as manifests for
training have them, are not utterances.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.audio.io import container_of, open_audio
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.parsing import parse_json

AUDIO_KEYS = ("audio", "audio_filepath", "wav", "path")
TEXT_KEYS = ("text", "transcript", "sentence", "wrd")
CONDITION_KEY = "condition"
SET_KEY = "set"
SPEECH = "speech"
CLEAN = "clean"
"""The name of the condition without noise: a front-end must not make that worse."""
AS_RECORDED = "as recorded"


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it.

    Attributes:
        name: what reports call it.
        path: of the audio file.
        text: the reference; may be empty, then nothing is said.
        condition: how it was recorded, where the manifest says so.
        duration_s: of the audio.
    """

    name: str
    path: Path
    text: str
    condition: str = AS_RECORDED
    duration_s: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """Utterances that can be used, and why others cannot: a line for each."""

    utterances: tuple[Utterance, ...]
    problems: tuple[str, ...]


def load_manifest(path: str | Path, *, transcripts: bool = True) -> Manifest:
    """Returns the utterances of a manifest.

    Malformed entries, those without transcript, and audio that cannot be opened are left out, and named in `problems`.

    Args:
        path: a `.jsonl` (`.json`), `.csv` or `.tsv` file, a Kaldi folder, or a folder of recordings with `.txt` files.
        transcripts: whether they are needed; if not, an utterance without has an empty one.

    Raises:
        ConfigError: it is none of these, or nothing in it can be used.
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


def entries(path: Path, report: Callable[[str], object]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields where each entry of a manifest stands, and what it says by the names above.

    Args:
        path: of the manifest.
        report: called with the place of each malformed entry, and what is wrong with it.

    Raises:
        ConfigError: it is no manifest.
        OSError, UnicodeDecodeError, csv.Error: it cannot be read.
    """
    if path.is_dir():
        return _kaldi(path) if (path / "wav.scp").is_file() else _pairs(path)
    if not path.is_file():
        raise ConfigError(f"{path}: expected a manifest, found nothing there")
    if path.suffix in (".jsonl", ".json", ".ndjson"):
        return _json_lines(path, report)
    if path.suffix in (".csv", ".tsv"):
        return _table(path)
    raise ConfigError(f"{path}: expected a .jsonl, .csv or .tsv file or a folder, got the suffix {path.suffix!r}")


def _json_lines(path: Path, report: Callable[[str], object]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json" and text.lstrip().startswith("["):
        yield from _json_list(path, text, report)
        return
    for number, line in enumerate(text.split("\n"), 1):  # within texts, JSON allows what else ends a line
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            entry = parse_json(line)
        except ValueError as error:
            at = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            report(f"{where}: expected a JSON object: {at}: correct or remove the line")
            continue
        if isinstance(entry, dict):
            yield where, entry
        else:
            report(f"{where}: expected a JSON object, got {type(entry).__name__}")


def _json_list(path: Path, text: str, report: Callable[[str], object]) -> Iterator[tuple[str, Mapping[str, Any]]]:
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


def _table(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        reader = csv.DictReader(file, delimiter=delimiter)
        names = [name.strip() for name in reader.fieldnames or ()]
        if not set(AUDIO_KEYS) & set(names):
            raise ConfigError(
                f"{path}: expected a heading with {_any_of(AUDIO_KEYS)}, got {', '.join(names) or 'none'}"
            )
        reader.fieldnames = names
        for row in reader:
            yield f"{path.name}, line {reader.line_num}", {k: v for k, v in row.items() if k is not None}


def _kaldi(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if (folder / "segments").exists():
        raise ConfigError(
            f"{folder}: expected a recording per utterance, got a file segments: cut the recordings first"
        )
    texts = dict(_keyed_lines(folder / "text"))
    for key, audio in _keyed_lines(folder / "wav.scp"):
        if audio.endswith("|"):
            raise ConfigError(
                f"{folder / 'wav.scp'}: {key}: expected a file, got a command: write its output to a file"
            )
        yield f"wav.scp, {key}", {"name": key, "audio": audio} | ({"text": texts[key]} if key in texts else {})


def _keyed_lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise ConfigError(f"{path}: expected the transcripts of a Kaldi folder, found nothing there")
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, rest = line.strip().partition(" ")
        if key:
            yield key, rest.strip()


def _pairs(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for audio in sorted(path for path in folder.rglob("*") if path.is_file() and container_of(path)):
        name = str(audio.relative_to(folder))
        text = audio.with_suffix(".txt")
        yield (
            name,
            {"name": name, "audio": str(audio.resolve())}
            | ({"text": text.read_text(encoding="utf-8-sig")} if text.is_file() else {}),
        )


def audio_path(entry: Mapping[str, Any], folder: Path) -> Path:
    """Returns where the audio of an entry is.

    Args:
        entry: see `entries`.
        folder: of the manifest.

    Raises:
        ConfigError: the entry names none.
    """
    audio = _first(entry, AUDIO_KEYS)
    if not isinstance(audio, str) or not audio.strip():
        raise ConfigError(f"expected the path of the audio under {_any_of(AUDIO_KEYS)}, found none")
    return folder / audio if (folder / audio).exists() else Path(audio)


def _utterance(entry: Mapping[str, Any], folder: Path, needs_text: bool) -> Utterance:
    path = audio_path(entry, folder)
    audio = str(_first(entry, AUDIO_KEYS))
    text = _first(entry, TEXT_KEYS)
    if not isinstance(text, str):
        if needs_text:
            raise ConfigError(f"{audio}: expected a transcript, found none")
        text = ""
    with open_audio(path) as file:
        duration_s = file.frames / file.samplerate
    if not duration_s:
        raise AudioFormatError(f"{path}: expected audio, got a file without samples")
    condition = str(entry.get(CONDITION_KEY) or AS_RECORDED).strip()
    return Utterance(str(entry.get("name") or audio), path.resolve(), " ".join(text.split()), condition, duration_s)


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _any_of(names: Iterable[str]) -> str:
    return " or ".join(names)
