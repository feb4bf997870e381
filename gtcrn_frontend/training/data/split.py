"""Which groups are held out for validation: drawn once by a seeded hash, then written down.

Where the speaker of a clip is not known (wake words, coffee orders), the clip is a group of its own: other clips of a
held-out speaker may then be in training.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import parse_json
from gtcrn_frontend.training.config import HeldOutConfig
from gtcrn_frontend.training.data.corpus import Recording

KINDS = ("speech", "noise", "room", "pair")


@dataclass(frozen=True)
class Split:
    """The held-out groups of each kind."""

    held_out: dict[str, frozenset[str]]

    def is_held_out(self, recording: Recording) -> bool:
        """Tells whether a recording must not be trained on."""
        return recording.group in self.held_out[recording.kind]


def draw_split(recordings: Iterable[Recording], config: HeldOutConfig, seed: int) -> Split:
    """Returns a split that holds out the configured share of every source.

    Each kind, source and presence of transcripts is drawn from on its own, so that the held-out part has some of
    everything. A group found in several sources counts for the first one. At least one group of a source is held
    out if it has more than one.
    """
    sources: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for recording in sorted(recordings, key=lambda item: not item.transcribed):
        if (recording.kind, recording.group) not in seen:
            seen.add((recording.kind, recording.group))
            sources[recording.kind, recording.source, recording.transcribed].append(recording.group)

    held_out: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for (kind, _, transcribed), groups in sources.items():
        shares = {"speech": config.speech, "noise": config.noise, "room": config.rooms}
        if kind == "pair":
            count = min(config.pairs, len(groups) - 1)
        else:
            share = config.transcribed if transcribed else shares[kind]
            count = min(math.ceil(share * len(groups)), len(groups) - 1)
        held_out[kind].update(sorted(groups, key=lambda group: _hash(seed, kind, group))[:count])
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
                f"{path} is not a split file ({error!r}): correct it, or remove it to draw anew"
            ) from error
    split = draw_split(recordings, config, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"seed": seed, "held_out": {kind: sorted(groups) for kind, groups in split.held_out.items()}}
    write_text(path, json.dumps(content, indent=1) + "\n")
    return split


def _hash(seed: int, kind: str, group: str) -> str:
    return hashlib.sha256(f"{seed}:{kind}:{group}".encode()).hexdigest()
