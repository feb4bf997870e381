"""Recognition errors: counted per utterance, added up as a rate, with intervals from the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.evaluation.bootstrap import ratio_interval


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of one utterance.

    Attributes:
        substitutions, deletions, insertions: edits that turn what was said into what was heard.
        reference: units (words, characters) that were said.
    """

    substitutions: int
    deletions: int
    insertions: int
    reference: int

    @property
    def errors(self) -> int:
        """All edits together."""
        return self.substitutions + self.deletions + self.insertions


def count_errors(said: str, heard: str, unit: str = "word") -> ErrorCounts:
    """Returns the fewest edits from what was said to what was heard.

    Args:
        said: the reference; may be empty, then every unit heard is an insertion.
        heard: the recogniser's text.
        unit: `word`, separated by white space, or `character`, single spaces between words included.

    Raises:
        ImportError: the package jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ImportError(
            "counting recognition errors needs the package jiwer: pip install 'gtcrn-frontend[calibrate]'", name="jiwer"
        ) from error

    said, heard = " ".join(said.split()), " ".join(heard.split())
    if not said:  # jiwer has no rate for it
        return ErrorCounts(0, 0, len(heard.split()) if unit == "word" else len(heard), 0)
    output = (jiwer.process_words if unit == "word" else jiwer.process_characters)(said, heard)
    reference = output.hits + output.substitutions + output.deletions
    return ErrorCounts(output.substitutions, output.deletions, output.insertions, reference)


@dataclass(frozen=True)
class Rate:
    """An error rate and where it lies with 95 % confidence.

    Attributes:
        value: errors over reference units; nan without any.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float


def error_rate(counts: Sequence[ErrorCounts], seed: int = 0) -> Rate:
    """Returns the rate over all utterances, with the percentile bootstrap's interval over utterances."""
    errors, reference = _arrays(counts)
    if reference.sum() == 0:
        return Rate(float("nan"), float("nan"), float("nan"))
    return Rate(float(errors.sum() / reference.sum()), *ratio_interval(errors, reference, seed))


def rate_difference(before: Sequence[ErrorCounts], after: Sequence[ErrorCounts], seed: int = 0) -> Rate:
    """Returns by how much the rate rose from `before` to `after`, the same utterances in the same order.

    The interval is the paired bootstrap's: both are drawn together, so what an utterance has in common in both does not
    widen it. An interval without zero is a significant difference.

    Raises:
        ValueError: different numbers of utterances.
    """
    (before_errors, reference), (after_errors, _) = _arrays(before), _arrays(after)
    if len(before_errors) != len(after_errors):
        raise ValueError(f"expected the same utterances twice, got {len(before_errors)} and {len(after_errors)}")
    if reference.sum() == 0:
        return Rate(float("nan"), float("nan"), float("nan"))
    change = after_errors - before_errors
    return Rate(float(change.sum() / reference.sum()), *ratio_interval(change, reference, seed))


def _arrays(counts: Sequence[ErrorCounts]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return (
        np.array([count.errors for count in counts], np.int64),
        np.array([count.reference for count in counts], np.int64),
    )
