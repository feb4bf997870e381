import numpy as np
import pytest

from gtcrn_frontend.evaluation.bootstrap import ratio_interval


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = ratio_interval(values, np.ones(400))
    assert (low, high) == pytest.approx((values.mean() - 1.96 * 0.1, values.mean() + 1.96 * 0.1), abs=0.02)


def test_units_are_drawn_with_both_of_their_numbers() -> None:
    lengths = np.arange(1, 30)
    assert ratio_interval(3 * lengths, lengths) == (3, 3)


def test_a_draw_of_nothing_but_empty_units_is_no_division_by_zero() -> None:
    low, high = ratio_interval([0, 1], [0, 1])
    assert (low, high) == (0, 1)


def test_equal_seeds_draw_equal_units() -> None:
    values = np.random.default_rng(1).normal(0, 1, 20)
    assert ratio_interval(values, np.ones(20), 3) == ratio_interval(values, np.ones(20), 3)
    assert ratio_interval(values, np.ones(20), 3) != ratio_interval(values, np.ones(20), 4)
