"""Which recordings there are: from manifests and folders to a flat list."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import parse_json
from gtcrn_frontend.training.config import CorpusConfig

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
MANIFEST_KINDS = {"speech": "speech", "noise": "noise", "rir": "room"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One file.

    Attributes:
        path: the file.
        kind: speech, noise, room or pair.
        source: the corpus it came with.
        group: speaker, original noise recording, or room; a group is held out as a whole.
        transcribed: whether text is known for it.
        weight: how often it is drawn, relative to its duration.
        noisy: for a pair, the file of the mixture.
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
    """Says which weights have no effect. No error: a recipe's weights may meet a manifest without some sources."""
    sources = {item.source for item in found}
    for name in sorted(set(corpus.weights) - sources - {"*"}):
        logger.warning("weights: no recording of the source %r; there are: %s", name, ", ".join(sorted(sources)))


def recording_name(path: Path) -> str:
    """Returns a name that different copies and takes of one original recording share.

    `animals/dog-barking.mp3`, `animals_dog_barking.ogg` -> `animals_dog_barking`; a last letter that numbers the
    takes (`..._100032_a`) or a last short hash that tells copies apart (`..._8b6de1`) is dropped.
    """
    suffix = path.suffix if path.suffix.lower() in AUDIO_SUFFIXES else ""
    name = "_".join(path.parts).removesuffix(suffix).replace("-", "_").lower()
    return re.sub(r"_(?:[a-z]|[0-9a-f]{6})$", "", name)


def _from_manifest(corpus: CorpusConfig, manifest: Path) -> Iterator[Recording]:
    try:
        entries: list[dict[str, Any]] = parse_json(manifest.read_text(encoding="utf-8"))
        for entry in sorted(entries, key=lambda item: str(item["path"])):
            kind = MANIFEST_KINDS.get(entry["set"])
            if kind is None:
                continue
            path, source = Path(entry["path"]), str(entry["source"])
            speaker = entry.get("speaker")
            group = str(speaker) if speaker else _group(corpus, kind, path)
            yield Recording(
                path=manifest.parent / path,
                kind=kind,
                source=source,
                group=group,
                transcribed=bool(speaker and entry.get("text")),
                weight=_weight(corpus, source),
            )
    except OSError as error:
        raise ConfigError(f"cannot read the manifest {manifest}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{manifest}: expected a JSON list of entries with path, set, source ({error!r})") from error


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
