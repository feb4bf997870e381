"""Settings of the recordings: where they are, and what is held out of training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_settings, document_settings, setting

_FORMS = ("manifest", "speech", "noise", "rooms", "clean")


@document_settings
@dataclass(frozen=True)
class CorpusConfig:
    """One source of recordings: a manifest, a folder, or a pair of folders."""

    manifest: Path | None = setting(
        None,
        help="list of recordings, as JSON, JSON lines or CSV: entries with path, set (speech, noise, rir or pair; "
        "others are ignored) and source, and optionally speaker, text, group and, for pairs, noisy; "
        "`gtcrn-frontend data` writes one",
    )
    speech: Path | None = setting(None, help="folder of clean speech, searched recursively")
    noise: Path | None = setting(None, help="folder of noise, searched recursively")
    rooms: Path | None = setting(None, help="folder of room impulse responses, searched recursively")
    clean: Path | None = setting(
        None, help="folder of clean speech whose noisy versions have the same names in `noisy`, as in VoiceBank-DEMAND"
    )
    noisy: Path | None = setting(None, help="folder of the noisy versions of `clean`")
    group: str | None = setting(
        None,
        help="regular expression, searched for in paths (below the folder, or as in the manifest); its first group "
        "names the speaker, the original recording or the room, which is held out as a whole. Without a match the "
        "path itself is the name. Speakers and groups of a manifest take precedence",
    )
    weights: Mapping[str, float] = setting(
        factory=dict,
        low=0,
        help="sampling weight by source, relative to its duration; 0 excludes it, `*` stands for all sources not "
        "named. The source of a folder is the folder's name",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) != 1 or (self.clean is None) != (self.noisy is None):
            raise ConfigError(
                f"a corpus is one of manifest, speech, noise, rooms, or clean and noisy together; got {given}: "
                "split it into several list entries"
            )
        try:
            pattern = re.compile(self.group or "()")
        except re.error as error:
            raise ConfigError(f"group {self.group!r} is not a regular expression: {error}") from error
        if not pattern.groups:
            raise ConfigError(f"group {self.group!r} has no (...) that names the speaker or recording")


@document_settings
@dataclass(frozen=True)
class HeldOutConfig:
    """Fraction of the groups (speakers, noise recordings, rooms) of each source that is held out for validation."""

    file: Path = setting(
        Path("split.json"), help="file of the split; an existing one is obeyed, so that other work can share it"
    )
    speech: float = setting(
        0.1, low=0, high=1, help="fraction of the speakers without transcripts, and of clips of unknown speakers"
    )
    transcribed: float = setting(
        0.2, low=0, high=1, help="fraction of the speakers with transcripts, on whom recognisers can be evaluated"
    )
    noise: float = setting(0.1, low=0, high=1, help="fraction of the noise recordings")
    rooms: float = setting(0.1, low=0, high=1, help="fraction of the rooms")
    pairs: int = setting(1572, low=0, help="least number of clean/noisy pairs, in whole groups where they have any")

    def __post_init__(self) -> None:
        check_settings(self)
