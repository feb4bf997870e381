"""`prepare_data`: from downloads of public data sets to a manifest and a split for training."""

from __future__ import annotations

import json
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table
from gtcrn_frontend.parsing import json_line_of
from gtcrn_frontend.settings import check_names
from gtcrn_frontend.training.config import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.data.corpus import list_recordings
from gtcrn_frontend.training.data.layouts import LAYOUTS, Found
from gtcrn_frontend.training.data.split import draw_split, write_split

MANIFEST = "manifest.jsonl"
SPLIT = "split.json"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class SourceTotal:
    """What a source contributes.

    Attributes:
        source: its name in the manifest, which `CorpusConfig.weights` refer to.
        set: `speech`, `noise`, `rir` or `pair`.
        recordings: their number.
        hours: their length; of pairs, that of the clean recordings.
        groups: number of speakers, original recordings or rooms.
        held_out: how many of the groups are held out of training.
    """

    source: str
    set: str
    recordings: int
    hours: float
    groups: int
    held_out: int


@dataclass(frozen=True)
class PreparedData:
    """Outcome of `prepare_data`; as a string, a table of the sources.

    Attributes:
        manifest: JSON lines with path, set, source, speaker, group, text, noisy (where known) and duration in seconds.
        split: which speakers, noise recordings and rooms are held out.
        totals: of each source.
        problems: a line for each recording that cannot be read and is left out.
    """

    manifest: Path
    split: Path
    totals: tuple[SourceTotal, ...]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        rows: list[dict[str, Value]] = [
            {
                "source": total.source,
                "set": total.set,
                "recordings": total.recordings,
                "hours": total.hours,
                "groups": total.groups,
                "held out": total.held_out,
            }
            for total in self.totals
        ]
        return markdown_table(rows, {"hours": 2})

    def yaml(self) -> str:
        """Returns the lines of a training config that use the data."""
        manifest, split = (json.dumps(str(path.resolve())) for path in (self.manifest, self.split))
        return f"corpora:\n  - manifest: {manifest}\nheld_out:\n  file: {split}\n"


def prepare_data(
    sources: Mapping[str, Sequence[str | Path]],
    output: str | Path,
    *,
    held_out: HeldOutConfig | None = None,
    seed: int = 1,
) -> PreparedData:
    """Checks the layout of public data sets, and writes a manifest and a split by speaker, recording and room.

    The same arguments lead to the same files. A data set that is added later does not change what is held out of the
    others.

    Args:
        sources: folders or archives of data sets, by name; the names are those of `layouts.LAYOUTS`.
        output: folder for the manifest, the split, and unpacked archives (`output/NAME/ARCHIVE/`); archives that
            were unpacked there before are not unpacked again.
        held_out: fractions to hold out; its `file` is not used.
        seed: of the split.

    Raises:
        ConfigError: an unknown data set, a path that does not exist, an archive that cannot be unpacked, a folder of
            another layout, or an incomplete one.
    """
    output = Path(output)
    check_names(sources, LAYOUTS, "data sets")
    found: dict[Path, Found] = {}
    for name, paths in sources.items():
        layout, folders = LAYOUTS[name], [_folder(Path(path), output / name) for path in paths]
        listed = list(layout.find(folders))
        if not listed:
            raise ConfigError(
                f"{', '.join(map(str, paths))}: expected {layout.expected}, found none: download {layout.title} "
                f"from {layout.origin}"
            )
        found |= {item.path.resolve(): item for item in listed}
    if not found:
        raise ConfigError(f"expected at least one data set out of {', '.join(LAYOUTS)}, got none")
    output.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    hours: dict[str, float] = {}
    with replaced_at_end(output / MANIFEST) as part, part.open("w", encoding="utf-8") as file:
        for item, entry in _entries(found, output.resolve(), problems):
            hours[item.source] = hours.get(item.source, 0.0) + entry["duration"] / 3600
            file.write(json_line_of(entry) + "\n")
    recordings = list_recordings([CorpusConfig(manifest=output / MANIFEST)])
    split = draw_split(recordings, held_out or HeldOutConfig(), seed)
    write_split(split, output / SPLIT, seed)
    sets = {item.source: item.set for item in found.values()}
    totals = []
    for source in hours:
        own = [item for item in recordings if item.source == source]
        groups = {item.group: split.is_held_out(item) for item in own}
        totals.append(
            SourceTotal(source, sets[source], len(own), hours[source], len(groups), sum(map(bool, groups.values())))
        )
    return PreparedData(output / MANIFEST, output / SPLIT, tuple(totals), tuple(problems))


def _entries(found: Mapping[Path, Found], output: Path, problems: list[str]) -> Iterator[tuple[Found, dict[str, Any]]]:
    """Yields the recordings that can be read, each with its line of the manifest."""
    for path, item in tqdm(found.items(), desc="reading headers", unit="file"):
        try:
            with open_audio(path) as audio:
                frames, rate = audio.frames, audio.samplerate
        except AudioFormatError as error:
            problems.append(str(error))
            continue
        if not frames:
            problems.append(f"{path}: expected audio, got a file without samples")
            continue
        known = {
            "path": _shown(path, output),
            "set": item.set,
            "source": item.source,
            "speaker": item.speaker,
            "group": item.group,
            "text": item.text,
            "noisy": _shown(item.noisy.resolve(), output) if item.noisy else None,
            "duration": round(frames / rate, 3),
        }
        yield item, {name: value for name, value in known.items() if value is not None}


def _shown(path: Path, output: Path) -> str:
    """Returns a path relative to the manifest where it lies below its folder, so that the folder can be moved."""
    return path.relative_to(output).as_posix() if path.is_relative_to(output) else str(path)


def _folder(path: Path, target: Path) -> Path:
    """Returns the folder itself, or the one that an archive is unpacked to."""
    if path.is_dir():
        return path
    if not path.is_file():
        raise ConfigError(f"{path}: expected a folder or an archive, found nothing there")
    suffix = next((suffix for suffix in sorted(ARCHIVES, key=len) if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ConfigError(f"{path}: expected a folder or an archive ({', '.join(ARCHIVES)})")
    folder = target / path.name[: -len(suffix)]
    if folder.is_dir():
        return folder
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".") as temporary:
        content = Path(temporary) / "content"
        try:
            _unpack(path, content)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ConfigError(f"{path}: cannot be unpacked: {error}: download it again") from error
        content.rename(folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
        return
    if not hasattr(tarfile, "data_filter"):
        raise ConfigError(
            f"{archive}: Python 3.11.4 or later is needed to unpack it safely: unpack it, give the folder"
        )
    with tarfile.open(archive) as tarred:
        tarred.extractall(folder, filter="data")
