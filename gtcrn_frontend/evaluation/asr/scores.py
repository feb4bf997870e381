"""Error counts of a sweep, by setting and condition, on the same utterances for every setting."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, ErrorMetric, count_errors
from gtcrn_frontend.evaluation.noisy_set import Item

MAX_FAILURES = 0.2
"""A setting is left out if the recogniser fails on a larger share of the items."""

_NONE = ErrorCounts(0, 0, 0, 0)


@dataclass(frozen=True)
class Scores:
    """Error counts.

    Attributes:
        items: those with a result for every setting.
        settings: those that were scored, in order.
        counts: errors of each setting, one entry per item.
    """

    items: tuple[Item, ...]
    settings: tuple[EnhancerConfig, ...]
    counts: Mapping[EnhancerConfig, tuple[ErrorCounts, ...]]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in the order of the items."""
        return tuple(dict.fromkeys(item.condition for item in self.items))

    def of(self, setting: EnhancerConfig, condition: str | Collection[str] | None = None) -> list[ErrorCounts]:
        """Returns the errors per utterance in one condition, or summed over several, or over all for None.

        Utterances are the independent units of the bootstrap: one utterance in several noises counts once.
        """
        chosen = (condition,) if isinstance(condition, str) else condition
        by_utterance: dict[tuple[str, int, int | None], list[ErrorCounts]] = {}
        for item, counts in zip(self.items, self.counts[setting], strict=True):
            if chosen is None or item.condition in chosen:
                by_utterance.setdefault(item.utterance.audio_id, []).append(counts)
        return [add_up(counts) for counts in by_utterance.values()]

    def total(self, setting: EnhancerConfig) -> ErrorCounts:
        """Returns the errors of a setting summed over all items."""
        return add_up(self.counts[setting])


def score(
    items: Sequence[Item],
    recognitions: Mapping[EnhancerConfig, Mapping[str, Recognition]],
    metric: ErrorMetric,
) -> Scores:
    """Returns the errors of all settings on the items that have a result for every one of them.

    A setting without a result for more than `MAX_FAILURES` of the items is left out, so that it does not cost the
    others their items.

    Args:
        items: all items of the sweep.
        recognitions: results of each setting, by the items' keys.
        metric: how errors are counted.

    Raises:
        ImportError: the package jiwer is not installed.
    """
    found = {setting: sum(item.key in results for item in items) for setting, results in recognitions.items()}
    scored = [setting for setting, count in found.items() if count and count >= (1 - MAX_FAILURES) * len(items)]
    common = [item for item in items if all(item.key in recognitions[s] for s in scored)] if scored else []
    normalise = metric.normalisation
    references = {item.utterance.text: normalise(item.utterance.text) for item in common}

    def counted(item: Item, setting: EnhancerConfig) -> ErrorCounts:
        hypothesis = normalise(recognitions[setting][item.key].text)
        found = count_errors(references[item.utterance.text], hypothesis, metric.unit)
        return found.capped() if metric.capped else found

    counts = {setting: tuple(counted(item, setting) for item in common) for setting in scored}
    return Scores(tuple(common), tuple(scored), counts)


def add_up(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """Returns the sum of error counts."""
    return reduce(_add, counts, _NONE)


def _add(a: ErrorCounts, b: ErrorCounts) -> ErrorCounts:
    return ErrorCounts(
        a.substitutions + b.substitutions,
        a.deletions + b.deletions,
        a.insertions + b.insertions,
        a.reference + b.reference,
        a.excess + b.excess,
    )
