"""Intervals: held against worked examples, and against how often they are right."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.scores.intervals import Sample, difference, interval, wilson


def sample(values, weights=None):
    values = np.asarray(values, float)
    return Sample(values, np.ones(len(values)) if weights is None else np.asarray(weights, float))


def test_wilson_by_hand():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263 and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_right_and_wrong_rows_have_an_interval_with_width():
    assert interval(sample([1.0] * 20), "share") == pytest.approx((1.0, 0.8389, 1.0), abs=5e-5)


def test_a_mean_of_many_rows_has_the_interval_of_the_normal_law():
    values = np.random.default_rng(1).normal(3.0, 2.0, 2_000)
    found = interval(sample(values))
    half = 1.96 * values.std() / np.sqrt(2_000)
    assert found == pytest.approx((values.mean(), values.mean() - half, values.mean() + half),
                                  abs=0.1 * half)  # fmt: skip


def test_rows_count_by_their_weight_and_perplexity_is_e_to_the_mean():
    found = interval(sample([1.0, 2.0, 4.0], [3, 2, 1]), "exp")
    assert found.value == pytest.approx(np.exp(11 / 6))
    assert found.low < found.value < found.high


def test_the_same_seed_gives_the_same():
    values = np.random.default_rng(1).random(50)
    assert interval(sample(values)) == interval(sample(values))
    assert interval(sample(values)) != interval(sample(values), seed=1)


def test_a_difference_is_of_pairs():
    """Rows that differ much among themselves hide no change that all of them share."""
    before = np.random.default_rng(1).normal(0.0, 100.0, 40)
    found = difference(sample(before + 1.0), sample(before))
    assert found[:3] == pytest.approx((1.0, 1.0, 1.0))
    assert found.is_sure


def test_the_same_answers_are_no_difference():
    found = difference(sample([0.0, 1.0] * 20), sample([0.0, 1.0] * 20))
    assert found == (0.0, 0.0, 0.0, 1.0)
    assert not found.is_sure


def test_five_rows_that_agree_are_too_few_and_six_are_enough():
    """Of 5 fair coins all fall alike once in 16 times, of 7 once in 64."""
    assert not difference(sample([1.0] * 5), sample([0.0] * 5)).is_sure
    assert difference(sample([1.0] * 7), sample([0.0] * 7)).is_sure


@pytest.mark.parametrize("n", [8, 40])
def test_where_nothing_changed_a_difference_is_seldom_sure(n):
    draw, wrong = np.random.default_rng(3), 0
    for _ in range(200):
        one, other = (sample(draw.random(n) < 0.5) for _ in range(2))
        wrong += difference(one, other).is_sure
    assert wrong <= 20  # 10 of 200 are to be expected; 20 come once in 800 times


def test_shares_that_all_rows_agree_on_have_an_interval_with_width():
    """Also between 0 and 1, and where rows count by their tokens: no share of so many rows varies
    more than right and wrong do. Kish (1965): rows of unequal weight count as fewer."""
    assert interval(sample([0.5] * 20), "share").low == pytest.approx(wilson(10, 20)[0])
    found = interval(sample([1.0, 1.0, 1.0], [2, 1, 1]), "share")
    assert found[1:] == pytest.approx(wilson(16 / 6, 16 / 6))
    counts = interval(sample([0.0, 1.0] * 10), "number")
    assert counts.low < 0.5 < counts.high


def test_one_row_leaves_everything_open_but_a_share():
    assert interval(sample([3.0]), "number") == (3.0, -np.inf, np.inf)
    assert interval(sample([3.0]), "exp")[1:] == (0.0, np.inf)
    found = difference(sample([3.0]), sample([1.0]))
    assert found == (2.0, -np.inf, np.inf, 1.0)
    assert not found.is_sure


def test_a_difference_that_all_rows_agree_on_is_no_more_certain_than_their_number():
    found = difference(sample([1.0] * 7), sample([0.0] * 7), "share")
    low, high = wilson(7, 7)
    assert found[:3] == pytest.approx((1.0, 2 * low - 1, 2 * high - 1))
    assert found.is_sure
