"""The smoothed curve, by hand."""

from __future__ import annotations

import math

import pytest

from ftlab.comparison.smoothing import smoothed

NAN, INF = math.nan, math.inf


def test_by_hand():
    # With 0.5 the sums are 2, 3 and 2.5, of which 0.5, 0.75 and 0.875 are counted.
    found = smoothed([1, 2, 3], [4.0, 4.0, 2.0], 0.5)
    assert found == pytest.approx([4.0, 4.0, 2.5 / 0.875])


def test_the_first_value_has_no_bias_towards_zero():
    assert smoothed([1], [3.0], 0.99) == pytest.approx([3.0])


def test_without_weight_it_is_the_curve():
    assert smoothed([1, 2, 3], [3.0, 1.0, 2.0], 0.0) == [3.0, 1.0, 2.0]


def test_a_curve_told_every_tenth_step_forgets_as_much_between_two_values():
    sparse = smoothed([10, 20], [1.0, 0.0], 0.9)
    kept = 0.9**10
    assert sparse[1] == pytest.approx(kept * 0.1 / (kept * 0.1 + 1 - kept))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_is_no_number_stays_where_it_is_and_harms_no_other(bad):
    found = smoothed([1, 2, 3], [4.0, bad, 2.0], 0.5)
    assert math.isnan(found[1])
    # From step 1 to 3 a value loses three quarters: 0.25 × 0.5 × 4 + 0.75 × 2, of 0.875.
    assert [found[0], found[2]] == pytest.approx([4.0, (0.125 * 4 + 0.75 * 2) / 0.875])
