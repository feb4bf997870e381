"""Manifests of NeMo and Lhotse in JSON lines: each audio file once, and the same manifest of the enhanced corpus.

NeMo: `{"audio_filepath": "a.wav", "offset": 1.5, "duration": 3, "text": "..."}` and the like. Lhotse: recordings or
cuts. All other content of an entry stays, but for Lhotse's `features`, which were those of the audio as it was.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.corpus.audio_paths import output_of, resolved, written
from gtcrn_frontend.corpus.items import Corpus, Item, Problem, distinct
from gtcrn_frontend.corpus.storage import is_url, join, local_copy, local_target, parent
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.manifest_formats import AUDIO_KEYS, any_of, entries

SUFFIXES = (".jsonl", ".json", ".ndjson", ".jsonl.gz")

_LHOTSE_KEYS = ("sources", "recording", "tracks")

Json = dict[str, Any]
Place = tuple[Json, str]
"""An object in an entry, and its key under which a path stands."""


def manifest_corpus(path: str, dest: str) -> Corpus:
    """Returns the audio files that a manifest names, each once, also if many entries are segments of it.

    Args:
        path: or URL of the manifest.
        dest: folder of the enhanced corpus; files keep their path from the manifest's folder on, or from the root.

    Raises:
        ConfigError: the manifest has no entries.
        OSError: it cannot be read.
    """
    items: list[Item] = []
    problems: list[Problem] = []
    folder = parent(path)
    with _readable(path) as readable:
        for where, entry in entries(readable, lambda line: problems.append(Problem(*line.split(": ", 1)))):
            try:
                sources = [resolved(holder[key], folder) for holder, key in _places(cast(Json, entry))]
            except ConfigError as error:
                problems.append(Problem(where, str(error)))
            else:
                items += [Item(source, output_of(source, folder, dest)) for source in sources]
    if not items and not problems:
        raise ConfigError(f"{path}: expected a manifest, found no entries in it")

    def write_manifests(failed: Collection[str]) -> None:
        with _readable(path) as readable, local_target(join(dest, PurePosixPath(path).name)) as target:
            found = (cast(Json, entry) for _, entry in entries(readable, lambda line: None))
            kept = (entry for entry in found if _rewrite(entry, folder, dest, failed))
            _write(target, kept, is_list=_is_list(readable))

    return Corpus(distinct(items), problems, write_manifests)


def _places(entry: Json) -> list[Place]:
    """Where an entry names audio: one place for NeMo; for Lhotse that of each source of each recording.

    Raises:
        ConfigError: nowhere, or it is no file.
    """
    if not any(key in entry for key in _LHOTSE_KEYS):
        key = next((key for key in AUDIO_KEYS if isinstance(entry.get(key), str) and entry[key].strip()), None)
        if key is None:
            raise ConfigError(f"expected the path of the audio under {any_of(AUDIO_KEYS)}, found none")
        return [(entry, key)]
    sources = list(_sources(entry))
    for source in sources:
        if source.get("type") not in ("file", "url") or not isinstance(source.get("source"), str):
            raise ConfigError(
                f"expected recordings in files, got a source of type {source.get('type')!r}: "
                "use cuts.enhance().save_audios(...) of gtcrn_frontend.adapters.lhotse"
            )
    if not sources:
        raise ConfigError("expected a recording, found none in this entry")
    return [(source, "source") for source in sources]


def _sources(node: Any) -> Iterator[Json]:
    """The audio sources of Lhotse's recordings, anywhere in a cut, tracks of mixed cuts included."""
    if isinstance(node, dict):
        listed = node.get("sources")
        if isinstance(listed, list):
            yield from (source for source in listed if isinstance(source, dict))
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, list):
        for value in node:
            yield from _sources(value)


def _rewrite(entry: Json, folder: str, dest: str, failed: Collection[str]) -> bool:
    """Puts the paths of enhanced files into an entry; returns whether all of them are there."""
    try:
        places = _places(entry)
    except ConfigError:
        return False
    is_nemo = places[0][0] is entry
    for holder, key in places:
        source = resolved(holder[key], folder)
        if source in failed:
            return False
        output = output_of(source, folder, dest)
        holder[key] = written(output, like=holder[key], beginning_at=dest if is_nemo else None)
        if not is_nemo:
            holder["type"] = "url" if is_url(output) else "file"
    if not is_nemo:
        _drop_features(entry)
    return True


def _drop_features(node: Any) -> None:
    if isinstance(node, dict):
        node.pop("features", None)
        for track in node.get("tracks", ()):
            _drop_features(track.get("cut"))


@contextmanager
def _readable(path: str) -> Iterator[Path]:
    """Yields the manifest as a plain file of this machine."""
    with local_copy(path) as copy:
        if copy.suffix != ".gz":
            yield copy
            return
        with tempfile.TemporaryDirectory(prefix="gtcrn-frontend-") as folder:
            plain = Path(folder) / copy.stem
            with gzip.open(copy) as compressed, plain.open("wb") as file:
                shutil.copyfileobj(compressed, file)
            yield plain


def _is_list(manifest: Path) -> bool:
    with manifest.open(encoding="utf-8-sig") as file:
        return manifest.suffix == ".json" and file.read(100).lstrip().startswith("[")


def _write(target: Path, listed: Iterable[Json], *, is_list: bool) -> None:
    with replaced_at_end(target) as temporary, temporary.open("wb") as raw:
        file: IO[bytes] = raw
        if target.suffix == ".gz":
            file = cast(IO[bytes], gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        with file:
            if is_list:
                file.write(json.dumps(list(listed), ensure_ascii=False, indent=1).encode())
            else:
                for entry in listed:
                    file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
