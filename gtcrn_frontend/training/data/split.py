"""Split of the recordings into training and held-out groups: drawn once by a seeded hash, then kept in a file.

Where the speaker of a clip is unknown, the clip is a group of its own: other clips of the same speaker may then be in
training.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import parse_json
from gtcrn_frontend.training.config import HeldOutConfig
from gtcrn_frontend.training.data.corpus import Recording

KINDS = ("speech", "noise", "room", "pair")


@dataclass(frozen=True)
class Split:
    """Names of the held-out groups by kind of recording."""

    held_out: dict[str, frozenset[str]]

    def is_held_out(self, recording: Recording) -> bool:
        """Returns whether a recording must not be used in training."""
        return recording.group in self.held_out[recording.kind]


def draw_split(recordings: Iterable[Recording], config: HeldOutConfig, seed: int) -> Split:
    """Returns a split that holds out the configured fraction of every source.

    Each kind, source and presence of transcripts is drawn from separately, so that the held-out part has some of
    everything. A group that occurs in several sources belongs to the first one. At least one group of a source is held
    out, and at least one is left for training, if it has two.
    """
    # Names of the groups in each source, with the number of their recordings.
    sources: dict[tuple[str, str, bool], dict[str, int]] = defaultdict(dict)
    home: dict[tuple[str, str], tuple[str, str, bool]] = {}
    for item in sorted(recordings, key=lambda item: not item.transcribed):
        own = home.setdefault((item.kind, item.group), (item.kind, item.source, item.transcribed))
        sources[own][item.group] = sources[own].get(item.group, 0) + 1

    held_out: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for (kind, _, transcribed), groups in sources.items():
        order = sorted(groups, key=lambda group: _hash(seed, kind, group))
        if kind == "pair":
            before = itertools.accumulate((groups[group] for group in order), initial=0)
            count = sum(pairs < config.pairs for pairs, _ in zip(before, order, strict=False))
        else:
            fractions = {"speech": config.speech, "noise": config.noise, "room": config.rooms}
            count = math.ceil((config.transcribed if transcribed else fractions[kind]) * len(groups))
        held_out[kind].update(order[: min(count, len(groups) - 1)])
    return Split({kind: frozenset(groups) for kind, groups in held_out.items()})


def load_or_draw_split(recordings: Iterable[Recording], config: HeldOutConfig, seed: int) -> Split:
    """Returns the split in `config.file`, or draws one and writes it there.

    Raises:
        ConfigError: the file is not a split.
    """
    path = config.file
    if path.is_file():
        try:
            stored = parse_json(path.read_text(encoding="utf-8"))["held_out"]
            return Split({kind: frozenset(map(str, stored[kind])) for kind in KINDS})
        except (ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"{path} is not a split file ({error!r}): correct it, or remove it, so that a new split is drawn"
            ) from error
    split = draw_split(recordings, config, seed)
    write_split(split, path, seed)
    return split


def write_split(split: Split, path: Path, seed: int) -> None:
    """Writes a split, and the seed that it was drawn with, to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"seed": seed, "held_out": {kind: sorted(groups) for kind, groups in split.held_out.items()}}
    write_text(path, json.dumps(content, indent=1) + "\n")


def _hash(seed: int, kind: str, group: str) -> str:
    return hashlib.sha256(f"{seed}:{kind}:{group}".encode(errors="surrogatepass")).hexdigest()
