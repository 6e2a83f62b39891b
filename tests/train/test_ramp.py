"""The range test bounds the learning rate from above."""

from __future__ import annotations

import itertools
import math

from ftlab.train.ramp import beyond, highest_rate, ramp
from tests.sweeps.worlds import plan

RATES = [10.0 ** (place / 10 - 5) for place in range(50)]


def test_the_rates_rise_evenly_from_below_the_lowest_to_above_the_highest():
    rates = ramp(plan(5, n_steps=200, middle=1e-3))
    assert len(rates) == 50
    assert rates[0] < 1e-4 < 1e-2 < rates[-1] <= 1
    steps = [b / a for a, b in itertools.pairwise(rates)]
    assert max(steps) - min(steps) < 1e-9


def test_arms_stay_well_below_the_rate_at_which_the_loss_rose():
    losses = [4.0 if rate < 1e-3 else 2.0 if rate < 1e-1 else 9.0 for rate in RATES]
    assert 1e-2 < highest_rate(RATES, losses) < 1e-1


def test_a_loss_that_is_no_number_counts_as_one_that_rose():
    losses = [*(4.0 for rate in RATES if rate < 1e-2), math.nan]
    assert highest_rate(RATES, losses) < 1e-2


def test_noise_and_a_loss_that_falls_to_nothing_bound_nothing():
    losses = [0.7 + (-1) ** place * 0.2 if place < 20 else 0.02 for place in range(50)]
    assert highest_rate(RATES, losses) == math.inf


def test_the_two_lowest_rates_begin_in_any_case():
    arms = plan(4).arms
    assert [*beyond(arms, 0.0)] == [2, 3]
    assert beyond(arms, math.inf) == {}
