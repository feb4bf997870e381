"""What a corpus consists of, and what became of each part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gtcrn_frontend.config import EnhancerConfig


class Item(NamedTuple):
    """An audio file or tar shard, by path or URL, and where the enhanced one goes."""

    source: str
    output: str


class Problem(NamedTuple):
    """What was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Attributes:
        source: of the item.
        audio_s: duration of the audio that was enhanced, in seconds.
        kept: the output was there already.
        failed: there is no output.
        problems: why it failed; or, for a shard, the samples that were left out.
    """

    source: str
    audio_s: float = 0.0
    kept: bool = False
    failed: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """The items of a corpus, each once.

    Attributes:
        items: in order.
        problems: entries of the source that are no items.
        write_manifests: called with the sources of the items that failed, when the others are done: writes manifests
            of the enhanced corpus without these.
    """

    items: Sequence[Item]
    problems: Sequence[Problem] = ()
    write_manifests: Callable[[Collection[str]], None] = lambda failed: None


Runner = Callable[[Sequence[Item], EnhancerConfig], Generator[Outcome]]
"""Enhances items, several at a time, and yields an outcome for each, in any order."""


def distinct(items: Iterable[Item]) -> list[Item]:
    """Returns items without repetitions, as of recordings with several utterances, in order."""
    return list(dict.fromkeys(items))
