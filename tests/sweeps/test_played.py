"""Whole sweeps with known losses: what halving finds, against full grids, and what it costs."""

from __future__ import annotations

import math
import random
from statistics import median

import pytest

from ftlab.sweeps.noise import best_loss
from tests.sweeps.worlds import N_STEPS, plan, played, valley

SEEDS = range(21)


def ample(seed: int):
    """One valley, its best rate up to four fifths of a decade off the middle of the grid."""
    best = 10 ** (-3 + (seed % 7 - 3) * 0.2)
    return lambda arm, step: valley(arm.rate, step, best=best, seed=seed)


def scarce(seed: int):
    """Two valleys: rates about 5e-3 learn by heart, and those above them do not."""

    def loss(arm, step):
        place, share = math.log10(arm.rate), step / N_STEPS
        learned = 1.8 * (1 - math.exp(-6 * share * 10 ** (0.6 * (place + 2.5))))
        by_heart = 0.4 * max(0.0, share - 0.3) * math.exp(-(((place + 2.3) / 0.5) ** 2))
        higher = -0.1 * share if -1.7 < place < -1.2 else 3 * share if place >= -1.2 else 0.0
        drawn = random.Random(f"{arm.rate} {step} {seed}").gauss(0, 0.005) if step else 0.0
        return 4 - learned + by_heart + higher + drawn

    return loss


def outcome(world, **options) -> tuple[list[float], list[float], list[float]]:
    """Of each seed: regret in %, cost as a share of the grid, and decades off the grid's best."""
    regrets, costs, decades = [], [], []
    for seed in SEEDS:
        halved = played(plan(**options), world(seed))
        full = played(plan(halving=False, **options), world(seed))
        lowest = {n: best_loss(losses) for n, losses in full.curves.items()}
        best = min(lowest, key=lowest.__getitem__)
        own = best_loss(halved.curves[halved.answer.best])
        regrets.append(100 * (own / lowest[best] - 1))
        costs.append(halved.answer.share)
        rate = halved.arms[halved.answer.best].rate
        decades.append(abs(math.log10(rate / full.arms[best].rate)))
    return regrets, costs, decades


def test_with_ample_data_halving_finds_the_grids_best_for_a_third_of_its_steps():
    regrets, costs, decades = outcome(ample)
    assert median(regrets) <= 1
    assert max(regrets) <= 3
    assert max(costs) <= 0.35
    assert max(decades) < 1


def test_with_two_valleys_it_finds_the_lower_one():
    regrets, costs, decades = outcome(scarce, middle=3e-3, changes={"n_epochs": 40})
    assert median(regrets) <= 1
    assert max(regrets) <= 3
    assert max(costs) <= 0.6
    assert max(decades) < 1


@pytest.mark.parametrize("middle", [1e-4, 1e-2])
def test_a_grid_that_lies_beside_the_valley_grows_into_it(middle):
    found = played(plan(3, middle=middle), ample(3))
    assert len(found.arms) > 3
    assert abs(math.log10(found.arms[found.answer.best].rate / 1e-3)) < 0.6


def test_without_halving_all_go_to_the_end():
    found = played(plan(halving=False), ample(3))
    assert found.answer.share > 0.7  # those that explode end before
    assert all(max(curve) == N_STEPS for curve in list(found.curves.values())[:5])


def test_the_same_losses_have_the_same_decisions():
    first, second = (played(plan(), ample(1)).decisions for _ in range(2))
    assert [d.kept for d in first] == [d.kept for d in second]


def test_equal_losses_add_no_arms():
    found = played(plan(7), lambda arm, step: 2.0)
    assert not any(decision.added for decision in found.decisions)


def test_regrets_are_never_negative():
    low = {1e-3: 2.0, 3.2e-3: 3.0}  # the lowest rate has 2.001, a tie that it wins
    found = played(plan(3), lambda arm, step: low.get(arm.rate, 2.001)).answer
    assert found.best == 0
    assert found.regrets[1] == 0
