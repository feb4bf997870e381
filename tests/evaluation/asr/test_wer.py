import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors, error_rate, rate_difference

WORDS = st.lists(st.sampled_from(["one", "two", "three"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("said", "heard", "unit", "expected"),
    [
        ("one two three", "one two three", "word", ErrorCounts(0, 0, 0, 3)),
        ("one two three", "one too three", "word", ErrorCounts(1, 0, 0, 3)),
        ("one two three", "one three", "word", ErrorCounts(0, 1, 0, 3)),
        ("one two", "one two two", "word", ErrorCounts(0, 0, 1, 2)),
        ("", "one two", "word", ErrorCounts(0, 0, 2, 0)),
        ("", "ab", "character", ErrorCounts(0, 0, 2, 0)),
        ("one two", "", "word", ErrorCounts(0, 2, 0, 2)),
        ("ab cd", "ab d", "character", ErrorCounts(0, 1, 0, 5)),
        ("  ab   cd ", "ab cd", "character", ErrorCounts(0, 0, 0, 5)),
    ],
)
def test_edits_are_counted(said: str, heard: str, unit: str, expected: ErrorCounts) -> None:
    assert count_errors(said, heard, unit) == expected


@given(WORDS, WORDS)
def test_counts_are_consistent(said: str, heard: str) -> None:
    counts = count_errors(said, heard)
    assert counts.reference == len(said.split())
    assert counts.insertions - counts.deletions == len(heard.split()) - counts.reference
    assert (counts.errors == 0) == (said == heard)


def test_a_rate_is_errors_over_reference_whatever_the_lengths_of_utterances() -> None:
    rate = error_rate([ErrorCounts(1, 0, 0, 1), ErrorCounts(0, 1, 1, 9)])
    assert rate.value == pytest.approx(0.3)
    assert rate.low <= rate.value <= rate.high


def test_the_interval_holds_the_true_rate_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(100):
        counts = [ErrorCounts(int(rng.binomial(5, 0.2)), 0, 0, 5) for _ in range(60)]
        rate = error_rate(counts, seed=trial)
        held += rate.low <= 0.2 <= rate.high
    assert 86 <= held <= 100


def test_nothing_said_has_no_rate() -> None:
    assert math.isnan(error_rate([]).value)
    assert math.isnan(error_rate([ErrorCounts(0, 0, 2, 0)]).value)
    assert math.isnan(rate_difference([], []).value)


def test_a_paired_difference_sees_what_two_intervals_do_not() -> None:
    rng = np.random.default_rng(1)
    hard = rng.integers(0, 5, 40)
    before = [ErrorCounts(int(n), 0, 0, 5) for n in hard]
    after = [ErrorCounts(max(int(n) - 1, 0), 0, 0, 5) for n in hard]
    assert error_rate(before).low < error_rate(after).high  # the two intervals overlap
    difference = rate_difference(before, after)
    assert difference.value < 0
    assert difference.high < 0


def test_the_same_twice_differs_by_nothing() -> None:
    counts = [ErrorCounts(n, 0, 0, 5) for n in range(4)]
    difference = rate_difference(counts, counts)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_pairs_need_partners() -> None:
    with pytest.raises(ValueError, match="same utterances twice, got 1 and 2"):
        rate_difference([ErrorCounts(0, 0, 0, 1)], [ErrorCounts(0, 0, 0, 1)] * 2)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(ImportError, match=r"[^']+\[calibrate\]"):
        count_errors("a", "b")


def test_an_utterance_counts_with_at_most_as_many_errors_as_it_has_words() -> None:
    loop = count_errors("one two three", "one two " + 50 * "two ").capped()
    assert (loop.errors, loop.all_errors, loop.excess) == (3, 50, 47)
    assert count_errors("one two", "one three").capped() == ErrorCounts(1, 0, 0, 2)
    assert count_errors("", "one two three").capped().errors == 1, "nothing was said"
    assert count_errors("", "").capped().errors == 0


def test_kinds_of_errors_have_rates_of_their_own() -> None:
    before = [count_errors("one two three four", text).capped() for text in ("one too three four", "one two")] * 20
    after = [count_errors("one two three four", "one two three four" + 9 * " you").capped()] * 40
    assert error_rate(before, kind="substitutions").value == pytest.approx(1 / 8)
    assert error_rate(before, kind="deletions").value == pytest.approx(1 / 4)
    assert error_rate(after).value == pytest.approx(1)
    assert error_rate(after, kind="all_errors").value == pytest.approx(9 / 4)
    assert rate_difference(before, after, kind="insertions").value == pytest.approx(9 / 4)
    assert rate_difference(before, after, kind="insertions").mark == "!"
    assert rate_difference(before, after, kind="deletions").mark == "-"
