"""Recordings of the training corpora, listed from manifests and folders."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.manifest import SET_KEY, audio_path, entries
from gtcrn_frontend.training.config import CorpusConfig

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
MANIFEST_KINDS = {"speech": "speech", "noise": "noise", "rir": "room", "pair": "pair"}
NOISY_KEY = "noisy"
REQUIRED_KEYS = ("path", SET_KEY, "source")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One recording, or a pair of a clean and a noisy one.

    Attributes:
        path: of the audio file; of a pair, the clean one.
        kind: `speech`, `noise`, `room` or `pair`.
        source: name of the data set.
        group: speaker, original noise recording or room; groups are held out as a whole.
        transcribed: whether its speaker and transcript are known.
        weight: sampling weight, relative to the duration.
        noisy: of a pair, the noisy file.
    """

    path: Path
    kind: str
    source: str
    group: str
    transcribed: bool = False
    weight: float = 1.0
    noisy: Path | None = None


def list_recordings(corpora: Iterable[CorpusConfig]) -> list[Recording]:
    """Returns all recordings of the corpora, sorted within each.

    Raises:
        ConfigError: a manifest or folder that is absent, empty or malformed.
    """
    recordings: list[Recording] = []
    for corpus in corpora:
        found = list(_from_manifest(corpus, corpus.manifest) if corpus.manifest else _from_folders(corpus))
        if not found:
            raise ConfigError(f"no audio in {corpus.manifest or corpus.speech or corpus.noise or corpus.rooms}")
        _warn_of_unused_weights(corpus, found)
        recordings.extend(found)
    return recordings


def _warn_of_unused_weights(corpus: CorpusConfig, found: list[Recording]) -> None:
    """Warns of weights without effect; a config's weights may meet a manifest that lacks some sources."""
    sources = {item.source for item in found}
    for name in sorted(set(corpus.weights) - sources - {"*"}):
        logger.warning("weights: no recording of the source %r; there are: %s", name, ", ".join(sorted(sources)))


def recording_name(path: Path) -> str:
    """Returns a name shared by all copies and takes of one original recording.

    `animals/dog-barking.mp3` and `animals_dog_barking.ogg` become `animals_dog_barking`. A final letter that numbers
    takes (`..._100032_a`) and a final short hash that distinguishes copies (`..._8b6de1`) are dropped.
    """
    suffix = path.suffix if path.suffix.lower() in AUDIO_SUFFIXES else ""
    name = "_".join(path.parts).removesuffix(suffix).replace("-", "_").lower()
    return re.sub(r"_(?:[a-z]|[0-9a-f]{6})$", "", name)


def manifest_entries(manifest: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the entries of a manifest, and where each stands, sorted by path; see `evaluation.manifest`.

    Raises:
        ConfigError: the manifest cannot be read, or an entry is malformed or lacks `path`, `set` or `source`.
    """
    problems: list[str] = []
    try:
        found = list(entries(manifest, problems.append))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the manifest {manifest}: {error}") from error
    for where, entry in found:
        missing = [key for key in REQUIRED_KEYS if not isinstance(entry.get(key), str)]
        if missing:
            problems.append(f"{where}: expected {', '.join(REQUIRED_KEYS)}; {missing[0]} is missing")
    if problems:
        more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise ConfigError(f"{manifest}: {problems[0]}{more}")
    return sorted(found, key=lambda item: str(item[1]["path"]))


def _from_manifest(corpus: CorpusConfig, manifest: Path) -> Iterator[Recording]:
    for _, entry in manifest_entries(manifest):
        kind, noisy = MANIFEST_KINDS.get(entry[SET_KEY]), entry.get(NOISY_KEY)
        if kind is None or (kind == "pair" and noisy is None):
            continue
        speaker, source = entry.get("speaker"), entry["source"]
        own_group = entry.get("group") or speaker
        yield Recording(
            path=audio_path(entry, manifest.parent),
            kind=kind,
            source=source,
            group=str(own_group) if own_group else _group(corpus, kind, Path(entry["path"])),
            transcribed=bool(speaker and entry.get("text")),
            weight=_weight(corpus, source),
            noisy=audio_path({"path": noisy}, manifest.parent) if noisy is not None else None,
        )


def _from_folders(corpus: CorpusConfig) -> Iterator[Recording]:
    folders = {"speech": corpus.speech, "noise": corpus.noise, "room": corpus.rooms, "pair": corpus.clean}
    kind, folder = next((kind, folder) for kind, folder in folders.items() if folder is not None)
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}: correct the path in the training config, or leave the entry out")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        below = path.relative_to(folder)
        noisy = corpus.noisy / below if corpus.noisy else None
        if noisy is not None and not noisy.is_file():
            raise ConfigError(f"{path} has no partner {noisy}: clean and noisy files need the same names")
        yield Recording(
            path=path,
            kind=kind,
            source=folder.name,
            group=_group(corpus, kind, below),
            weight=_weight(corpus, folder.name),
            noisy=noisy,
        )


def _group(corpus: CorpusConfig, kind: str, below: Path) -> str:
    match = re.search(corpus.group, below.as_posix()) if corpus.group else None
    if kind == "speech":
        return match[1] if match else below.with_suffix("").as_posix()
    return recording_name(Path(match[1])) if match else recording_name(below)


def _weight(corpus: CorpusConfig, source: str) -> float:
    return corpus.weights.get(source, corpus.weights.get("*", 1.0))
