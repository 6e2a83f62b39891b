"""The range test bounds the learning rate from above."""

from __future__ import annotations

import itertools
import math
import random

import pytest

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


def ramped(spread, seed, grown_from=math.inf, grown=1.0):
    """The rates of a ramp, and a loss that scatters, and that grows from a rate on."""
    draw, rates = random.Random(seed), ramp(plan(7))
    level = [2.5 * (grown * math.sqrt(r / grown_from) if r >= grown_from else 1) for r in rates]
    return rates, [loss * math.exp(draw.gauss(0, spread)) for loss in level]


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_scatter_of_single_steps_is_no_divergence(spread):
    assert [highest_rate(*ramped(spread, seed)) for seed in range(200)] == [math.inf] * 200


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.05, 0.1, 0.15, 0.2])
@pytest.mark.parametrize("grown", [2, 10])
def test_an_explosion_bounds_the_rates_near_it_however_the_loss_scatters(spread, grown):
    found = [highest_rate(*ramped(spread, seed, 3e-2, grown)) for seed in range(200)]
    assert 1e-2 <= min(found) <= max(found) < 9e-2


def test_the_recommended_rate_begins_unless_the_loss_explodes_there():
    risen = [2.5 if rate < 1e-3 else 3.5 for rate in RATES]
    assert highest_rate(RATES, risen) < 1e-3 <= highest_rate(RATES, risen, recommended=1e-3)
    twice = [2.5 if rate < 3e-4 else 6.0 for rate in RATES]
    assert highest_rate(RATES, twice, recommended=1e-3) < 1e-3
    broken = [*(2.5 for rate in RATES if rate < 3e-4), math.nan]
    assert highest_rate(RATES, broken, recommended=1e-3) < 1e-3


def test_the_two_lowest_rates_begin_in_any_case():
    arms = plan(4).arms
    assert [*beyond(arms, 0.0)] == [2, 3]
    assert beyond(arms, math.inf) == {}
