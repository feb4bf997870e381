"""Errors of a sweep, counted: by setting and condition, the same utterances everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.result_cache import Recognition

MOST_FAILURES = 0.2
"""A setting behind which the recogniser fails more often is not judged."""

_NONE = ErrorCounts(0, 0, 0, 0)


@dataclass(frozen=True)
class Scores:
    """What was counted.

    Attributes:
        items: those that have a result behind every setting.
        settings: those judged, in order.
        counts: errors of each setting, one for each item.
    """

    items: tuple[Item, ...]
    settings: tuple[EnhancerConfig, ...]
    counts: Mapping[EnhancerConfig, tuple[ErrorCounts, ...]]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in the order of the items."""
        return tuple(dict.fromkeys(item.condition for item in self.items))

    def of(self, setting: EnhancerConfig, condition: str | None = None) -> list[ErrorCounts]:
        """Returns the errors per utterance, in one condition or, with None, added up over all of them.

        Utterances are what may be drawn again in a bootstrap: the same one in several noises is not several.
        """
        by_utterance: dict[tuple[str, str], list[ErrorCounts]] = {}
        for item, counts in zip(self.items, self.counts[setting], strict=True):
            if condition in (None, item.condition):
                by_utterance.setdefault((item.utterance.name, str(item.utterance.path)), []).append(counts)
        return [add_up(counts) for counts in by_utterance.values()]


def score(
    items: Sequence[Item],
    heard: Mapping[EnhancerConfig, Mapping[Item, Recognition]],
    normalisation: Normalisation,
    unit: str = "word",
) -> Scores:
    """Returns the errors of all settings on the items that every one of them has a result for.

    A setting without results for more than a fifth of the items is left out, and does not cost the others any.

    Args:
        items: all of the sweep.
        heard: what was heard behind each setting.
        normalisation: of both texts.
        unit: `word` or `character`.

    Raises:
        ImportError: the package jiwer is not installed.
    """
    judged = [setting for setting, found in heard.items() if len(found) >= (1 - MOST_FAILURES) * len(items) and found]
    common = [item for item in items if all(item in heard[setting] for setting in judged)] if judged else []
    said = {item: normalisation(item.utterance.text) for item in common}
    counts = {
        setting: tuple(count_errors(said[item], normalisation(heard[setting][item].text), unit) for item in common)
        for setting in judged
    }
    return Scores(tuple(common), tuple(judged), counts)


def add_up(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """Returns the sum."""
    return reduce(_add, counts, _NONE)


def _add(a: ErrorCounts, b: ErrorCounts) -> ErrorCounts:
    return ErrorCounts(
        a.substitutions + b.substitutions,
        a.deletions + b.deletions,
        a.insertions + b.insertions,
        a.reference + b.reference,
    )
