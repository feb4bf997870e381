"""Intervals of changes: what no utterance shows is not known to be nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.evaluation.asr.significance import NORMAL_Z, changes_of_all
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts

WORDS = 5


def counts(errors: list[int]) -> list[ErrorCounts]:
    return [ErrorCounts(count, 0, 0, WORDS) for count in errors]


@pytest.mark.parametrize("n", [100, 1000])
def test_without_any_change_the_rule_of_three_is_left(n: int) -> None:
    """Up to 3.7 changes of an utterance may go unseen (97.5 %, one-sided)."""
    errors = counts([1] * 10 + [0] * (n - 10))
    [change] = changes_of_all(errors, [errors])
    assert change.rate.value == 0
    assert change.rate.high == -change.rate.low
    assert change.rate.low * n * WORDS == pytest.approx(-3.7, abs=0.2)


@pytest.mark.parametrize(("improved", "most"), [(1, 5.57), (2, 7.22), (5, 11.67), (10, 18.39)])
def test_few_changes_have_the_exact_limits_of_poisson(improved: int, most: float) -> None:
    n = 1000
    [change] = changes_of_all(
        counts([1] * 50 + [0] * (n - 50)), [counts([0] * improved + [1] * (50 - improved) + [0] * (n - 50))]
    )
    scale = NORMAL_Z / change.critical  # the exact ones are for one setting and a symmetric bootstrap
    assert improved + (-change.rate.low * n * WORDS - improved) * scale == pytest.approx(most, rel=0.06)


def test_utterances_that_can_lose_all_their_errors_at_once_hide_more() -> None:
    few, whole = counts([1] * 10 + [0] * 90), counts([5] * 10 + [0] * 90)
    [one], [five] = changes_of_all(few, [few]), changes_of_all(whole, [whole])
    assert five.rate.low == pytest.approx(5 * one.rate.low)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, WORDS), min_size=2, max_size=40), st.integers(0, 2**32 - 1))
def test_the_change_lies_in_its_interval_and_twice_the_data_narrows_it(errors: list[int], seed: int) -> None:
    after = np.random.default_rng(seed).permutation(errors).tolist()
    [change] = changes_of_all(counts(errors), [counts(after)])
    assert change.rate.low < change.rate.value <= change.rate.high
    [twice] = changes_of_all(counts(4 * errors), [counts(4 * after)])
    assert twice.rate.high - twice.rate.low < change.rate.high - change.rate.low
