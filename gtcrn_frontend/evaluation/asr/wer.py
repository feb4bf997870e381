"""Word and character error rates, with confidence intervals from a bootstrap over utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.bootstrap import ratio_interval
from gtcrn_frontend.install_hint import install_hint

RATE_NAMES = {"word": "WER", "character": "CER"}

Kind = Literal["errors", "all_errors", "substitutions", "deletions", "insertions"]
"""What a rate counts: attributes of `ErrorCounts`."""


@dataclass(frozen=True)
class ErrorMetric:
    """How errors are counted.

    Attributes:
        normalisation: of reference and hypothesis.
        unit: `word` (WER) or `character` (CER).
        capped: whether an utterance counts with at most as many errors as its reference has units, and at least one
            where nothing was said: recognisers now and then repeat a word a hundred times, and a few such loops must
            not decide between settings.

    Raises:
        ConfigError: the unit is neither.
    """

    normalisation: Normalisation = field(default_factory=Normalisation)
    unit: str = "word"
    capped: bool = True

    def __post_init__(self) -> None:
        if self.unit not in RATE_NAMES:
            raise ConfigError(f"unit: expected {' or '.join(RATE_NAMES)}, got {self.unit!r}")

    @property
    def name(self) -> str:
        """`WER` or `CER`."""
        return RATE_NAMES[self.unit]


@dataclass(frozen=True)
class ErrorCounts:
    """Errors in one utterance.

    Attributes:
        substitutions, deletions, insertions: edits that turn the reference into the hypothesis.
        reference: units (words, characters) in the reference.
        excess: edits that are not counted, see `ErrorMetric.capped`.
    """

    substitutions: int
    deletions: int
    insertions: int
    reference: int
    excess: int = 0

    @property
    def all_errors(self) -> int:
        """Total number of edits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def errors(self) -> int:
        """Number of edits that count."""
        return self.all_errors - self.excess

    def capped(self) -> ErrorCounts:
        """Returns the counts of one utterance with at most as many errors as it has units, and at least one."""
        return replace(self, excess=max(self.all_errors - max(self.reference, 1), 0))


def count_errors(reference: str, hypothesis: str, unit: str = "word") -> ErrorCounts:
    """Returns the minimum edits from the reference to the hypothesis.

    Args:
        reference: what was spoken; if empty, every unit of the hypothesis is an insertion.
        hypothesis: the recogniser's text.
        unit: `word`, separated by white space, or `character`, single spaces between words included.

    Raises:
        ImportError: the package jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ImportError(
            f"counting recognition errors needs the package jiwer: {install_hint('calibrate')}", name="jiwer"
        ) from error

    reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
    if not reference:  # jiwer has no rate for it
        return ErrorCounts(0, 0, len(hypothesis.split()) if unit == "word" else len(hypothesis), 0)
    output = (jiwer.process_words if unit == "word" else jiwer.process_characters)(reference, hypothesis)
    units = output.hits + output.substitutions + output.deletions
    return ErrorCounts(output.substitutions, output.deletions, output.insertions, units)


@dataclass(frozen=True)
class Rate:
    """An error rate, or a difference of two, with its 95 % confidence interval.

    Attributes:
        value: errors per reference unit; nan without any reference.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def percent(self) -> str:
        """The rate in percent and half the width of its interval, such as `12.3 ±1.5`."""
        return f"{100 * self.value:.1f} ±{self.half_width_percent}"

    @property
    def half_width_percent(self) -> str:
        """Half the width of the interval in percent, such as `1.5`."""
        return f"{50 * (self.high - self.low):.1f}"

    @property
    def mark(self) -> str:
        """Of a difference: `-` for a significant decrease, `!` for a significant increase, and a space otherwise."""
        return "-" if self.high < 0 else "!" if self.low > 0 else " "

    @property
    def points(self) -> str:
        """Of a difference: its value in percentage points, such as `-1.2 points`."""
        return f"{100 * self.value:+.1f} points"

    @property
    def points_interval(self) -> str:
        """Of a difference: its interval in percentage points, such as `-2.0 to +0.4`."""
        return f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"


def error_rate(counts: Sequence[ErrorCounts], seed: int = 0, kind: Kind = "errors") -> Rate:
    """Returns the rate over all utterances, with the percentile bootstrap's interval over utterances."""
    errors, reference = _arrays(counts, kind)
    if reference.sum() == 0:
        return Rate(float("nan"), float("nan"), float("nan"))
    return Rate(float(errors.sum() / reference.sum()), *ratio_interval(errors, reference, seed))


def rate_difference(
    before: Sequence[ErrorCounts], after: Sequence[ErrorCounts], seed: int = 0, kind: Kind = "errors"
) -> Rate:
    """Returns by how much the rate increased from `before` to `after`, on the same utterances in the same order.

    The interval is that of a paired bootstrap: both counts of an utterance are resampled together, so that what they
    have in common does not widen it. A difference is significant if the interval does not contain zero.

    Raises:
        ValueError: the numbers of utterances differ.
    """
    (before_errors, reference), (after_errors, _) = _arrays(before, kind), _arrays(after, kind)
    if len(before_errors) != len(after_errors):
        raise ValueError(f"expected the same utterances twice, got {len(before_errors)} and {len(after_errors)}")
    if reference.sum() == 0:
        return Rate(float("nan"), float("nan"), float("nan"))
    change = after_errors - before_errors
    return Rate(float(change.sum() / reference.sum()), *ratio_interval(change, reference, seed))


def _arrays(counts: Sequence[ErrorCounts], kind: Kind) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return (
        np.array([getattr(count, kind) for count in counts], np.int64),
        np.array([count.reference for count in counts], np.int64),
    )
